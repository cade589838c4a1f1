"""A group of the system."""
# ruff: noqa: ARG002, D102 - `base.Resource` describes the methods of every kind

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, AbstractSet, Any, ClassVar, Container, Dict, List, Mapping, Optional

from rolecall_agent.errors import Failure
from rolecall_agent.resources import checks
from rolecall_agent.resources.base import ABSENT, Captured, Resource

if TYPE_CHECKING:
    from rolecall_agent.content_store import ContentStore
    from rolecall_agent.system import System


@dataclass(frozen=True)
class Group(Resource):
    """A system group. It is kept when it is undeclared, since files may have its id.

    Attributes:
        name: Its name.
        gid: Group id; by default one that the machine chooses.
    """

    kind: ClassVar[str] = "group"
    name: str
    gid: Optional[int] = None

    def __post_init__(self) -> None:
        checks.account(self.name, "group")
        if self.gid is not None:
            checks.account_id(self.gid, f"group {self.name}: gid")

    @property
    def key(self) -> str:
        return f"group:{self.name}"

    @property
    def partial(self) -> bool:
        return True

    def removal_note(self, original: Captured, ending: Container[str], system: System) -> str:
        return "no longer managed; it is kept"

    def note(self, system: System) -> str:
        now = system.accounts.gid(self.name)
        changes = now is not None and self.gid not in {None, now}
        return f"files of the group keep the id {now}" if changes else ""

    def obstacle(self, system: System) -> str:
        other = system.accounts.group_of(self.gid) if self.gid is not None else ""
        taken = other not in {"", self.name}
        return f"the id {self.gid} belongs to group {other}; declare another one" if taken else ""

    def reason_to_change(self, system: System, store: ContentStore) -> Optional[str]:
        gid = system.accounts.gid(self.name)
        if gid is None:
            return ABSENT
        return f"gid {gid}, not {self.gid}" if self.gid not in {None, gid} else None

    def capture(self, system: System, store: ContentStore) -> Dict[str, Any]:
        gid = system.accounts.gid(self.name)
        if gid is None:
            return {self.key: {"type": "absent"}}
        return {self.key: {} if self.gid is None else {"gid": gid}}

    def apply(self, system: System, store: ContentStore) -> None:
        if not system.accounts.has_group(self.name):
            system.accounts.add_group(self.name, self.gid)
        elif self.gid is not None:
            system.accounts.change_group(self.name, self.gid)

    def restore(self, system: System, store: ContentStore, captured: Captured) -> None:
        # One that was created is kept, so that no other group gets its id and with it access to its files.
        if "gid" in captured and system.accounts.gid(self.name) not in {None, captured["gid"]}:
            system.accounts.change_group(self.name, captured["gid"])

    @classmethod
    def left(cls, ended: Mapping[str, Captured], made: AbstractSet[str], system: System) -> Dict[str, Captured]:  # noqa: ARG003 - as above
        names = [key.partition(":")[2] for key, original in ended.items() if original.get("type") == ABSENT]
        ids = {name: system.accounts.gid(name) for name in names}
        return {f"group:{name}": {"gid": gid} for name, gid in ids.items() if gid is not None}

    @classmethod
    def remove_left(cls, name: str, left: Captured, system: System, *, homes: bool) -> List[str]:  # noqa: ARG003 - as above
        if system.accounts.gid(name) != left["gid"]:
            return []  # its user has taken it along, or somebody has made it again
        try:
            system.accounts.remove_group(name)
        except Failure as failure:  # it may have become the primary group of a user
            return [f"group {name} is kept: {failure.detail.strip() or failure.message}"]
        return []

    def difference_from(self, captured: Captured, system: System, store: ContentStore) -> str:
        gid = system.accounts.gid(self.name)
        if captured.get("type") == ABSENT:
            return ""
        if gid is None:
            return "it is gone"
        return f"not as before: gid {gid}" if captured.get("gid", gid) != gid else ""
