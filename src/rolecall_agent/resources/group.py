"""A group of the system."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Dict, Optional

from rolecall_agent.resources import checks
from rolecall_agent.resources.placing import ABSENT

if TYPE_CHECKING:
    from rolecall_agent.store import Store
    from rolecall_agent.system import System


@dataclass(frozen=True)
class Group:
    """A system group. One that we made stays when it is undeclared: files may bear its id."""

    kind: ClassVar[str] = "group"
    name: str

    def __post_init__(self) -> None:
        checks.matching(checks.ACCOUNT, self.name, "group")

    @property
    def key(self) -> str:
        """Names this group among all resources of a machine."""
        return f"group:{self.name}"

    def difference(self, system: System, store: Store) -> Optional[str]:  # noqa: ARG002 - as every kind
        """In what the machine differs from this; None for nothing."""
        return None if system.group(self.name) else ABSENT

    def capture(self, system: System, store: Store) -> Dict[str, Any]:  # noqa: ARG002 - as every kind
        """What stands there now, for `restore`."""
        return {self.key: {}}

    def apply(self, system: System, store: Store) -> None:  # noqa: ARG002 - as every kind
        """Makes it so."""
        if not system.group(self.name):
            system.add_group(self.name)

    def restore(self, system: System, store: Store, original: Dict[str, Any]) -> None:
        """Makes it what `capture` found."""
        # Its id stays taken, so that nobody else gets its files.
