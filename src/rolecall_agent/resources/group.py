"""A group of the system."""
# ruff: noqa: ARG002, D102 - `base.Resource` describes the methods of every kind

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Dict, Optional

from rolecall_agent.resources import checks
from rolecall_agent.resources.base import ABSENT, Captured, Resource

if TYPE_CHECKING:
    from rolecall_agent.content_store import ContentStore
    from rolecall_agent.system import System


@dataclass(frozen=True)
class Group(Resource):
    """A system group. It is kept when it is undeclared, since files may have its id."""

    kind: ClassVar[str] = "group"
    name: str

    def __post_init__(self) -> None:
        checks.matching(checks.ACCOUNT, self.name, "group")

    @property
    def key(self) -> str:
        return f"group:{self.name}"

    def removal_note(self, original: Captured) -> str:
        return "no longer managed; it is kept"

    def reason_to_change(self, system: System, store: ContentStore) -> Optional[str]:
        return None if system.accounts.has_group(self.name) else ABSENT

    def capture(self, system: System, store: ContentStore) -> Dict[str, Any]:
        return {self.key: {}}

    def apply(self, system: System, store: ContentStore) -> None:
        if not system.accounts.has_group(self.name):
            system.accounts.add_group(self.name)

    def restore(self, system: System, store: ContentStore, captured: Captured) -> None:
        pass  # kept, so that no other group gets its id and with it access to its files
