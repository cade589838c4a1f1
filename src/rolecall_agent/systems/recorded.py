"""A recorded system: files are real, below a directory; everything else is only recorded in a file."""
# ruff: noqa: D102 - `system` and `seam` describe the methods

from __future__ import annotations

import contextlib
import json
import os
import time
import zlib
from typing import TYPE_CHECKING, AbstractSet, Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from rolecall_agent.errors import Failure
from rolecall_agent.seam.accounts import Account
from rolecall_agent.seam.packages import PackageState
from rolecall_agent.seam.units import UNIT_FOLDERS, UnitState
from rolecall_agent.state import sync
from rolecall_agent.systems.os_release import read_os_release
from rolecall_agent.tree import Entry, Tree

if TYPE_CHECKING:
    from rolecall_agent.fingerprint import Answer

RECORD = "var/lib/rolecall/system.json"


class Record:
    """What is recorded, in a file.

    Attributes:
        data: Its content; `save` writes it.
    """

    def __init__(self, root: str) -> None:
        self._file = os.path.join(root, RECORD)
        os.makedirs(os.path.dirname(self._file), 0o700, exist_ok=True)
        empty: Dict[str, Any] = {"users": {}, "groups": [], "gids": {}, "packages": [], "units": {}, "owners": {}}
        self.data: Dict[str, Any] = {
            **empty,
            "processes": {},
            "kernel": {},
            "commands": [],
            "fail": {},
            "broken": {},
            "repository": {},
            "answers": {},
            "boots": 1,
        }
        with contextlib.suppress(FileNotFoundError), open(self._file, encoding="utf-8") as file:
            self.data.update(json.load(file))

    def save(self) -> None:
        """Write it; readers see all of it or what was there before."""
        with open(self._file + ".new", "w", encoding="utf-8") as file:
            json.dump(self.data, file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        os.rename(self._file + ".new", self._file)
        sync(os.path.dirname(self._file))

    def fails(self, kind: str) -> List[str]:
        """Return the names of a kind that must fail."""
        names: List[str] = self.data["fail"].get(kind, [])
        return names


def _id_of(name: str) -> int:
    """Return the id of a user or group for which none is declared."""
    return 10000 + zlib.crc32(name.encode()) % 50000


class RecordedAccounts:
    """Accounts that exist only in the record."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def has_group(self, name: str) -> bool:
        return name == "root" or name in self._record.data["groups"]

    def gid(self, name: str) -> Optional[int]:
        return self._record.data["gids"].get(name, _id_of(name)) if self.has_group(name) else None

    def group_of(self, gid: int) -> str:
        return next((name for name in ("root", *self._record.data["groups"]) if self.gid(name) == gid), "")

    def add_group(self, name: str, gid: Optional[int] = None) -> None:
        self._record.data["groups"] = sorted({*self._record.data["groups"], name})
        self.change_group(name, _id_of(name) if gid is None else gid)

    def remove_group(self, name: str) -> None:
        self._record.data["groups"] = [group for group in self._record.data["groups"] if group != name]
        self._record.data["gids"].pop(name, None)
        self._record.save()

    def change_group(self, name: str, gid: int) -> None:
        self._record.data["gids"].pop(name, None)
        if gid != _id_of(name):
            self._record.data["gids"][name] = gid
        self._record.save()

    def user(self, name: str) -> Optional[Account]:
        if name == "root":
            return Account("/root", "/bin/bash", frozenset(), uid=0, group="root")
        user = self._record.data["users"].get(name)
        own = {"uid": _id_of(name), "group": name}
        return Account(**{**own, **user, "groups": frozenset(user["groups"])}) if user else None

    def user_of(self, uid: int) -> str:
        names = ("root", *self._record.data["users"])
        return next((name for name in names if (user := self.user(name)) and user.uid == uid), "")

    def processes(self, name: str) -> Dict[int, str]:
        units = self._record.data["processes"].get(name, ())
        return {pid: unit for pid, unit in enumerate(units, 1) if not unit or self._runs(unit)}

    def add_user(self, name: str, account: Account) -> None:
        self._set_user(name, account)
        if account.group:
            self._record.save()
        else:
            self.add_group(name, self.gid(name))  # which writes both at once

    def remove_user(self, name: str) -> None:
        del self._record.data["users"][name]
        self.remove_group(name)  # which writes both at once

    def change_user(self, name: str, account: Account) -> None:
        before = self.user(name)
        moves = before is None or (before.uid, before.home) != (account.uid, account.home)
        if moves and self.processes(name):
            raise Failure(f"user {name} is currently used by process 1")
        self._set_user(name, account)
        self._record.save()

    def _runs(self, unit: str) -> bool:
        return bool(self._record.data["units"].get(unit, {}).get("active"))

    def _set_user(self, name: str, account: Account) -> None:
        needed = {*account.groups, *filter(None, [account.group])}
        missing = sorted(group for group in needed if not self.has_group(group))
        if missing:
            raise Failure(f"user {name}: group {missing[0]} does not exist")
        fields = {"home": account.home, "shell": account.shell, "groups": sorted(account.groups)}
        usual = {"uid": _id_of(name), "group": name}
        others = {key: getattr(account, key) for key in ("uid", "group", "comment", "password")}
        unusual = {key: value for key, value in others.items() if value and value != usual.get(key)}
        self._record.data["users"][name] = {**fields, "locked": account.locked, **unusual}


class RecordedPackages:
    """Packages that exist only in the record; ``repository`` has the ``version`` of some, and what they ``need``."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def prefetch(self, names: Iterable[str]) -> None:
        pass

    def state(self, name: str) -> PackageState:
        status = "installed" if name in self._record.data["packages"] else "not-installed"
        status = self._record.data["broken"].get(name, status)
        return PackageState(status, "" if status == "not-installed" else self._version(name))

    def preview(self, names: Sequence[str], *, sources_change: bool) -> Dict[str, str]:  # noqa: ARG002
        needed = [*names]
        for name in needed:
            needed += [each for each in self._needs(name) if each not in needed]
        return {name: self._version(name) for name in needed if self.state(name).status != "installed"}

    def renew_sources(self, paths: Iterable[str]) -> bool:  # noqa: ARG002
        return False

    def capture(self, names: Iterable[str]) -> Dict[str, PackageState]:
        return {name: self.state(name) for name in sorted({*names, *self._record.data["broken"]})}

    def download(self, names: Sequence[str], versions: Mapping[str, str]) -> Dict[str, Dict[str, bool]]:  # noqa: ARG002
        return {}

    def install(self, names: Sequence[str], versions: Mapping[str, str]) -> None:
        failing = sorted({*names, *versions} & {*self._record.fails("packages")})
        installed = {*names, *versions} - {*failing}
        self._record.data["packages"] = sorted({*self._record.data["packages"], *installed})
        still = {name: status for name, status in self._record.data["broken"].items() if name not in installed}
        self._record.data["broken"] = {**still, **dict.fromkeys(failing, "half-configured")}
        self._record.save()
        if failing:
            raise Failure(f"cannot install packages: {' '.join(failing)}")

    def put_back(self, before: Mapping[str, PackageState]) -> None:
        others = {*self._record.data["packages"]} - before.keys()
        there = {name for name, state in before.items() if state.status == "installed"}
        self._record.data["packages"] = sorted(others | there)
        self._record.data["broken"] = {
            name: state.status for name, state in before.items() if state.present and name not in there
        }
        self._record.save()

    def removable(self, names: Sequence[str], dependencies: Iterable[str]) -> Tuple[List[str], Dict[str, List[str]]]:
        going, unneeded = {*names}, {*dependencies}
        needing: Dict[str, List[str]] = {}
        while blamed := {name: others for name in going if (others := self._needing(name, going | unneeded))}:
            needing.update(blamed)
            going -= blamed.keys()
        while needed := {name for name in unneeded if self._needing(name, going | unneeded)}:
            unneeded -= needed
        return sorted(going | unneeded), needing

    def remove(self, names: Sequence[str]) -> None:
        for name in names:  # one after the other, as dpkg does
            self._record.data["packages"] = sorted({*self._record.data["packages"]} - {name})
            self._record.data["broken"].pop(name, None)
            self._record.save()

    def purge(self, names: Sequence[str]) -> None:
        pass

    def tidy(self, needed: Iterable[Tuple[str, str]]) -> List[str]:  # noqa: ARG002
        return []

    def _version(self, name: str) -> str:
        return str(self._record.data["repository"].get(name, {}).get("version", ""))

    def _needs(self, name: str) -> List[str]:
        return list(self._record.data["repository"].get(name, {}).get("needs", []))

    def _needing(self, name: str, but: AbstractSet[str]) -> List[str]:
        return [each for each in self._record.data["packages"] if name in self._needs(each) and each not in but]


class RecordedUnits:
    """Units whose files are real, and whose state exists only in the record.

    Args:
        record: The record.
        stat: `Tree.stat`, for unit files.
    """

    settled = True

    def __init__(self, record: Record, stat: Callable[[str], Optional[Entry]]) -> None:
        self._record = record
        self._stat = stat

    def prefetch(self, names: Iterable[str]) -> None:
        pass

    def forget(self) -> None:
        pass

    def renew(self) -> List[Answer]:
        return []

    def state(self, name: str) -> UnitState:
        if not self._unit_file(name) and name not in self._record.data["units"]:
            return UnitState()
        state = self._record.data["units"].get(name, {})
        return UnitState(
            known=True,
            enabled=state.get("enabled", False),
            active=state.get("active", False),
            failed=state.get("failed", False),
            reloads=True,
        )

    def instances(self, template: str) -> List[str]:  # noqa: ARG002
        return []

    def run(self, verb: str, names: Sequence[str]) -> None:
        if not names and verb != "daemon-reload":
            return
        self._record.data["commands"].append(["systemctl", verb, *names])
        for name in names:
            brought = bool(self._record.data["packages"])  # a package may have brought any unit
            if not (self._unit_file(name) or brought) and verb not in {"stop", "disable"}:
                raise Failure(f"systemctl {verb}: unit {name} does not exist")
            state = self._record.data["units"].setdefault(name, {})
            if verb in {"enable", "disable", "reenable"}:
                state["enabled"] = verb != "disable"
            elif verb == "reset-failed":
                state["failed"] = False
            else:
                state["failed"] = verb != "stop" and name in self._record.fails("units")
                state["active"] = verb != "stop" and not state["failed"]
            self._record.data["units"][name] = {key: True for key, value in sorted(state.items()) if value}
            if not self._record.data["units"][name]:
                del self._record.data["units"][name]
        self._record.save()

    def failed(self) -> List[str]:
        return sorted(name for name, state in self._record.data["units"].items() if state.get("failed"))

    def has_failed(self, name: str, since: float) -> bool:  # noqa: ARG002
        return self.state(name).failed

    def log(self, names: Sequence[str]) -> str:  # noqa: ARG002
        return "recorded: listed in fail.units"

    def _unit_file(self, name: str) -> bool:
        return any(self._stat(f"{folder}/{name}") for folder in UNIT_FOLDERS)

    def validate(self, texts: Mapping[str, bytes], coming: Optional[AbstractSet[str]]) -> None:
        pass


class RecordedKernel:
    """Values that exist only in the record."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def prefetch(self, kind: str, names: Iterable[str]) -> None:
        pass

    def value(self, kind: str, name: str) -> Optional[str]:
        value: Optional[str] = self._record.data["kernel"].get(f"{kind}:{name}")
        return value

    def change(self, kind: str, name: str, value: Optional[str]) -> None:
        self._record.data["kernel"].pop(f"{kind}:{name}", None)
        if value is not None:
            self._record.data["kernel"][f"{kind}:{name}"] = value
        self._record.save()


class RecordedSystem(Tree):
    """Users, groups, packages, owners of paths, units and commands in ``ROOT/var/lib/rolecall/system.json``.

    Runs as any user. ``answers`` in that file has what programs print, by their names, and ``fail`` lists what must
    fail: ``{"units": [NAME…], "commands": [PROGRAM…], "packages": [NAME…]}``. Packages in ``broken`` are not wholly
    installed.
    """

    boots = False

    def __init__(self, root: str) -> None:
        self.root: Optional[str] = root
        self._folder = root
        super().__init__(root)

    def renew(self) -> None:
        super().renew()
        self._record = Record(self._folder)
        self.accounts = RecordedAccounts(self._record)
        self.packages = RecordedPackages(self._record)
        self.units = RecordedUnits(self._record, self.stat)
        self.kernel = RecordedKernel(self._record)

    # Owners

    def _owner(self, path: str, status: os.stat_result) -> Tuple[str, str]:  # noqa: ARG002
        owner, group = self._record.data["owners"].get(path, ["root", "root"])
        return owner, group

    def _set_owner(self, fd: int, path: str, owner: str, group: str) -> None:
        if not owner.isdigit() and not self.accounts.user(owner):
            raise Failure(f"user {owner} does not exist")
        if not group.isdigit() and not self.accounts.has_group(group):
            raise Failure(f"group {group} does not exist")
        if (owner, group) != self._owner(path, os.fstat(fd)):
            self._record.data["owners"][path] = [owner, group]
            if owner == group == "root":
                del self._record.data["owners"][path]
            self._record.save()

    def _set_link_owner(self, folder: int, name: str, path: str, owner: str, group: str) -> None:  # noqa: ARG002
        self._set_owner(folder, path, owner, group)

    def _owner_removed(self, path: str) -> None:
        if self._record.data["owners"].pop(path, None):
            self._record.save()

    # Commands

    def ask(self, argv: Sequence[str], *, errors: bool = False, timeout: float = 60) -> Tuple[int, str]:  # noqa: ARG002
        if argv[0] in self._record.fails("commands"):
            return 1, "recorded: listed in fail.commands"
        # Nothing runs here, so a check succeeds, and a service reports that it is well.
        well = "" if errors else json.dumps({"level": "ok", "text": "recorded", "at": int(time.time())})
        return 0, self._record.data["answers"].get(argv[0], well)

    def run(self, argv: Sequence[str], timeout: float) -> Tuple[int, str]:
        self._record.data["commands"].append(list(argv))
        self._record.save()
        return self.ask(argv, errors=True, timeout=timeout)

    def validate(self, path: str, data: bytes) -> None:
        pass

    def keys_file(self, user: str) -> str:  # noqa: ARG002
        pattern: str = self._record.data.get("keys_file", ".ssh/authorized_keys")
        return pattern

    def flush(self) -> None:
        pass  # no other program has written anything

    def boot(self) -> str:
        return str(self._record.data["boots"])

    def reboot(self) -> None:
        self._record.data["boots"] += 1
        self.run(["systemctl", "reboot"], 60)

    def is_stopping(self) -> bool:
        return False

    def seal(self, name: str, value: bytes) -> Optional[bytes]:  # noqa: ARG002
        return None

    def unseal(self, name: str, credential: bytes) -> bytes:  # noqa: ARG002
        raise Failure("a recorded system does not encrypt secrets")

    def os_release(self) -> Dict[str, str]:
        try:
            return read_os_release(self.read("/etc/os-release").decode())
        except OSError:
            return {"ID": "recorded"}
