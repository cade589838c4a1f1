"""From what the code of each member has made its resources, as digests, so that a later plan can say what changed.

A machine keeps this with its generation. It contains no secret, only versions of secrets, which are public.
"""

from __future__ import annotations

import hashlib
import sys
from collections import defaultdict
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from rolecall.model.vars import VarKey
from rolecall_agent.protocol import Inputs, Provenance

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rolecall.evaluate.configure import Configured
    from rolecall.evaluate.membership import Membership
    from rolecall.model.vars import StoredVar
    from rolecall.model.world import Read, World
    from rolecall.service.contract import Service

NAMED_PEERS = 32
"""Of more peers, one digest is kept together, so that the record does not grow with the square of the machines."""

NAMED_ORIGINS = 256
"""Of a machine with more members, nothing is kept, so that it fits into one answer of the machine."""

_DIGITS = 12  # of a digest; they only have to differ from the one before


class Provenances:
    """The provenance of machines, of one evaluation. What many machines read is digested once.

    Args:
        membership: Who plays what.
        world: What members read.
    """

    def __init__(self, membership: Membership, world: World) -> None:
        self._membership = membership
        self._world = world
        self._known: dict[int, tuple[object, str]] = {}  # by id, with the object, so that the id stays its own
        self._services: dict[str, str] = {}
        self._made: dict[str, Provenance] = {}
        self._published: dict[frozenset[Read], set[VarKey]] = {}  # the vars behind what a publisher read

    def of(self, configured: Configured) -> Provenance:
        """Return where the configuration of a machine comes from."""
        machine = configured.configuration.machine
        if machine not in self._made:
            self._made[machine] = self._of(machine, configured)
        return self._made[machine]

    def _of(self, machine: str, configured: Configured) -> Provenance:
        if len(configured.members) > NAMED_ORIGINS:
            return Provenance(inputs={}, origins={})
        inputs = {
            origin: Inputs(
                settings=self._settings(members, machine),
                service=self._service(self._membership.services[members[0][0]]),
                vars=self._vars(configured.reads[origin], machine),
                peers=_limited(self._peers(configured.reads[origin], machine)),
                members=_limited(self._members(members, machine)),
            )
            for origin, members in configured.members.items()
        }
        return Provenance(inputs=inputs, origins={key: list(names) for key, names in configured.origins.items()})

    def _settings(self, members: tuple[tuple[str, str], ...], machine: str) -> dict[str, str]:
        """Return a digest of each setting of a machine, by its name; with several members, after the role's."""
        found = {}
        for instance, role in members:
            settings = self._membership.role_members[instance][role].settings[machine]
            prefix = "" if len(members) == 1 else f"{instance}.{role}."
            for name, field in type(settings).model_fields.items():
                found[f"{prefix}{field.alias or name}"] = self._object(getattr(settings, name))
        return found

    def _service(self, service: Service) -> str:
        if service.name not in self._services:
            self._services[service.name] = _digest(*_code(service))
        return self._services[service.name]

    def _vars(self, reads: Mapping[Read, object], machine: str) -> dict[str, str]:
        """Return digests of the vars that were read, also by the code that published an export that was read."""
        found = {key: self._world.vars.get(key) for key in self._behind(reads)}
        digests = {str(key): versions_digest(key, var) for key, var in found.items() if var}
        others = sorted(name for name in digests if VarKey.read(name).machine not in {"", machine})
        if len(others) <= NAMED_PEERS:
            return digests
        together = _digest(*others, *(digests.pop(name) for name in others))
        return {**digests, "": together}

    def _behind(self, reads: Iterable[Read]) -> set[VarKey]:
        """Return the vars among what was read, and those behind its exports, however many exports are between."""
        keys: set[VarKey] = set()
        for read in reads:
            if read[0] == "var":
                keys.add(read[1])
            elif read[0] == "published":
                for published in {export.reads for export in self._world.published(*read[1:])}:
                    if published not in self._published:
                        self._published[published] = self._behind(published)
                    keys |= self._published[published]
        return keys

    def _members(self, members: tuple[tuple[str, str], ...], machine: str) -> dict[str, list[str]]:
        """Return digests of the settings of other members, by machine: code can read them, and leaves no trace."""
        found: dict[str, list[str]] = defaultdict(list)
        for instance in sorted({instance for instance, _ in members}):
            for role, plays in self._membership.role_members[instance].items():
                for peer, settings in plays.settings.items():
                    found[peer].append(f"{instance}.{role} {self._object(settings)}")
        found.pop(machine, None)
        return found

    def _peers(self, reads: Mapping[Read, object], machine: str) -> dict[str, list[str]]:
        """Return digests of what was read of other machines, by machine."""
        found: dict[str, list[str]] = defaultdict(list)
        for read, answer in reads.items():
            if read[0] == "published":
                for export in answer:  # type: ignore[attr-defined]  # a sequence, as `World.published` returns
                    found[export.machine].append(self._object(export.value))
            elif read[0] in {"host", "address"}:
                found[read[1]].append(self._object(answer))
        found.pop(machine, None)
        return found

    def _object(self, value: object) -> str:
        known = self._known.get(id(value))
        if known is None:
            known = self._known[id(value)] = (value, _digest(_text(value)))
        return known[1]


def versions_digest(key: VarKey, var: StoredVar) -> str:
    """Return a digest of the versions of a var's files."""
    return _digest(str(key), *sorted(f"{name} {file.version}" for name, file in var.items()))


def machines_read(reads: Mapping[Read, object]) -> set[str]:
    """Return the machines of which code has read something: an address, an export, or a var."""
    found: set[str] = set()
    for read, answer in reads.items():
        if read[0] == "published":
            found |= {export.machine for export in answer}  # type: ignore[attr-defined]  # as in `_peers`
        elif read[0] in {"host", "address"}:
            found.add(read[1])
        elif answer:
            found.add(read[1].machine)
    return found


def _limited(peers: Mapping[str, list[str]]) -> dict[str, str]:
    digests = {peer: _digest(*found) for peer, found in sorted(peers.items())}
    return digests if len(digests) <= NAMED_PEERS else {"": _digest(*digests, *digests.values())}


def _code(service: Service) -> Iterator[str]:
    """Yield the source of the module or package that defines a service."""
    functions = [function for role in service.roles.values() for function in role.configurers]
    functions += service.machine_configurers
    for name in sorted({function.__module__ for function in functions}):
        file = getattr(sys.modules.get(name), "__file__", None)
        path = Path(file) if file else None
        files = sorted(path.parent.rglob("*.py")) if path and path.name == "__init__.py" else [path] if path else []
        for each in files:
            if "tests" not in each.parts and each.is_file():
                yield each.read_text(errors="replace")


def _text(value: object) -> str:
    """Return a text that is the same for equal values in every process."""
    if isinstance(value, BaseModel):
        return f"{type(value).__name__}({_text(dict(value))})"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_text(key)}: {_text(item)}' for key, item in value.items())}}}"
    if isinstance(value, AbstractSet):
        return f"{{{', '.join(sorted(map(_text, value)))}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_text, value))}]"
    return repr(value)


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode(errors="surrogatepass")).hexdigest()[:_DIGITS]
