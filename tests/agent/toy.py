"""A kind of resource that the agent does not know: all that it takes to add one."""
# ruff: noqa: ARG002 - `base.Resource` describes the methods of every kind

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rolecall_agent.configuration import Configuration
from rolecall_agent.content import Blob
from rolecall_agent.resources.base import ABSENT, Captured, Resource, difference

if TYPE_CHECKING:
    from rolecall_agent.content import Part
    from rolecall_agent.content_store import ContentStore
    from rolecall_agent.system import System


FILE = "/etc/sysctl.conf"


@dataclass(frozen=True)
class Parameter(Resource):
    """A kernel parameter, in a file of /etc/sysctl.d that any number of resources share; each owns one line."""

    kind: ClassVar[str] = "parameter"
    name: str
    value: Blob

    @property
    def key(self) -> str:
        return f"parameter:{self.name}"

    @property
    def parts(self) -> tuple[Part, ...]:
        return (self.value,)

    def paths_on(self, system: System) -> tuple[str, ...]:
        return (FILE,)

    def reason_to_change(self, system: System, store: ContentStore) -> str | None:
        now = self._lines(system).get(self.name)
        return ABSENT if now is None else None if store.matches(self.parts, now) else "value"

    def capture(self, system: System, store: ContentStore) -> dict[str, Captured]:
        made = {} if system.stat(FILE) else {f"made:{FILE}": {"type": ABSENT}}
        return {self.key: self._captured(system), **made}

    def apply(self, system: System, store: ContentStore) -> None:
        self._write(system, {**self._lines(system), self.name: store.content(self.parts)})

    def restore(self, system: System, store: ContentStore, captured: Captured) -> None:
        others = {name: value for name, value in self._lines(system).items() if name != self.name}
        before = {} if captured.get("type") == ABSENT else {self.name: str(captured["value"]).encode()}
        self._write(system, {**others, **before})

    def difference_from(self, captured: Captured, system: System, store: ContentStore) -> str:
        return difference(captured, self._captured(system), system)

    def _captured(self, system: System) -> Captured:
        now = self._lines(system).get(self.name)
        return {"type": ABSENT} if now is None else {"value": now.decode()}

    def _lines(self, system: System) -> dict[str, bytes]:
        lines = system.read(FILE).splitlines() if system.stat(FILE) else []
        pairs = (line.partition(b" = ") for line in lines)
        return {name.decode(): value for name, _, value in pairs}

    def _write(self, system: System, lines: dict[str, bytes]) -> None:
        if lines != self._lines(system):
            text = b"".join(name.encode() + b" = " + value + b"\n" for name, value in sorted(lines.items()))
            system.write(FILE, text, mode=0o644)


def _configured(**values: str) -> Configuration:
    resources = (Parameter(name, Blob.of(value)) for name, value in values.items())
    return Configuration("m", tuple(resources))  # sorted already


PARAMETERS = _configured(a="1", b="2", c="3")
OTHER_PARAMETERS = _configured(a="1", b="4", d="5")
