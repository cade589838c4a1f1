"""A reboot that becomes necessary when other resources change."""
# ruff: noqa: ARG002, D102 - `base.Resource` describes the methods of every kind

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Dict, Iterable, Optional, Sequence, Union

from rolecall_agent.resources import checks
from rolecall_agent.resources.base import Captured, Resource

if TYPE_CHECKING:
    from rolecall_agent.content_store import ContentStore
    from rolecall_agent.system import System
    from rolecall_agent.work import Surroundings


@dataclass(frozen=True)
class Reboot(Resource):
    """The machine must boot again whenever one of the named resources changes, or is undeclared.

    Attributes:
        name: What for, in plans: its name among all reboots of the machine.
        when_changed: Keys of resources (or the resources).
    """

    kind: ClassVar[str] = "reboot"
    name: str
    when_changed: Sequence[Union[str, Resource]]

    def __post_init__(self) -> None:
        checks.single_line(self.name, "reboot")
        checks.require(self.when_changed, f"reboot {self.name}: when_changed names no resource")
        object.__setattr__(self, "when_changed", checks.keys(self.when_changed, f"reboot {self.name}: when_changed"))

    @property
    def key(self) -> str:
        return f"reboot:{self.name}"

    def reason_to_change(self, system: System, store: ContentStore) -> Optional[str]:
        return None

    def plan(self, before: Optional[Resource], around: Surroundings) -> None:
        followed = before.when_changed if isinstance(before, Reboot) else ()
        self._add(around, around.changed & {*self.when_changed}, around.undeclared & {*followed})

    def plan_removal(self, around: Surroundings) -> None:
        self._add(around, around.undeclared & {*self.when_changed})

    def _add(self, around: Surroundings, *causes: Iterable[object]) -> None:
        if keys := sorted({str(key) for each in causes for key in each}):
            around.work.reboot[self.name] = keys

    def capture(self, system: System, store: ContentStore) -> Dict[str, Any]:
        return {self.key: {}}

    def apply(self, system: System, store: ContentStore) -> None:
        pass  # the switch asks for it, since it knows what has changed

    def restore(self, system: System, store: ContentStore, captured: Captured) -> None:
        pass  # the undo reboots, if the machine has booted with what it undoes
