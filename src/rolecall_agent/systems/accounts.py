"""Users and groups of a real machine, by the programs of shadow."""
# ruff: noqa: D102 - `system.Accounts` describes the methods

from __future__ import annotations

import contextlib
import grp
import os
import pwd
from typing import Optional

from rolecall_agent.system import Account
from rolecall_agent.systems import commands


class ShadowAccounts:
    """The accounts in /etc/passwd, /etc/group and /etc/shadow, and those that NSS adds."""

    def has_group(self, name: str) -> bool:
        try:
            grp.getgrnam(name)
        except KeyError:
            return False
        return True

    def add_group(self, name: str) -> None:
        commands.require(["groupadd", "--system", name], f"cannot create group {name}")

    def user(self, name: str) -> Optional[Account]:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            return None
        groups = frozenset(group.gr_name for group in grp.getgrall() if name in group.gr_mem)
        # shadow(5): the eighth field is the day on which the account expires.
        with open("/etc/shadow", encoding="utf-8", errors="replace") as lines:
            fields = next((line.rstrip("\n").split(":") for line in lines if line.startswith(f"{name}:")), [])
        return Account(user.pw_dir, user.pw_shell, groups, locked=fields[7:8] == ["1"])

    def has_processes(self, name: str) -> bool:
        uid = pwd.getpwnam(name).pw_uid
        for process in os.listdir("/proc"):
            with contextlib.suppress(FileNotFoundError):  # it has ended
                if process.isdigit() and os.stat(f"/proc/{process}").st_uid == uid:
                    return True
        return False

    def add_user(self, name: str, account: Account) -> None:
        group = ["--gid", name] if self.has_group(name) else ["--user-group"]
        settings = ["--home-dir", account.home, "--shell", account.shell, "--groups", ",".join(sorted(account.groups))]
        argv = ["useradd", "--system", "--no-create-home", *group, *settings, name]
        commands.require(argv, f"cannot create user {name}")

    def change_user(self, name: str, account: Account) -> None:
        # An expired account is refused for every login; a locked password only for password logins.
        settings = ["--home", account.home, "--shell", account.shell, "--groups", ",".join(sorted(account.groups))]
        expiry = ["--expiredate", "1" if account.locked else ""]
        before = self.user(name)
        lock = expiry if before is None or before.locked != account.locked else []
        commands.require(["usermod", *settings, *lock, name], f"cannot change user {name}")
