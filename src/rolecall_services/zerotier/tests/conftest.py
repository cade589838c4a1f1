from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from rolecall.testing import Host, evaluate
from rolecall_services.zerotier import generators
from rolecall_services.zerotier.generators import ZeroTierIdentity
from rolecall_services.zerotier.identities import Identity
from rolecall_services.zerotier.service import service

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rolecall.service import Context
    from rolecall.testing import Evaluated

    Evaluating = Callable[..., Evaluated]

FOLDER = Path(__file__).parent / "vectors"
IDENTITIES = [
    Identity.parse(each["identity_secret"])
    for each in json.loads((FOLDER / "identities.json").read_text())["identities"]
]


@pytest.fixture
def identities(monkeypatch: pytest.MonkeyPatch) -> dict[str, Identity]:
    """Give machines identities of real nodes, instead of searching for new ones, which takes seconds."""
    given: dict[str, Identity] = {}

    def generate(_: ZeroTierIdentity, context: Context) -> Mapping[str, bytes]:
        identity = given.setdefault(context.key.machine, IDENTITIES[len(given)])
        return {"secret": identity.secret.encode(), "public": identity.public.encode()}

    monkeypatch.setattr(ZeroTierIdentity, "generate", generate)
    return given


@pytest.fixture
def evaluating(identities: dict[str, Identity], monkeypatch: pytest.MonkeyPatch) -> Evaluating:
    """Return a function that evaluates instances, by name.

    Its machines have identities of real nodes, and keep them when it is called again; networks and moons keep their
    ids and keys.
    """
    assert identities == {}
    fixed = SimpleNamespace(randbelow=lambda most: most // 3, token_bytes=lambda size: bytes(range(size)))
    monkeypatch.setattr(generators, "secrets", fixed)

    def run(instances: dict[str, Any]) -> Evaluated:
        members = [role.get("machines", {}) for roles in instances.values() for role in roles.values()]
        names = sorted({name for machines in members for name in machines})
        named = {name: {"module": {"name": "zerotier"}, "roles": roles} for name, roles in instances.items()}
        inventory = {"machines": {name: {} for name in names}, "instances": named}
        return evaluate(inventory, service, hosts={name: Host(name) for name in names})

    return run
