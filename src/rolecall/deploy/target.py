"""Targets: how a machine is reached, by OpenSSH's own client or as a directory that stands for it."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rolecall.errors import Fault, Faults, Where
from rolecall_agent import archive
from rolecall_agent.systems.commands import PYTHON_OPTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolecall.project import Project
    from rolecall.service.interfaces import Network

# No leading dash: the host becomes an argument of ssh(1).
_HOST = re.compile(r"(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]*)@)?(?P<host>\[[0-9A-Fa-f:]+\]|[A-Za-z0-9_][A-Za-z0-9_.-]*)"
                   r"(?::(?P<port>[0-9]{1,5}))?\Z")  # fmt: skip
# Characters that some OpenSSH versions misread in an option's path.
_NOT_IN_SSH_PATHS = re.compile(r'["\\\x00-\x1f\x7f]|\$\{')
_PLACE = "HOST-AND-PORT"  # of the machine behind a jump host, in the words of its command
# A login without root privileges becomes root by sudo, which must not ask for a password; works in any login shell.
_BECOME_ROOT = (
    'import os;os.geteuid() and os.execvp("sudo",["sudo","-n","--"]'
    '+open("/proc/self/cmdline").read().split(chr(0))[:-1]);'
)


Side = Literal["", "lab", "real"]
"""What a command speaks to where both are possible; "" if its user has not chosen."""
IN_LAB = "the lab"
"""The target of a machine of the lab, in words."""


@dataclass(frozen=True, slots=True)
class Lab:
    """How the machines of a running lab are reached.

    Attributes:
        ssh_config: For ``ssh -F``.
        known_hosts: Its machines' host keys.
        machines: Their names.
        side: Where a machine is reached that names a real target, too: ``lab``, ``real``, or "" if nobody has chosen.
    """

    ssh_config: Path
    known_hosts: Path
    machines: frozenset[str]
    side: Side = ""

    def reaches(self, machine: str, target_host: str | None) -> bool:
        """Return whether a machine is reached here, or nowhere: it names no real target, or `side` is ``lab``."""
        return self.side == "lab" or (target_host is None and machine in self.machines)

    def is_twin(self, machine: str, target_host: str | None) -> bool:
        """Return whether a machine of the lab stands for one that names a real target."""
        return target_host is not None and machine in self.machines


@dataclass(frozen=True, slots=True)
class Target:
    """How one machine is reached.

    Attributes:
        machine: The machine's name.
        text: What messages call the target, e.g. ``"ssh root@web1"``.
        host: Host of an SSH target, else "".
        port: Its port.
        user: The user to log in as, if the target says so, else "".
        ssh: Arguments of ssh(1) up to and with the host, or ().
        door: The same for the machine through which it is reached, or ().
        root: The directory of a ``dir:`` target, or None.
    """

    machine: str
    text: str
    host: str = ""
    ssh: tuple[str, ...] = ()
    port: int = 22
    user: str = ""
    root: Path | None = None
    door: tuple[str, ...] = ()

    def agent(self, *, asks: bool = True, token: str = "", module: str = "wire") -> list[str]:
        """Return the argument vector that starts a session with the machine's agent over SSH.

        Args:
            asks: Whether ssh(1) may ask for a passphrase or password.
            token: That of a session to continue, whose connection was lost.
            module: What of the agent answers, see `archive.relay_command`.
        """
        # A dead connection must end while the agent still waits for another one.
        options = ["-o", "ServerAliveInterval=3", "-o", "ServerAliveCountMax=2"]
        options += [] if asks else ["-o", "BatchMode=yes"]
        command = archive.join_command(token) if token else archive.relay_command(module)
        return ["ssh", "-T", *options, *self.ssh, shlex.join(command)]

    def command(self, argv: list[str], *, terminal: bool = False) -> list[str]:
        """Return the argument vector that runs a command on the machine as root.

        Raises:
            ValueError: When the target is a directory.
        """
        if self.root is not None:
            raise ValueError(f"{self.machine} is a directory: no command runs on it")
        run = "import os,sys;os.execvp(sys.argv[1],sys.argv[1:])"
        words = ["python3", *PYTHON_OPTIONS, "-c", _BECOME_ROOT + run, *argv] if argv else []
        no_terminal = ["-T"] if words else []  # whatever the user's RequestTTY is
        return ["ssh", *(["-t"] if terminal else no_terminal), *self.ssh, *([shlex.join(words)] if words else [])]


def find_target(project: Project, machine: str, target_host: str | None, lab: Lab | None) -> Target | Fault:
    """Return a machine's target, or the fault that it has none.

    A machine without a `deploy.targetHost` is reached in the project's lab while it runs there.
    """
    where = Where(keys=("machines", machine, "deploy", "targetHost"))
    if lab and lab.reaches(machine, target_host):
        return _in_lab(project, machine, lab)
    if target_host is None:
        hint = (
            f"set `machines.{machine}.deploy.targetHost`, give it a role in a network such as `internet`, "
            "or boot it in the lab: `rolecall lab up`"
        )
        elsewhere = ", and is not in the lab" if lab else ""
        return Fault(f"machine {machine!r} has no target{elsewhere}", Where(keys=where.keys[:2]), hint)
    if target_host.startswith("dir:"):
        return _directory(project, machine, target_host, where)
    options = _common(project, machine, None)
    if isinstance(options, Fault):
        return options
    parsed = _HOST.match(target_host)
    if not parsed or not 0 < int(parsed["port"] or 22) < 2**16:
        return Fault(f"invalid target {target_host!r}", where, "write `[user@]host[:port]`, or `dir:PATH`")
    user, host, port = parsed["user"] or "", parsed["host"].strip("[]"), parsed["port"]
    return Target(machine, f"ssh {target_host}", host, _over(options, user, host, port), int(port or 22), user)


def network_target(
    project: Project, machine: str, network: Network, *, user: str, port: int, jump: Target | None
) -> Target | Fault:
    """Return the target that reaches a machine in a network.

    Args:
        project: The project.
        machine: The machine's name.
        network: How it is reached there.
        user: The user, if the network does not say it; "" for what the user's ssh_config says.
        port: The port, if the network does not say it.
        jump: The target of the machine through which it is reached.
    """
    from rolecall.service.hosts import host_and_port

    options = _common(project, machine, None)
    if isinstance(options, Fault):
        return options
    user, port = network.user or user, network.port or port
    text = f"ssh {user + '@' if user else ''}{host_and_port(network.address, port)}"
    door: tuple[str, ...] = ()
    if jump:
        door = jump.door or jump.ssh
        # ProxyJump would read neither the options of that target nor the pinned key of its machine.
        command = shlex.join(["ssh", "-W", _PLACE, *jump.ssh]).replace("%", "%%").replace(_PLACE, "'[%h]:%p'")
        options += ("-o", f"ProxyCommand={command}")
        text += f" through {jump.machine}"
    ssh = _over(options, user, network.address, str(port))
    return Target(machine, text, network.address, ssh, port, user, door=door)


def _over(options: tuple[str, ...], user: str, host: str, port: str | None) -> tuple[str, ...]:
    """Return arguments of ssh(1) up to and with the host."""
    return (*options, *(("-l", user) if user else ()), *(("-p", port) if port else ()), "--", host)


def _in_lab(project: Project, machine: str, lab: Lab) -> Target | Fault:
    """Return a machine of the lab as target."""
    if machine not in lab.machines:
        where = Where(keys=("machines", machine))
        return Fault(f"machine {machine!r} is not in the lab", where, "boot it: `rolecall lab up --all`")
    options = _common(project, machine, lab)
    if isinstance(options, Fault):
        return options
    return Target(machine, IN_LAB, machine, ("-F", str(lab.ssh_config), *options, machine))


def _directory(project: Project, machine: str, target_host: str, where: Where) -> Target | Fault:
    """Return a directory as target; never the root of this computer, nor a folder that holds the project."""
    path = Path(target_host.removeprefix("dir:"))
    if not path.parts or "\0" in target_host:
        return Fault(f"the target {target_host!r} does not name a directory", where, "write `dir:PATH`")
    root = project.root / path
    if Path(os.path.realpath(project.root)).is_relative_to(os.path.realpath(root)):
        hint = f"choose a directory of its own, such as `dir:targets/{machine}`"
        return Fault(f"the target {target_host!r} contains this project", where, hint)
    return Target(machine, target_host, root=root)


def _common(project: Project, machine: str, lab: Lab | None) -> tuple[str, ...] | Fault:
    """Return options of ssh_config(5) that OpenSSH 8.4 knows or ignores. The user's ssh_config cannot weaken them.

    Host keys are pinned by machine name, whatever its address is today.
    """
    known_hosts = lab.known_hosts if lab else project.known_hosts
    if _NOT_IN_SSH_PATHS.search(str(known_hosts)):
        hint = 'move the project: OpenSSH misreads `"`, `\\`, `${` and control characters in paths'
        return Fault(f"ssh cannot read the file {str(known_hosts)!r}", None, hint)
    options = {
        # Older clients do not know KnownHostsCommand. Only the first IgnoreUnknown counts, so a narrower one would make
        # options fatal that the user's own ssh_config ignores.
        "IgnoreUnknown": "*",
        "HostKeyAlias": machine,
        "UserKnownHostsFile": '"' + str(known_hosts).replace("%", "%%") + '"',
        "GlobalKnownHostsFile": "/dev/null",
        "KnownHostsCommand": "none",
        "VerifyHostKeyDNS": "no",
        "StrictHostKeyChecking": "yes",
        "CheckHostIP": "no",
        "UpdateHostKeys": "no",
        "ControlMaster": "no",  # a switch is confirmed over a new connection
        "ControlPath": "none",
        "ForwardAgent": "no",
        "ForwardX11": "no",
        "ClearAllForwardings": "yes",
        "PermitLocalCommand": "no",
        "RemoteCommand": "none",
        "ConnectTimeout": "10",
        "ServerAliveInterval": "15",
        "ServerAliveCountMax": "3",
        "LogLevel": "ERROR",
    }
    return tuple(word for name, value in options.items() for word in ("-o", f"{name}={value}"))


def pinned_keys(known_hosts: Path) -> Mapping[str, tuple[str, ...]]:
    """Return host keys by machine name, each ``TYPE BASE64``, sorted. Format: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT.

    Raises:
        Faults: When the file is not UTF-8.
    """
    pins: dict[str, set[str]] = {}
    for line in pin_lines(known_hosts):
        names, *key = line.split()[:3] or [""]
        if len(key) == 2 and not names.startswith(("#", "@", "|")):  # noqa: PLR2004 - type and key
            for name in names.split(","):
                pins.setdefault(name, set()).add(" ".join(key))
    return {name: tuple(sorted(keys)) for name, keys in pins.items()}


def pin_lines(known_hosts: Path) -> list[str]:
    """Return the lines of a known_hosts file; none when it does not exist.

    Raises:
        Faults: When the file is not UTF-8.
    """
    try:
        return known_hosts.read_text(encoding="utf-8").splitlines() if known_hosts.is_file() else []
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise Faults(
            [Fault("not UTF-8", Where(known_hosts, line=line), "remove the line, and pin the machine again")]
        ) from None
