"""A symbolic link."""
# ruff: noqa: ARG002, D102 - `base.Resource` describes the methods of every kind

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Container, Dict, Optional, Tuple

from rolecall_agent.errors import Failure
from rolecall_agent.resources import checks, placing
from rolecall_agent.resources.base import ABSENT, Captured, Resource, difference
from rolecall_agent.resources.obstacles import obstacle

if TYPE_CHECKING:
    from rolecall_agent.content_store import ContentStore
    from rolecall_agent.system import System


@dataclass(frozen=True)
class Symlink(Resource):
    """A symbolic link. A file that is in its place is put back when it is undeclared.

    Attributes:
        path: Absolute path. Missing parent folders are created.
        target: Where it leads: an absolute path, or one relative to the link's folder.
        owner: Name of a user, or a user id.
        group: Name of a group, or a group id.
        needs_target: Whether a plan refuses it where the target, an absolute path, does not exist. By default, it need
            not exist.
    """

    kind: ClassVar[str] = "symlink"
    path: str
    target: str
    owner: str = "root"
    group: str = "root"
    needs_target: Optional[bool] = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", checks.declarable_path(str(self.path), "symlink"))
        what = f"symlink {self.path}"
        checks.require(self.target, f"{what}: the target is empty")
        checks.single_line(self.target, f"{what}: target")
        object.__setattr__(self, "owner", checks.owner(self.owner, what))
        object.__setattr__(self, "group", checks.owner(self.group, what))

    @property
    def key(self) -> str:
        return f"symlink:{self.path}"

    @property
    def volatile(self) -> bool:
        return self.path.startswith("/run/")

    def paths_on(self, system: System) -> Tuple[str, ...]:
        return (self.path,)

    def removal_note(self, original: Captured, ending: Container[str], system: System) -> str:
        return "the original is restored" if original.get("type", ABSENT) != ABSENT else ""

    def obstacle(self, system: System) -> str:
        return obstacle(system, self.path, "symlink")

    def lacks(self, system: System) -> str:
        missing = self.needs_target and system.stat(self.target) is None
        return f"{self.target} does not exist on this machine" if missing else ""

    def reason_to_change(self, system: System, store: ContentStore) -> Optional[str]:
        entry = system.stat(self.path)
        mode = entry.mode if entry else 0  # it means nothing
        differences = placing.differences(entry, "symlink", self.owner, self.group, mode)
        if entry and entry.type == "symlink" and entry.target != self.target:
            differences.insert(0, f"to {entry.target}, not {self.target}")
        return ", ".join(differences) or None

    def capture(self, system: System, store: ContentStore) -> Dict[str, Any]:
        return {self.key: store.capture(self.path), **placing.missing_parents(system, self.path)}

    def apply(self, system: System, store: ContentStore) -> None:
        if system.boots and (lack := self.lacks(system)):
            raise Failure(f"{self.path}: {lack}")
        placing.make_parents(system, self.path)
        system.symlink(self.path, self.target, self.owner, self.group)

    def restore(self, system: System, store: ContentStore, captured: Captured) -> None:
        placing.make_parents(system, self.path)
        store.restore(self.path, captured)

    def difference_from(self, captured: Captured, system: System, store: ContentStore) -> str:
        return difference(captured, store.look(self.path), system)
