"""A directory."""
# ruff: noqa: ARG002, D102 - `base.Resource` describes the methods of every kind

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, AbstractSet, Any, ClassVar, Container, Dict, Mapping, Optional, Tuple

from rolecall_agent.errors import Failure
from rolecall_agent.originals import with_known_owner
from rolecall_agent.resources import checks, placing
from rolecall_agent.resources.base import ABSENT, Captured, Resource
from rolecall_agent.resources.obstacles import obstacle

if TYPE_CHECKING:
    from rolecall_agent.content_store import ContentStore
    from rolecall_agent.system import System


@dataclass(frozen=True)
class Directory(Resource):
    """A directory. When undeclared, it is removed only if Rolecall created it and it is empty.

    Attributes:
        path: Absolute path.
        owner: Name of a user, or a user id.
        group: Name of a group, or a group id.
        mode: Permission bits.
    """

    kind: ClassVar[str] = "directory"
    path: str
    owner: str = "root"
    group: str = "root"
    mode: int = 0o755

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", checks.declarable_path(str(self.path), "directory"))
        what = f"directory {self.path}"
        object.__setattr__(self, "owner", checks.owner(self.owner, what))
        object.__setattr__(self, "group", checks.owner(self.group, what))
        checks.mode(self.mode, what)

    @property
    def key(self) -> str:
        return f"directory:{self.path}"

    @property
    def volatile(self) -> bool:
        return self.path.startswith("/run/")

    def paths_on(self, system: System) -> Tuple[str, ...]:
        return (self.path,)

    @property
    def folders(self) -> Tuple[str, ...]:
        return (self.path,)

    def removal_note(self, original: Captured, ending: Container[str], system: System) -> str:
        if original.get("type") != ABSENT:
            return "it stays, with the owner and mode that it had"
        others = any(f"{self.path}/{name}" not in ending for name in system.names(self.path))
        return "its data stays" if others else "removed once it is empty"

    def obstacle(self, system: System) -> str:
        return obstacle(system, self.path, "directory")

    def reason_to_change(self, system: System, store: ContentStore) -> Optional[str]:
        entry = system.stat(self.path)
        return ", ".join(placing.differences(entry, "directory", self.owner, self.group, self.mode)) or None

    def capture(self, system: System, store: ContentStore) -> Dict[str, Any]:
        entry = system.stat(self.path)
        if entry is None:
            created = {f"made:{self.path}": {"type": "absent"}, **placing.missing_parents(system, self.path)}
            return {self.key: {"type": "absent"}, **created}
        if entry.type != "directory":
            raise Failure(f"{self.path} is not a directory; move it away first")
        return {self.key: {"owner": entry.owner, "group": entry.group, "ids": entry.ids, "mode": entry.mode}}

    def before_switch(
        self, captured: Captured, made: AbstractSet[str], units: Mapping[str, Mapping[str, bool]]
    ) -> Captured:
        return {"type": ABSENT} if f"made:{self.path}" in made else captured

    def apply(self, system: System, store: ContentStore) -> None:
        placing.make_parents(system, self.path)
        if system.stat(self.path) is None:
            system.mkdir(self.path, self.owner, self.group, self.mode)
        else:
            system.set_access(self.path, "directory", self.owner, self.group, self.mode)

    def restore(self, system: System, store: ContentStore, captured: Captured) -> None:
        # The switch removes directories that Rolecall created, once they are empty.
        if "mode" not in captured:
            return
        captured = with_known_owner(captured, system)
        if system.stat(self.path) is None:
            system.mkdir(self.path, captured["owner"], captured["group"], captured["mode"])
        else:
            system.set_access(self.path, "directory", captured["owner"], captured["group"], captured["mode"])

    def difference_from(self, captured: Captured, system: System, store: ContentStore) -> str:
        if captured.get("type") == ABSENT:
            return ""  # it stays while something that Rolecall did not put there is in it
        return super().difference_from(captured, system, store)
