"""A system user."""
# ruff: noqa: ARG002, D102 - `base.Resource` describes the methods of every kind

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Dict, FrozenSet, Iterable, List, Mapping, Optional, Tuple

from rolecall_agent.resources import checks, placing
from rolecall_agent.resources.base import ABSENT, Captured, Resource
from rolecall_agent.resources.obstacles import obstacle
from rolecall_agent.system import Account

if TYPE_CHECKING:
    from rolecall_agent.content_store import ContentStore
    from rolecall_agent.system import System

NO_HOME = "/nonexistent"
_NO_LOGIN = "/usr/sbin/nologin"


@dataclass(frozen=True)
class User(Resource):
    """A system user without a password, and a group of the same name.

    Attributes:
        name: Login name.
        home: Home directory, owned by the user. Created when missing; kept when the user is undeclared.
        shell: Login shell.
        groups: Supplementary groups, which must exist or be declared. Several declarations of a user are merged.
    """

    kind: ClassVar[str] = "user"
    name: str
    home: str = "/nonexistent"
    shell: str = "/usr/sbin/nologin"
    groups: Tuple[str, ...] = ()

    def __post_init__(self) -> None:
        what = f"user {self.name}"
        checks.matching(checks.ACCOUNT, self.name, "user")
        object.__setattr__(self, "home", checks.outside_state(checks.absolute_path(str(self.home), what), what))
        checks.absolute_path(self.shell, what)
        groups = checks.elements(lambda name, at: checks.matching(checks.ACCOUNT, name, at), self.groups, what)
        object.__setattr__(self, "groups", tuple(sorted(set(groups))))

    @property
    def key(self) -> str:
        return f"user:{self.name}"

    def paths_on(self, system: System) -> Tuple[str, ...]:
        return (self.home,) if self.home != NO_HOME else ()

    def removal_note(self, original: Captured) -> str:
        return "locked; its id and home are kept"

    def obstacle(self, system: System) -> str:
        missing = self.home != NO_HOME and system.stat(self.home) is None
        return obstacle(system, self.home, "directory") if missing else ""

    def reason_to_change(self, system: System, store: ContentStore) -> Optional[str]:
        account = system.accounts.user(self.name)
        if account is None:
            return ABSENT
        reasons = []
        if account.home != self.home:
            reasons.append(f"home {account.home}, not {self.home}")
        if account.shell != self.shell:
            reasons.append(f"shell {account.shell}, not {self.shell}")
        if account.groups != self._groups(account, store):
            reasons.append("groups")
        if account.locked:
            reasons.append("locked")
        if self.home != NO_HOME and system.stat(self.home) is None:
            reasons.append("no home directory")
        return ", ".join(reasons) or None

    def capture(self, system: System, store: ContentStore) -> Dict[str, Any]:
        account = system.accounts.user(self.name)
        parents = placing.missing_parents(system, self.home) if self.home != NO_HOME else {}
        if account is None:
            return {self.key: {"type": "absent"}, **parents}
        fields = {"home": account.home, "shell": account.shell, "locked": account.locked}
        return {self.key: {**fields, "groups": sorted(account.groups)}, **parents}

    def apply(self, system: System, store: ContentStore) -> None:
        account = system.accounts.user(self.name)
        wanted = Account(self.home, self.shell, self._groups(account, store))
        if account is None:
            system.accounts.add_user(self.name, wanted)
        elif account != wanted:
            system.accounts.change_user(self.name, wanted)
        if self.home != NO_HOME and system.stat(self.home) is None:
            placing.make_parents(system, self.home)
            system.mkdir(self.home, self.name, self.name, 0o750)

    def restore(self, system: System, store: ContentStore, captured: Captured) -> None:
        account = system.accounts.user(self.name)
        if account is None:
            return
        before = Account(account.home, _NO_LOGIN, frozenset(), locked=True)  # not removed: its files stay
        if "home" in captured:
            groups = frozenset(captured["groups"])
            before = Account(captured["home"], captured["shell"], groups, captured["locked"])
        if account != before:
            system.accounts.change_user(self.name, before)

    @classmethod
    def settle(cls, ended: Mapping[str, Captured], declared: Iterable[Captured], system: System) -> List[str]:  # noqa: ARG003 - as above
        names = [key.partition(":")[2] for key in ended]
        return [
            f"user {name} is locked, but its processes run on; `pkill -u {name}` ends them"
            for name in names
            if (account := system.accounts.user(name)) and account.locked and system.accounts.has_processes(name)
        ]

    def difference_from(self, captured: Captured, system: System, store: ContentStore) -> str:
        account = system.accounts.user(self.name)
        if captured.get("type") == ABSENT:
            return "can still log in" if account and not account.locked else ""
        return super().difference_from(captured, system, store)

    def _groups(self, account: Optional[Account], store: ContentStore) -> FrozenSet[str]:
        """Return the declared groups, and those that the user was in before it was managed."""
        original = store.originals.get(self.key)
        before = original.get("groups", ()) if original is not None else account.groups if account else ()
        return frozenset(self.groups) | frozenset(before)
