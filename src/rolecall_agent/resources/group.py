"""A group of the system."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rolecall_agent.resources import checks


@dataclass(frozen=True)
class Group:
    """A system group."""

    kind: ClassVar[str] = "group"
    name: str

    def __post_init__(self) -> None:
        checks.matching(checks.ACCOUNT, self.name, "group")

    @property
    def key(self) -> str:
        """Names this group among all resources of a machine."""
        return f"group:{self.name}"
