"""A system user."""
# ruff: noqa: ARG002, D102 - `base.Resource` describes the methods of every kind

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import (
    TYPE_CHECKING,
    AbstractSet,
    Any,
    ClassVar,
    Container,
    Dict,
    FrozenSet,
    Iterable,
    List,
    Mapping,
    Optional,
    Sequence,
    Set,
    Tuple,
)

from rolecall_agent.content import Secret
from rolecall_agent.errors import Failure
from rolecall_agent.resources import checks, placing
from rolecall_agent.resources.base import ABSENT, Captured, Report, Resource
from rolecall_agent.resources.obstacles import obstacle
from rolecall_agent.seam.accounts import Account
from rolecall_agent.state import remove_all

if TYPE_CHECKING:
    from rolecall_agent.content import Part
    from rolecall_agent.content_store import ContentStore
    from rolecall_agent.system import System
    from rolecall_agent.work import Surroundings

NO_HOME = "/nonexistent"
_NO_LOGIN = "/usr/sbin/nologin"
_HASH = re.compile(r"\$[!-9;-~]+\Z")  # crypt(5), without the methods of old, which have no prefix
_COMMENT = re.compile(r"[^:\x00-\x1f\x7f]*\Z")  # passwd(5)


@dataclass(frozen=True)
class User(Resource):
    """A system user, by default without a password and with a group of the same name.

    What is None is left as it is: other programs and people may change it.

    Attributes:
        name: Login name.
        home: Home directory. Created when missing, owned by the user; kept when the user is undeclared, unless empty.
        shell: Login shell.
        groups: Supplementary groups, which must exist or be declared. Several declarations of a user are merged.
        uid: User id; by default one that the machine chooses.
        group: Primary group, which must exist or be declared.
        comment: Comment (GECOS), such as a full name.
        password: Hash of the password, as the generator `Password` makes it: ``me[var].hash``.
    """

    kind: ClassVar[str] = "user"
    name: str
    home: str = "/nonexistent"
    shell: str = "/usr/sbin/nologin"
    groups: Tuple[str, ...] = ()
    uid: Optional[int] = None
    group: Optional[str] = None
    comment: Optional[str] = None
    password: Optional[Secret] = None

    def __post_init__(self) -> None:
        what = f"user {checks.account(self.name, 'user')}"
        object.__setattr__(self, "home", checks.outside_state(checks.absolute_path(str(self.home), what), what))
        checks.absolute_path(self.shell, what)
        groups = checks.elements(checks.account, self.groups, what)
        object.__setattr__(self, "groups", tuple(sorted(set(groups))))
        if self.uid is not None:
            checks.account_id(self.uid, f"{what}: uid")
        if self.group is not None:
            checks.account(self.group, f"{what}: group")
        if self.comment is not None:
            checks.matching(_COMMENT, self.comment, f"{what}: comment")
        hint = "password must be a secret with the hash of one, such as `me[var].hash`"
        checks.require(self.password is None or isinstance(self.password, Secret), f"{what}: {hint}")

    @property
    def key(self) -> str:
        return f"user:{self.name}"

    @property
    def partial(self) -> bool:
        return True

    @property
    def parts(self) -> Tuple[Part, ...]:
        return (self.password,) if self.password else ()

    @property
    def content_parts(self) -> Tuple[Part, ...]:
        return ()  # a password hash is none

    def paths_on(self, system: System) -> Tuple[str, ...]:
        return (self.home,) if self.home != NO_HOME else ()

    @property
    def folders(self) -> Tuple[str, ...]:
        return (self.home,) if self.home != NO_HOME else ()

    def removal_note(self, original: Captured, ending: Container[str], system: System) -> str:
        created = original.get("type") == ABSENT
        return "locked; its id is kept, and its home unless that is empty" if created else "it is as it was before"

    def note(self, system: System) -> str:
        account = system.accounts.user(self.name)
        changes = account and self.uid not in {None, account.uid}
        return f"only files in its home get the new id, others keep {account.uid}" if account and changes else ""

    def obstacle(self, system: System) -> str:
        account = system.accounts.user(self.name)
        other = system.accounts.user_of(self.uid) if self.uid is not None else ""
        if other not in {"", self.name}:
            return f"the id {self.uid} belongs to user {other}; declare another one"
        if account and self._moves(account):
            sessions = [pid for pid, unit in system.accounts.processes(self.name).items() if not unit]
            if sessions:
                return f"process {sessions[0]} runs as {self.name}; end its sessions with `pkill -u {self.name}`"
        missing = self.home != NO_HOME and system.stat(self.home) is None
        return obstacle(system, self.home, "directory") if missing else ""

    @classmethod
    def verify(cls, resources: Sequence[User], changed: Set[str], system: System, store: ContentStore) -> None:  # noqa: ARG003 - as above
        for user in resources:
            if user.key in changed and user.password:
                _hash_of(user.name, user.password, store)

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
        reasons += [
            f"{field} {now}, not {wanted}"
            for field, now, wanted in (
                ("uid", account.uid, self.uid),
                ("group", account.group, self.group),
                ("comment", account.comment, self.comment),
            )
            if wanted not in {None, now}
        ]
        if self.password and not store.matches(self.parts, account.password.encode()):
            reasons.append("password")
        if account.locked:
            reasons.append("locked")
        if self.home != NO_HOME and system.stat(self.home) is None:
            reasons.append("no home directory")
        return ", ".join(reasons) or None

    def plan(self, before: Optional[Resource], around: Surroundings) -> None:
        account = around.system.accounts.user(self.name)
        if self.key in around.changed and account and self._moves(account):
            around.work.hold += _units_of(self.name, around.system)

    def plan_removal(self, around: Surroundings) -> None:
        account, original = around.system.accounts.user(self.name), around.store.originals.get(self.key, {})
        if account and _moves(account, _before(account, original)):
            around.work.hold += _units_of(self.name, around.system)

    def capture(self, system: System, store: ContentStore) -> Dict[str, Any]:
        account = system.accounts.user(self.name)
        made: Dict[str, Any] = {}
        entry = system.stat(self.home)
        if self.home != NO_HOME and entry is None:
            made = {f"made:{self.home}": {"type": "absent"}, **placing.missing_parents(system, self.home)}
        if account is None:
            grouped = {"grouped": True} if system.accounts.has_group(self.name) else {}
            return {self.key: {"type": "absent", **grouped}, **made}
        fields = ["home", "shell", "locked", "groups"]
        fields += [name for name in ("uid", "group", "comment", "password") if getattr(self, name) is not None]
        folder = {"folder": [entry.owner, entry.group, entry.mode]} if entry else {}
        return {self.key: {**_fields(account, fields), **folder}, **made}

    def apply(self, system: System, store: ContentStore) -> None:
        account = system.accounts.user(self.name)
        wanted = self._wanted(account, self._groups(account, store))
        if self.password and not (account and store.matches(self.parts, account.password.encode())):
            wanted = replace(wanted, password=_hash_of(self.name, self.password, store))
        if account is None:
            system.accounts.add_user(self.name, wanted)
        else:
            _change(system, self.name, account, wanted)
        if self.home != NO_HOME and system.stat(self.home) is None:
            placing.make_parents(system, self.home)
            made = system.accounts.user(self.name)
            system.mkdir(self.home, self.name, made.group if made else self.name, 0o750)

    @classmethod
    def apply_all(cls, resources: Sequence[User], system: System, store: ContentStore, report: Report) -> None:
        pending = [user for user in resources if user.reason_to_change(system, store)]
        # A user may be in the group of another one, and that one in its group: users first, then their groups.
        for user in pending:
            report(user.kind, user.name)
        absent = [user for user in pending if system.accounts.user(user.name) is None]
        while absent:
            ready = [user for user in absent if not user.group or system.accounts.has_group(user.group)] or absent
            for user in ready:
                present = tuple(filter(system.accounts.has_group, user.groups))
                replace(user, groups=present).apply(system, store)
            absent = [user for user in absent if user not in ready]
        for user in pending:
            user.apply(system, store)

    def restore(self, system: System, store: ContentStore, captured: Captured) -> None:
        account = system.accounts.user(self.name)
        if account:
            _change(system, self.name, account, _before(account, captured))
            if self._lacks_folder(captured, system):
                placing.make_parents(system, self.home)
                system.mkdir(self.home, *captured["folder"])

    @classmethod
    def settle(cls, ended: Mapping[str, Captured], declared: Iterable[Captured], system: System) -> List[str]:  # noqa: ARG003 - as above
        names = [key.partition(":")[2] for key in ended]
        return [
            f"user {name} is locked, but its processes run on; `pkill -u {name}` ends them"
            for name in names
            if (account := system.accounts.user(name)) and account.locked and system.accounts.processes(name)
        ]

    @classmethod
    def left(cls, ended: Mapping[str, Captured], made: AbstractSet[str], system: System) -> Dict[str, Captured]:
        names = [key.partition(":")[2] for key, original in ended.items() if original.get("type") == ABSENT]
        accounts = {name: system.accounts.user(name) for name in names}
        return {
            f"user:{name}": {
                "uid": account.uid,
                "home": account.home if account.home in made else "",
                "folders": [path for path in sorted(made) if path != account.home and _owns(name, path, system)],
                "grouped": bool(ended[f"user:{name}"].get("grouped")),
            }
            for name, account in accounts.items()
            if account
        }

    @classmethod
    def remove_left(cls, name: str, left: Captured, system: System, *, homes: bool) -> List[str]:
        account = system.accounts.user(name)
        if account and (account.uid != left["uid"] or not account.locked):
            return [f"user {name} is kept: somebody else uses it now"]
        if account is None:
            return []
        if system.accounts.processes(name):
            raise Failure(f"user {name} cannot be removed: its processes run; `pkill -u {name}` ends them")
        home = left["home"]
        if homes and home and _owns(name, home, system) and not _has_mounts(home, system):
            remove_all(system, home)
        kept = [path for path in (home, *left.get("folders", ())) if path and _owns(name, path, system)]
        if kept:  # the next user that gets its id could read them
            hint = "" if homes or home not in kept else "; `--homes` removes homes"
            return [f"user {name} is kept, locked, since it owns {', '.join(kept)}{hint}"]
        gid = system.accounts.gid(name)
        system.accounts.remove_user(name)
        if left.get("grouped") and gid is not None and system.accounts.gid(name) is None:
            system.accounts.add_group(name, gid)  # userdel(8) has removed it too, but it was there before the user
        return []

    def difference_from(self, captured: Captured, system: System, store: ContentStore) -> str:
        account = system.accounts.user(self.name)
        if captured.get("type") == ABSENT:
            return "can still log in" if account and not account.locked else ""
        if account is None:
            return "it is gone"
        names = [name for name, value in _fields(account, captured).items() if value != captured[name]]
        names += ["folder"] if self._lacks_folder(captured, system) else []
        return f"not as before: {', '.join(sorted(names))}" if names else ""

    def _lacks_folder(self, captured: Captured, system: System) -> bool:
        """Return whether the home that there was when it was captured is gone, since it was empty."""
        return "folder" in captured and system.stat(self.home) is None

    def _moves(self, account: Account) -> bool:
        return _moves(account, self._wanted(account, account.groups))

    def _wanted(self, account: Optional[Account], groups: FrozenSet[str]) -> Account:
        """Return the account as it is declared; with the password that it has."""
        declared = {name: getattr(self, name) for name in ("uid", "group", "comment")}
        fields = {name: value for name, value in declared.items() if value is not None}
        now = account or Account(self.home, self.shell, groups)
        return replace(now, home=self.home, shell=self.shell, groups=groups, locked=False, **fields)

    def _groups(self, account: Optional[Account], store: ContentStore) -> FrozenSet[str]:
        """Return the declared groups, and those that the user was in before it was managed."""
        original = store.originals.get(self.key)
        before = original.get("groups", ()) if original is not None else account.groups if account else ()
        return frozenset(self.groups) | frozenset(before)


def _hash_of(user: str, password: Secret, store: ContentStore) -> str:
    """Return the hash of a user's password.

    Raises:
        Failure: When the secret is something else, which is not shown.
    """
    text = store.content((password,)).decode(errors="replace")
    if not _HASH.match(text):
        name = f"{password.name}/{password.file}"
        raise Failure(f"user {user}: the secret {name} is not the hash of a password, as crypt(5) describes it")
    return text


def _fields(account: Account, names: Iterable[str]) -> Captured:
    """Return fields of an account as JSON."""
    fields = {name: getattr(account, name) for name in names if hasattr(account, name)}
    return {**fields, "groups": sorted(account.groups)}


def _before(account: Account, captured: Captured) -> Account:
    """Return an account as it was captured; one that did not exist is locked, since its files stay."""
    if "home" not in captured:
        return replace(account, shell=_NO_LOGIN, groups=frozenset(), locked=True)
    fields = {name: value for name, value in captured.items() if hasattr(account, name)}
    return replace(account, **{**fields, "groups": frozenset(captured["groups"])})


def _moves(account: Account, wanted: Account) -> bool:
    """Return whether usermod(8) refuses the change while processes of the user run."""
    return (account.uid, account.home) != (wanted.uid, wanted.home)


def _change(system: System, name: str, account: Account, wanted: Account) -> None:
    if _moves(account, wanted):
        system.units.run("stop", _units_of(name, system))
    if account != wanted:
        system.accounts.change_user(name, wanted)


def _owns(name: str, path: str, system: System) -> bool:
    entry = system.stat(path)
    return entry is not None and entry.owner == name


def _has_mounts(path: str, system: System) -> bool:
    """Return whether something is mounted at or below a folder."""
    entry = system.stat(path)
    if entry is None or entry.type != "directory":
        return False
    below = (f"{path}/{name}" for name in system.names(path))
    return system.barriers(path).mounted or any(_has_mounts(each, system) for each in below)


def _units_of(name: str, system: System) -> List[str]:
    """Return the units whose processes run as a user."""
    return sorted({unit for unit in system.accounts.processes(name).values() if unit})
