"""Users and groups of a real machine, by the programs of shadow."""
# ruff: noqa: D102 - `seam.accounts.Accounts` describes the methods

from __future__ import annotations

import contextlib
import grp
import os
import pwd
from typing import Dict, List, Optional

from rolecall_agent.errors import Failure
from rolecall_agent.seam.accounts import Account
from rolecall_agent.systems import commands

_OWN_UNITS = (".service", ".socket", ".mount")


class ShadowAccounts:
    """The accounts in /etc/passwd, /etc/group and /etc/shadow, and those that NSS adds."""

    def has_group(self, name: str) -> bool:
        return self.gid(name) is not None

    def gid(self, name: str) -> Optional[int]:
        try:
            return grp.getgrnam(name).gr_gid
        except KeyError:
            return None

    def group_of(self, gid: int) -> str:
        try:
            return grp.getgrgid(gid).gr_name
        except KeyError:
            return ""

    def add_group(self, name: str, gid: Optional[int] = None) -> None:
        wanted = [] if gid is None else ["--gid", str(gid)]
        commands.require(["groupadd", "--system", *wanted, name], f"cannot create group {name}")

    def remove_group(self, name: str) -> None:
        if members := grp.getgrnam(name).gr_mem:
            raise Failure(f"{', '.join(members)} would lose it")
        commands.require(["groupdel", name], f"cannot remove group {name}")

    def change_group(self, name: str, gid: int) -> None:
        commands.require(["groupmod", "--gid", str(gid), name], f"cannot change group {name}")

    def user(self, name: str) -> Optional[Account]:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            return None
        groups = frozenset(group.gr_name for group in grp.getgrall() if name in group.gr_mem)
        # shadow(5): the second field is the password, the eighth the day on which the account expires.
        with open("/etc/shadow", encoding="utf-8", errors="replace") as lines:
            fields = next((line.rstrip("\n").split(":") for line in lines if line.startswith(f"{name}:")), ["", ""])
        return Account(
            user.pw_dir,
            user.pw_shell,
            groups,
            locked=fields[7:8] == ["1"],
            uid=user.pw_uid,
            group=self.group_of(user.pw_gid) or str(user.pw_gid),
            comment=user.pw_gecos,
            password=fields[1],
        )

    def user_of(self, uid: int) -> str:
        try:
            return pwd.getpwuid(uid).pw_name
        except KeyError:
            return ""

    def processes(self, name: str) -> Dict[int, str]:
        uid = pwd.getpwnam(name).pw_uid
        found = {}
        for process in os.listdir("/proc"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
                if process.isdigit() and os.stat(f"/proc/{process}").st_uid == uid:
                    found[int(process)] = _unit_of(process)
        return found

    def add_user(self, name: str, account: Account) -> None:
        primary = account.group or (name if self.has_group(name) else "")
        group = ["--gid", primary] if primary else ["--user-group"]
        uid = [] if account.uid is None else ["--uid", str(account.uid)]
        argv = ["useradd", "--system", "--no-create-home", *uid, *group, *_settings(account), name]
        commands.require(argv, f"cannot create user {name}")
        if account.password:
            self._set_password(name, account.password)

    def remove_user(self, name: str) -> None:
        commands.require(["userdel", name], f"cannot remove user {name}")

    def change_user(self, name: str, account: Account) -> None:
        before = self.user(name)
        if before is None:
            return
        argv = ["usermod", *_settings(account, before)]
        if account.uid not in {None, before.uid}:
            argv += ["--uid", str(account.uid)]
        if account.group not in {"", before.group}:
            argv += ["--gid", account.group]
        if account.locked != before.locked:
            # An expired account is refused for every login; a locked password only for password logins.
            argv += ["--expiredate", "1" if account.locked else ""]
        if len(argv) > 1:
            commands.require([*argv, name], f"cannot change user {name}")
        if account.password != before.password:
            self._set_password(name, account.password)

    def _set_password(self, name: str, password: str) -> None:
        given = f"{name}:{password}\n".encode()
        commands.require(["chpasswd", "--encrypted"], f"cannot set the password of user {name}", given=given)


def _settings(account: Account, before: Optional[Account] = None) -> List[str]:
    """Return the options, which useradd and usermod share, for what differs."""
    options = []
    for option, field in (("-d", "home"), ("-s", "shell"), ("-c", "comment")):
        value = getattr(account, field)
        if before is None or value != getattr(before, field):
            options += [option, value]
    if before is None or account.groups != before.groups:
        options += ["-G", ",".join(sorted(account.groups))]
    return options


def _unit_of(process: str) -> str:
    """Return the unit of the system to which a process belongs, "" if it is part of a login. Source: cgroups(7)."""
    with open(f"/proc/{process}/cgroup", encoding="utf-8", errors="replace") as lines:
        groups = [line.rstrip("\n").split(":", 2) for line in lines]
    names = [name for _, kind, path in groups if kind in {"", "name=systemd"} for name in path.split("/")]
    return "" if "user.slice" in names else next((name for name in names if name.endswith(_OWN_UNITS)), "")
