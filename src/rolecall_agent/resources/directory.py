"""A directory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rolecall_agent.resources import checks


@dataclass(frozen=True)
class Directory:
    """A directory; on removal it goes only when it is empty and ours."""

    kind: ClassVar[str] = "directory"
    path: str
    owner: str = "root"
    group: str = "root"
    mode: int = 0o755

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", checks.absolute_path(str(self.path), "directory"))
        what = f"directory {self.path}"
        checks.matching(checks.ACCOUNT, self.owner, what)
        checks.matching(checks.ACCOUNT, self.group, what)
        checks.mode(self.mode, what)

    @property
    def key(self) -> str:
        """Names this directory among all resources of a machine."""
        return f"directory:{self.path}"
