"""A user of the system."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Tuple

from rolecall_agent.resources import checks


@dataclass(frozen=True)
class User:
    """A system user without a password, with a group of its own name.

    Attributes:
        name: Login name.
        home: Home directory; made when missing, owned by the user, never removed with it.
        shell: Login shell.
        groups: Supplementary groups, which must exist or be declared. Those of equal users unite.
    """

    kind: ClassVar[str] = "user"
    name: str
    home: str = "/nonexistent"
    shell: str = "/usr/sbin/nologin"
    groups: Tuple[str, ...] = ()

    def __post_init__(self) -> None:
        what = f"user {self.name}"
        checks.matching(checks.ACCOUNT, self.name, "user")
        object.__setattr__(self, "home", checks.absolute_path(str(self.home), what))
        checks.absolute_path(self.shell, what)
        groups = checks.each(lambda name, at: checks.matching(checks.ACCOUNT, name, at), self.groups, what)
        object.__setattr__(self, "groups", tuple(sorted(set(groups))))

    @property
    def key(self) -> str:
        """Names this user among all resources of a machine."""
        return f"user:{self.name}"
