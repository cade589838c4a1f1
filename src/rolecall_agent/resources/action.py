"""A command that runs when other resources change, for what no other kind covers."""
# ruff: noqa: ARG002, D102 - `base.Resource` describes the methods of every kind

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Dict, Optional, Tuple, Union

from rolecall_agent.resources import checks
from rolecall_agent.resources.base import Captured, Resource
from rolecall_agent.work import Command

if TYPE_CHECKING:
    from rolecall_agent.content_store import ContentStore
    from rolecall_agent.protocol import ChangeAction
    from rolecall_agent.system import System
    from rolecall_agent.work import Surroundings


@dataclass(frozen=True)
class Action(Resource):
    """A command that runs once when it is new, and whenever one of the named resources changes.

    Attributes:
        name: Its name among all actions of the machine.
        argv: The program (an absolute path, or found on PATH) and its arguments; no shell.
        when_changed: Keys of resources (or the resources).
        undo: Command that runs when the action is undeclared or rolled back, or (). When that is rolled back, ``argv``
            runs, before the files of the configuration are there again.
    """

    kind: ClassVar[str] = "action"
    name: str
    argv: Tuple[str, ...]
    when_changed: Tuple[Union[str, Resource], ...] = ()
    undo: Tuple[str, ...] = ()

    def __post_init__(self) -> None:
        checks.single_line(self.name, "action")
        checks.require(self.argv, f"action {self.name}: empty command")
        for field in ("argv", "undo"):
            object.__setattr__(self, field, checks.words(getattr(self, field), f"action {self.name}"))
        object.__setattr__(self, "when_changed", checks.keys(self.when_changed, f"action {self.name}: when_changed"))

    @property
    def key(self) -> str:
        return f"action:{self.name}"

    def reason_to_change(self, system: System, store: ContentStore) -> Optional[str]:
        return None  # the effect of a command cannot be observed

    def change_from(
        self, before: Optional[Resource], system: System, store: ContentStore
    ) -> Optional[Tuple[ChangeAction, str]]:
        return None if before == self else ("change" if before else "create", " ".join(self.argv))

    def plan(self, before: Optional[Resource], around: Surroundings) -> None:
        followed = before.when_changed if isinstance(before, Action) else ()
        if self.key in around.changed or around.triggered(self.when_changed, followed):
            around.work.run.append(Command(self.key, self.argv, self.undo))

    def plan_removal(self, around: Surroundings) -> None:
        if self.undo:
            around.work.undo.append(Command(self.key, self.undo, self.argv))

    def capture(self, system: System, store: ContentStore) -> Dict[str, Any]:
        return {self.key: {}}

    def apply(self, system: System, store: ContentStore) -> None:
        pass  # the switch runs it, since it knows what has changed

    def restore(self, system: System, store: ContentStore, captured: Captured) -> None:
        pass  # as above: the switch runs `undo`
