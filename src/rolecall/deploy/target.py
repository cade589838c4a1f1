"""How a machine is reached: OpenSSH's own client, or a directory that stands for a machine."""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rolecall.errors import Fault, Where
from rolecall_agent import archive

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolecall.project import Project

# No leading dash: the host becomes an argument of ssh(1).
_HOST = re.compile(r"(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]*)@)?(?P<host>\[[0-9A-Fa-f:]+\]|[A-Za-z0-9_][A-Za-z0-9_.-]*)"
                   r"(?::(?P<port>[0-9]{1,5}))?\Z")  # fmt: skip
# Whoever logs in without being root becomes root by sudo, which must not ask; works under any login shell.
_BECOME_ROOT = (
    'import os;os.geteuid() and os.execvp("sudo",["sudo","-n","--"]'
    '+open("/proc/self/cmdline").read().split(chr(0))[:-1]);'
)


@dataclass(frozen=True, slots=True)
class Lab:
    """Where a lab that is up left what its machines need to be reached by.

    Attributes:
        ssh_config: For ``ssh -F``.
        known_hosts: Its machines' host keys.
    """

    ssh_config: Path
    known_hosts: Path


@dataclass(frozen=True, slots=True)
class Target:
    """How one machine is reached.

    Attributes:
        machine: The machine's name.
        text: In words, e.g. ``"ssh root@web1"``.
        host: Host of an SSH target, else "".
        ssh: Arguments of ssh(1) up to and with the host, or ().
        root: The directory of a ``dir:`` target, or None.
    """

    machine: str
    text: str
    host: str = ""
    ssh: tuple[str, ...] = ()
    root: Path | None = field(default=None)

    def agent(self) -> list[str]:
        """The argument vector that starts a conversation with the machine's agent."""
        if self.root is not None:
            return archive.command(str(self.root), sys.executable)
        *python, source = archive.command()
        return ["ssh", "-T", *self.ssh, shlex.join([*python, _BECOME_ROOT + source])]

    def command(self, argv: list[str], *, terminal: bool = False) -> list[str]:
        """The argument vector that runs a command on the machine as root.

        Raises:
            ValueError: For a directory, on which nothing runs.
        """
        if self.root is not None:
            raise ValueError(f"{self.machine} is a directory: no command runs on it")
        run = "import os,sys;os.execvp(sys.argv[1],sys.argv[1:])"
        words = ["python3", "-I", "-S", "-c", _BECOME_ROOT + run, *argv] if argv else []
        return ["ssh", *(["-t"] if terminal else []), *self.ssh, *([shlex.join(words)] if words else [])]


def find_target(project: Project, machine: str, target_host: str | None, lab: Lab | None) -> Target | Fault:
    """How a machine is reached, or why it cannot be.

    A machine for which the inventory names no target is reached in the project's lab while that is up.
    """
    where = Where(keys=("machines", machine, "deploy", "targetHost"))
    if target_host is None and lab:
        options = ("-F", str(lab.ssh_config), *_common(machine, lab.known_hosts))
        return Target(machine, "the lab", machine, (*options, machine))
    if target_host is None:
        hint = f"set machines.{machine}.deploy.targetHost, or try it out with `rolecall lab up`"
        return Fault(f"it is not said how {machine!r} is reached", Where(keys=where.keys[:2]), hint)
    if target_host.startswith("dir:"):
        path = Path(target_host.removeprefix("dir:"))
        if not path.parts:
            return Fault(f"the target {target_host!r} names no directory", where, "write dir:PATH")
        return Target(machine, target_host, root=project.root / path)
    parsed = _HOST.match(target_host)
    if not parsed or not 0 < int(parsed["port"] or 22) < 2**16:
        return Fault(f"{target_host!r} is no target", where, "write [user@]host[:port], or dir:PATH")
    user, host, port = parsed["user"], parsed["host"].strip("[]"), parsed["port"]
    options = _common(machine, project.known_hosts)
    options += ("-l", user) if user else ()
    options += ("-p", port) if port else ()
    return Target(machine, f"ssh {target_host}", host, (*options, "--", host))


def _common(machine: str, known_hosts: Path) -> tuple[str, ...]:
    """Options of ssh_config(5). Host keys are pinned by machine name, whatever its address is today."""
    pins = '"' + str(known_hosts).replace('"', "") + '"'
    options = {
        "HostKeyAlias": machine,
        "UserKnownHostsFile": pins,
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "ConnectTimeout": "15",
        "ServerAliveInterval": "15",
        "ServerAliveCountMax": "3",
        "KexAlgorithms": "^curve25519-sha256",  # first, not only: the default exchange costs 0.1 s of CPU
        "ForwardX11": "no",
    }
    return tuple(word for name, value in options.items() for word in ("-o", f"{name}={value}"))


def pinned_keys(known_hosts: Path) -> Mapping[str, tuple[str, ...]]:
    """Host keys by machine name, each ``TYPE BASE64``, sorted. Format: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT."""
    pins: dict[str, set[str]] = {}
    if known_hosts.is_file():
        for line in known_hosts.read_text().splitlines():
            names, _, key = line.strip().partition(" ")
            if names and key and not names.startswith(("#", "@", "|")):
                for name in names.split(","):
                    pins.setdefault(name, set()).add(" ".join(key.split()[:2]))
    return {name: tuple(sorted(keys)) for name, keys in pins.items()}
