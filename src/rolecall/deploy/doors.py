"""Doors: the hosts to which connections are made first, which are machines themselves or jump hosts.

By default, sshd(8) drops connections from the tenth on that is not authenticated yet, whoever they come from
(`MaxStartups 10:30:100` in sshd_config(5)). So only a few of ours log in by one door at once.
"""

from __future__ import annotations

import subprocess
import threading
import time
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolecall.deploy.target import Target

AT_ONCE = 8  # logins by one door
PATIENCE = 20.0  # seconds after which a login does not keep others out, since it may ask a person for something
_HOPS = 8  # of jump hosts, after which one that leads to itself is assumed


class Doors:
    """The logins of this process."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._logins: set[_Login] = set()
        self._limits: dict[str, int] = {}

    def enter(self, target: Target) -> Callable[[], None]:
        """Wait until a login may begin; return the function to call when it has succeeded or failed, once or more."""
        login = _Login(target)
        with self._changed:
            while self._full(login):
                self._changed.wait(1)
            login.began = time.monotonic()
            self._logins.add(login)
        return partial(self._leave, login)

    def narrow(self, target: Target) -> None:
        """Let fewer in at once from now on, since a login was refused."""
        with self._changed:
            door = _Login(target).door
            self._limits[door] = max(self._limits.get(door, AT_ONCE) - 1, 1)

    def _leave(self, login: _Login) -> None:
        with self._changed:
            self._logins.discard(login)
            self._changed.notify_all()

    def _full(self, login: _Login) -> bool:
        since = time.monotonic() - PATIENCE
        others = [each for each in self._logins if each.began > since]
        if len(others) < min([AT_ONCE, *self._limits.values()]):
            return False  # whatever their doors are, which takes a while to find out
        return sum(each.door == login.door for each in others) >= self._limits.get(login.door, AT_ONCE)


class _Login:
    def __init__(self, target: Target) -> None:
        self._target = target
        self.began = 0.0

    @cached_property
    def door(self) -> str:
        """What is the same for all targets with this door."""
        ssh = self._target.door or self._target.ssh
        return _first_host(ssh) if ssh else self._target.machine


@cache
def _first_host(ssh: tuple[str, ...], hops: int = _HOPS) -> str:
    """Return to which host ssh(1) connects first with these arguments, which end with a host.

    That is its jump host, if the user's ssh_config(5) names one. Of a ProxyCommand, nothing is known but its text.
    """
    done = subprocess.run(["ssh", "-G", *ssh], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    lines = done.stdout.decode(errors="replace").splitlines()
    options = {name: value for name, _, value in (line.partition(" ") for line in lines)}
    jump = options.get("proxyjump", "none").partition(",")[0]
    if jump != "none" and hops:
        config = ssh[:2] if ssh[0] == "-F" else ()  # ssh(1) hands only this on
        return _first_host((*config, "--", jump if "://" in jump else f"ssh://{jump}"), hops - 1)
    command = options.get("proxycommand", "none")
    return command if command != "none" else f"{options.get('hostname', ssh[-1])} {options.get('port')}"


DOORS = Doors()
