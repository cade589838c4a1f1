"""A recorded system: files are real, below a directory; everything else is only recorded in a file."""
# ruff: noqa: D102 - `System` describes the methods

from __future__ import annotations

import contextlib
import json
import os
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from rolecall_agent.system import UNIT_FOLDERS, Account, UnitState, read_os_release
from rolecall_agent.tree import Failure, Tree

RECORD = "var/lib/rolecall/system.json"


class RecordedSystem(Tree):
    """Users, groups, packages, owners of paths, units and commands in ``ROOT/var/lib/rolecall/system.json``.

    Runs as any user. ``fail`` in that file lists what must fail: ``{"units": [NAME…], "commands": [PROGRAM…],
    "packages": [NAME…]}``.
    """

    boots = False

    def __init__(self, root: str) -> None:
        self._file = os.path.join(root, RECORD)
        os.makedirs(os.path.dirname(self._file), 0o700, exist_ok=True)
        super().__init__(root)
        empty: Dict[str, Any] = {"users": {}, "groups": [], "packages": [], "units": {}, "owners": {}}
        self._record: Dict[str, Any] = {**empty, "commands": [], "fail": {}}
        with contextlib.suppress(FileNotFoundError), open(self._file, encoding="utf-8") as file:
            self._record.update(json.load(file))

    def _save(self) -> None:
        with open(self._file + ".new", "w", encoding="utf-8") as file:
            json.dump(self._record, file, indent=1, sort_keys=True)
        os.rename(self._file + ".new", self._file)

    # Owners

    def _owner(self, path: str, status: os.stat_result) -> Tuple[str, str]:  # noqa: ARG002
        owner, group = self._record["owners"].get(path, ["root", "root"])
        return owner, group

    def _set_owner(self, fd: int, path: str, owner: str, group: str) -> None:
        if owner != "root" and owner not in self._record["users"]:
            raise Failure(f"user {owner} does not exist")
        if group != "root" and not self.group(group):
            raise Failure(f"group {group} does not exist")
        if (owner, group) != self._owner(path, os.fstat(fd)):
            self._record["owners"][path] = [owner, group]
            if owner == group == "root":
                del self._record["owners"][path]
            self._save()

    def _set_link_owner(self, folder: int, name: str, path: str, owner: str, group: str) -> None:  # noqa: ARG002
        self._set_owner(folder, path, owner, group)

    def _owner_removed(self, path: str) -> None:
        if self._record["owners"].pop(path, None):
            self._save()

    # Accounts

    def group(self, name: str) -> bool:
        return name == "root" or name in self._record["groups"]

    def add_group(self, name: str) -> None:
        self._record["groups"] = sorted({*self._record["groups"], name})
        self._save()

    def user(self, name: str) -> Optional[Account]:
        if name == "root":
            return Account("/root", "/bin/bash", frozenset())
        user = self._record["users"].get(name)
        return Account(user["home"], user["shell"], frozenset(user["groups"]), user["locked"]) if user else None

    def add_user(self, name: str, account: Account) -> None:
        self._set_user(name, account)
        self.add_group(name)  # which writes both at once

    def change_user(self, name: str, account: Account) -> None:
        self._set_user(name, account)
        self._save()

    def _set_user(self, name: str, account: Account) -> None:
        missing = sorted(group for group in account.groups if not self.group(group))
        if missing:
            raise Failure(f"user {name}: group {missing[0]} does not exist")
        fields = {"home": account.home, "shell": account.shell, "groups": sorted(account.groups)}
        self._record["users"][name] = {**fields, "locked": account.locked}

    # Packages

    def prefetch(self, packages: Iterable[str], units: Iterable[str]) -> None:
        pass

    def installed(self, package: str) -> bool:
        return package in self._record["packages"]

    def install(self, packages: Sequence[str]) -> None:
        failing = sorted(set(packages) & set(self._record["fail"].get("packages", ())))
        if failing:
            raise Failure(f"cannot install packages: {' '.join(failing)}")
        self._record["packages"] = sorted({*self._record["packages"], *packages})
        self._save()

    def uninstall(self, packages: Sequence[str]) -> List[str]:
        self._record["packages"] = sorted(set(self._record["packages"]) - set(packages))
        self._save()
        return []

    # Units

    def unit(self, name: str) -> UnitState:
        if not self._unit_file(name):
            return UnitState()
        state = self._record["units"].get(name, {})
        return UnitState(
            known=True,
            enabled=state.get("enabled", False),
            active=state.get("active", False),
            failed=state.get("failed", False),
        )

    def systemctl(self, verb: str, units: Sequence[str]) -> None:
        if not units and verb != "daemon-reload":
            return
        self._record["commands"].append(["systemctl", verb, *units])
        for name in units:
            if not self._unit_file(name) and verb not in {"stop", "disable"}:
                raise Failure(f"systemctl {verb}: unit {name} does not exist")
            state = self._record["units"].setdefault(name, {})
            if verb in {"enable", "disable"}:
                state["enabled"] = verb == "enable"
            elif verb == "reset-failed":
                state["failed"] = False
            else:
                state["failed"] = verb != "stop" and name in self._record["fail"].get("units", ())
                state["active"] = verb != "stop" and not state["failed"]
            self._record["units"][name] = {key: True for key, value in sorted(state.items()) if value}
            if not self._record["units"][name]:
                del self._record["units"][name]
        self._save()

    def require_running(self, units: Sequence[str]) -> None:
        failed = [name for name in units if self.unit(name).failed]
        if failed:
            raise Failure(f"{', '.join(failed)} failed after starting", "recorded: listed in fail.units")

    def _unit_file(self, name: str) -> bool:
        return any(self.stat(f"{folder}/{name}") for folder in UNIT_FOLDERS)

    # Commands

    def run(self, argv: Sequence[str], timeout: float) -> Tuple[int, str]:  # noqa: ARG002
        self._record["commands"].append(list(argv))
        self._save()
        return (
            (1, "recorded: listed in fail.commands") if argv[0] in self._record["fail"].get("commands", ()) else (0, "")
        )

    def validate(self, path: str, data: bytes) -> None:
        pass

    def validate_units(self, texts: Mapping[str, bytes]) -> None:
        pass

    def seal(self, name: str, value: bytes) -> Optional[bytes]:  # noqa: ARG002
        return None

    def unseal(self, name: str, credential: bytes) -> bytes:  # noqa: ARG002
        raise Failure("a recorded system does not encrypt secrets")

    def os_release(self) -> Dict[str, str]:
        try:
            return read_os_release(self.read("/etc/os-release").decode())
        except OSError:
            return {"ID": "recorded"}
