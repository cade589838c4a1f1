from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rolecall.testing import Host, evaluate
from rolecall_services.zerotier import generators
from rolecall_services.zerotier.identities import Identity
from rolecall_services.zerotier.service import service

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolecall.testing import Evaluated

    Evaluating = Callable[..., Evaluated]

FOLDER = Path(__file__).parent / "vectors"
IDENTITIES = [
    Identity.parse(each["identity_secret"])
    for each in json.loads((FOLDER / "identities.json").read_text())["identities"]
]


@pytest.fixture
def evaluating(monkeypatch: pytest.MonkeyPatch) -> Evaluating:
    """Return a function that evaluates instances, by name, whose machines get identities of real nodes."""

    def run(instances: dict[str, Any]) -> Evaluated:
        waiting = iter(IDENTITIES)  # the search for one takes seconds
        monkeypatch.setattr(generators, "new_identity", lambda: next(waiting))
        named: dict[str, Any] = {
            machine: {}
            for roles in instances.values()
            for role in roles.values()
            for machine in role.get("machines", {})
        }
        given = {name: {"module": {"name": "zerotier"}, "roles": roles} for name, roles in instances.items()}
        return evaluate({"machines": named, "instances": given}, service, hosts={name: Host(name) for name in named})

    return run
