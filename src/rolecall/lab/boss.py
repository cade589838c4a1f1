"""The process that runs a lab's machines, as root. Standard library only.

lab.py starts it as ``unshare --pid --mount --net --ipc … python -m rolecall.lab.boss OPTIONS``, so it is pid 1 in
namespaces of its own. Pid 1 only reaps dead processes; its one child does the work below. When any process of this
chain dies, the kernel kills the others and every machine, and frees all mounts and links. Only a state directory and
empty cgroups can be left; the next ``up`` or ``down`` removes both.

The protocol (client: `control`): one JSON line per connection on the Unix socket ``control`` in the state directory,
answered by one. The answer to ``{"verb": …, …}`` is ``{"running": {NAME: bool}, "unplugged": [NAME, …], …}`` or
``{"error": TEXT}``. The verbs are in ``_VERBS``; their arguments are the other keys.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import shutil
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rolecall.lab import relay
from rolecall.lab.machine import BRIDGE, RUN, Machine, shell, sweep
from rolecall.lab.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_CLONE_NEWNET = 0x40000000
_CGROUP = Path("/sys/fs/cgroup")
_INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")  # a machine takes 8, and all count as one user's
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Options:
    """The settings of the boss.

    Attributes:
        directory: The lab's state directory, absolute.
        packages: The folder in which the proxy stores packages.
        gateway: The lab's own IPv4 address; machines get others of its /16.
        proxy_port: Where the proxy listens on ``gateway``.
        group: Name of the lab's cgroup, below the root of the hierarchy.
        host_network: File descriptor of the computer's own network namespace.
        disk: Whether what machines write goes to the disk, not to memory.
        tied: Whether the lab ends when standard input does.
    """

    directory: str
    packages: str
    gateway: str
    proxy_port: int
    group: str
    host_network: int
    disk: bool
    tied: bool


class Boss:
    """The machines of one lab, and what can be done to them.

    Args:
        options: The settings.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.directory = Path(options.directory)
        self.group = _CGROUP / options.group
        self.machines: dict[str, Machine] = {}
        self.mirrors: dict[str, str] = {}
        self._busy = threading.Lock()
        # What this one thread creates belongs to the computer's own network.
        self._outside = ThreadPoolExecutor(1, initializer=_enter_network, initargs=(options.host_network,))

    def prepare(self) -> None:
        """Create mounts, network and proxy."""
        resolv = Path("/etc/resolv.conf").resolve()
        nameservers = resolv.read_bytes() if resolv.is_file() else b""
        shell("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
        if not resolv.exists():  # it was under /run
            resolv.parent.mkdir(parents=True, exist_ok=True)
            resolv.write_bytes(nameservers)
        shell("mount", "-t", "cgroup2", "cgroup2", str(_CGROUP))
        sweep(self.group)
        for name in ("base", "upper", "root"):
            (RUN / name).mkdir(parents=True)
        if self.options.disk:
            (self.directory / "disk").mkdir(mode=0o700)
            shell("mount", "--bind", str(self.directory / "disk"), str(RUN / "upper"))
        else:
            shell("mount", "-t", "tmpfs", "-o", "size=80%,mode=755", "tmpfs", str(RUN / "upper"))
        shell("ip", "link", "set", "lo", "up")
        shell("ip", "link", "add", BRIDGE, "type", "bridge")
        shell("ip", "addr", "add", f"{self.options.gateway}/16", "dev", BRIDGE)
        shell("ip", "addr", "add", "fd77::1/64", "dev", BRIDGE, "nodad")
        shell("ip", "link", "set", BRIDGE, "up")
        # Ask for a booting machine's hardware address ten times a second, not once.
        Path(f"/proc/sys/net/ipv4/neigh/{BRIDGE}/retrans_time_ms").write_text("100")
        if int(_INOTIFY.read_text()) < 1024:  # noqa: PLR2004 - above 16 machines with the default of 128 some fail
            _INOTIFY.write_text("1024")
        inside = socket.create_server((self.options.gateway, self.options.proxy_port), backlog=128)
        proxy = Proxy(inside, Path(self.options.packages), self.mirrors)
        # A thread starts in the network of the thread that starts it: this one fetches from the computer's.
        self._outside.submit(_spawn, proxy.serve_forever).result()

    def serve(self) -> None:
        """Answer on the control socket until ``down``, or until the socket is deleted."""
        if self.options.tied:
            _spawn(self._end_with_input)
        os.chdir(self.directory)  # a Unix socket's path may have 107 bytes only; relative it is short
        with socket.socket(socket.AF_UNIX) as control:
            control.bind("control.new")
            Path("control.new").chmod(0o600)
            control.listen(64)
            Path("control.new").rename("control")
            control.settimeout(1)
            while Path("control").exists():  # deleting the project's folder ends its lab too
                with contextlib.suppress(TimeoutError):
                    _spawn(self._answer, control.accept()[0])
        self.down()

    def _answer(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rwb") as stream, contextlib.suppress(OSError):
            if not (line := stream.readline()):
                return
            answer: dict[str, object] = {}
            try:
                request: dict[str, Any] = json.loads(line)
                verb = _VERBS[request.pop("verb")]
                with self._busy:
                    answer |= verb(self, **request) or {}
                    answer["running"] = {name: not machine.off.is_set() for name, machine in self.machines.items()}
                    answer["unplugged"] = [name for name, machine in self.machines.items() if machine.unplugged]
            except Exception as error:  # noqa: BLE001 - the client must get an answer
                answer = {"error": f"{type(error).__name__}: {error}"}
            stream.write(json.dumps(answer).encode() + b"\n")

    def status(self) -> None:
        """Do nothing: every answer contains the machines that run."""

    def add(
        self, machines: Mapping[str, str], bases: Mapping[str, str], mirrors: Mapping[str, str], authorized: str
    ) -> dict[str, object]:
        """Create and boot the machines that the lab does not have yet.

        Args:
            machines: Their names, each with the release of Debian that it runs.
            bases: The root file systems of these releases.
            mirrors: The mirrors that they may use: their prefix as machines see it, and the real one.
            authorized: The public key that may log in as root and as admin.

        Returns:
            ``{"added": [NAME, …], "machines": {NAME: {"port", "address", "hostname", "host_key", "release"}, …}}``.
        """
        names = [name for name in machines if name not in self.machines]
        if bad := [name for name in names if not _NAME.fullmatch(name)]:
            raise ValueError(f"invalid machine name: {bad[0]!r}")
        self.mirrors |= mirrors
        for release, base in bases.items():
            if not (place := RUN / "base" / release).exists():
                place.mkdir()
                shell("mount", "--bind", base, str(place))
        new = [Machine(name, number, machines[name]) for number, name in enumerate(names, len(self.machines) + 1)]
        self.machines |= {machine.name: machine for machine in new}
        for machine in new:
            machine.off.set()
            machine.create_root(self.options.gateway, authorized)
            listening = self._outside.submit(socket.create_server, ("127.0.0.1", 0), backlog=128).result()
            machine.port = listening.getsockname()[1]
            _spawn(relay.serve, listening, (machine.address, 22))
        self._write_hosts()
        for machine in new:
            self.start(machine.name)
        keys = ("port", "address", "hostname", "host_key", "release")
        records = {name: {key: getattr(machine, key) for key in keys} for name, machine in self.machines.items()}
        return {"added": names, "machines": records}

    def start(self, machine: str) -> None:
        """Switch on a machine that is off."""
        chosen = self.machines[machine]
        if chosen.off.is_set():
            chosen.off.clear()
            _spawn(chosen.run, self.group / chosen.alias, self.directory / "log" / chosen.name)

    def kill(self, machine: str) -> None:
        """Cut a machine's power: all its processes end at once, and its peers get no packet."""
        chosen = self.machines[machine]
        until = time.monotonic() + 10
        if not chosen.off.is_set():
            chosen.remove_link()  # first, else the kernel would close the connections of the killed processes
        while not chosen.off.wait(0.01):
            with contextlib.suppress(FileNotFoundError):  # it has only just been started
                (self.group / chosen.alias / "cgroup.kill").write_text("1")
            if time.monotonic() > until:
                raise TimeoutError(f"{machine} cannot be killed")

    def cut(self, machine: str) -> None:
        """Unplug a machine's network until ``plug`` or its next start."""
        shell("ip", "link", "set", self.machines[machine].link, "down")
        self.machines[machine].unplugged = True

    def plug(self, machine: str) -> None:
        """Plug a machine's network in again."""
        shell("ip", "link", "set", self.machines[machine].link, "up")
        self.machines[machine].unplugged = False

    def down(self) -> None:
        """Stop and remove everything."""
        with contextlib.suppress(OSError):
            (self.group / "cgroup.kill").write_text("1")
        sweep(self.group)
        shutil.rmtree(self.directory, ignore_errors=True)
        os._exit(0)  # pid 1 follows, and the kernel ends what is left

    def _end_with_input(self) -> None:
        os.read(0, 1)
        self.down()

    def _write_hosts(self) -> None:
        """Write the names of all machines to each, including those that are not valid host names."""
        lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
        for machine in self.machines.values():
            alias = "" if machine.hostname in self.machines else f" {machine.hostname}"
            lines.append(f"{machine.address} {machine.name}{alias}")
        for machine in self.machines.values():
            (machine.root / "etc/hosts").write_text("\n".join(lines) + "\n")


_VERBS: dict[str, Callable[..., dict[str, object] | None]] = {
    "status": Boss.status,
    "add": Boss.add,
    "start": Boss.start,
    "kill": Boss.kill,
    "cut": Boss.cut,
    "plug": Boss.plug,
    "down": Boss.down,
}


def _enter_network(namespace: int) -> None:
    """Move the calling thread into a network namespace; sockets and threads that it creates belong there."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _spawn(call: Callable[..., object], *arguments: object) -> None:
    threading.Thread(target=call, args=arguments, daemon=True).start()


def main() -> None:
    """Run as pid 1: reap dead processes until the child that does the work has ended."""
    worker = os.fork()
    if worker:
        while os.wait()[0] != worker:
            pass
        os._exit(1)
    os.umask(0o022)  # for what it writes into machines
    boss = Boss(Options(**json.loads(sys.argv[1])))
    boss.prepare()
    boss.serve()


if __name__ == "__main__":
    main()
