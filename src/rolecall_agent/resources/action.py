"""A command that runs when something changed: the journalled escape hatch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Dict, Optional, Tuple, Union

from rolecall_agent.resources import checks

if TYPE_CHECKING:
    from rolecall_agent.resources import Resource
    from rolecall_agent.store import Store
    from rolecall_agent.system import System


@dataclass(frozen=True)
class Action:
    """A command run once whenever one of the named resources changes, and when the action itself is new.

    Attributes:
        name: Names it among all actions of the machine.
        argv: Absolute or PATH-searched program and its arguments; no shell.
        when_changed: Keys of resources (or the resources).
        undo: Command run when the action is undeclared or rolled back, or ().
    """

    kind: ClassVar[str] = "action"
    name: str
    argv: Tuple[str, ...]
    when_changed: Tuple[Union[str, Resource], ...] = ()
    undo: Tuple[str, ...] = ()

    def __post_init__(self) -> None:
        checks.single_line(self.name, "action")
        checks.require(self.argv, f"action {self.name}: a command without words")
        for field in ("argv", "undo"):
            object.__setattr__(self, field, checks.words(getattr(self, field), f"action {self.name}"))
        object.__setattr__(self, "when_changed", checks.keys(self.when_changed, f"action {self.name}: when_changed"))

    @property
    def key(self) -> str:
        """Names this action among all resources of a machine."""
        return f"action:{self.name}"

    def difference(self, system: System, store: Store) -> Optional[str]:  # noqa: ARG002 - as every kind
        """In what the machine differs from this; None for nothing."""
        return None  # what a command did cannot be seen; the switch knows when it is due

    def capture(self, system: System, store: Store) -> Dict[str, Any]:  # noqa: ARG002 - as every kind
        """What stands there now, for `restore`."""
        return {self.key: {}}

    def apply(self, system: System, store: Store) -> None:
        """Makes it so."""
        # The switch runs it, with its triggers known.

    def restore(self, system: System, store: Store, original: Dict[str, Any]) -> None:
        """Makes it what `capture` found."""
        # As above: its undo.
