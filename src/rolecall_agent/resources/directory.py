"""A directory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Dict, Optional

from rolecall_agent.resources import checks, placing
from rolecall_agent.tree import Failure

if TYPE_CHECKING:
    from rolecall_agent.store import Store
    from rolecall_agent.system import System


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

    def difference(self, system: System, store: Store) -> Optional[str]:  # noqa: ARG002 - as every kind
        """In what the machine differs from this; None for nothing."""
        found = placing.placed_wrongly(system.stat(self.path), "directory", self.owner, self.group, self.mode)
        return ", ".join(found) or None

    def capture(self, system: System, store: Store) -> Dict[str, Any]:  # noqa: ARG002 - as every kind
        """What stands there now, for `restore`."""
        entry = system.stat(self.path)
        if entry is None:
            made = {f"made:{self.path}": {"type": "absent"}, **placing.missing_parents(system, self.path)}
            return {self.key: {"type": "absent"}, **made}
        if entry.type != "directory":
            raise Failure(f"a {entry.type} stands at {self.path}, where a directory is declared; move it away first")
        return {self.key: {"owner": entry.owner, "group": entry.group, "mode": entry.mode}}

    def apply(self, system: System, store: Store) -> None:  # noqa: ARG002 - as every kind
        """Makes it so."""
        placing.make_parents(system, self.path)
        if system.stat(self.path) is None:
            system.mkdir(self.path, self.owner, self.group, self.mode)
        else:
            system.own(self.path, self.owner, self.group, self.mode)

    def restore(self, system: System, store: Store, original: Dict[str, Any]) -> None:  # noqa: ARG002 - as every kind
        """Makes it what `capture` found."""
        # One that we made is left to the switch, which removes it once nothing is in it.
        if "mode" in original and system.stat(self.path):
            system.own(self.path, original["owner"], original["group"], original["mode"])
