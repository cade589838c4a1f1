"""The part of the lab that runs as root: it keeps the machines. Standard library only.

It is started by lab.py as ``unshare --pid --mount --net --ipc … python -m rolecall.lab.boss ORDERS`` and so is
pid 1 of namespaces of its own. Pid 1 does nothing but bury the dead; its one child does the work below. When
any process of the chain dies, for whatever reason, the kernel kills the others and every machine, and frees
all mounts and links. What can be left is a state directory and empty cgroups; the next ``up`` and ``down``
remove both.

The wire: one JSON line per connection on the Unix socket ``control`` in the state directory, answered by one.
``{"verb": …, …}`` is answered by ``{"running": {NAME: bool}, …}`` or ``{"error": TEXT}``; the verbs are in
``_VERBS``, and their arguments stand beside the verb.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rolecall.lab import relay
from rolecall.lab.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_CLONE_NEWNET = 0x40000000
_REBOOT = 133  # systemd-nspawn's exit status when the machine asked to be started again
_BRIDGE = "lab0"
_RUN = Path("/run/lab")  # on a tmpfs that only this lab sees
_CGROUP = Path("/sys/fs/cgroup")
_INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")  # a machine takes 8, and all count as one user's
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Orders:
    """The boss's settings, given at its start.

    Attributes:
        directory: The lab's state directory, absolute.
        base: The root file system under every machine.
        packages: Where the proxy keeps what it fetched.
        mirrors: What machines may fetch: the prefix that they use, and the real one.
        gateway: The lab's own IPv4 address; machines get others of its /16.
        proxy_port: Where the proxy listens on ``gateway``.
        group: Name of the lab's cgroup, below the root of the hierarchy.
        host_network: File descriptor of the computer's own network namespace.
        disk: Whether what machines write goes to the disk, not to memory.
        tied: Whether the lab ends when standard input does.
    """

    directory: str
    base: str
    packages: str
    mirrors: dict[str, str]
    gateway: str
    proxy_port: int
    group: str
    host_network: int
    disk: bool
    tied: bool


@dataclass(slots=True)
class Machine:
    """One machine; ``number`` gives its addresses and the names that must be short.

    Attributes:
        name: Its name in the inventory.
        number: From 1.
        port: The port on 127.0.0.1 that leads to its sshd.
        host_key: The public key of its sshd.
        off: Set while it does not run.
    """

    name: str
    number: int
    port: int = 0
    host_key: str = ""
    off: threading.Event = field(default_factory=threading.Event)

    @property
    def alias(self) -> str:
        """Its name for systemd-nspawn, and so its link's: nspawn takes neither ``_`` nor long names."""
        return f"m{self.number}"

    @property
    def hostname(self) -> str:
        """The nearest valid host name: ``backup_server`` becomes ``backup-server``."""
        return self.name.replace("_", "-").strip("-")[:63].rstrip("-") or self.alias

    @property
    def address(self) -> str:
        """Its IPv4 address."""
        return "10.77.{}.{}".format(*divmod(self.number + 10, 256))

    @property
    def link(self) -> str:
        """The bridge's end of its network cable, as systemd-nspawn names it."""
        return f"vb-{self.alias}"

    @property
    def root(self) -> Path:
        """Its root file system as the boss sees it."""
        return _RUN / "root" / self.alias

    def unlink(self) -> None:
        """Remove its network cable, if there is one."""
        subprocess.call(["ip", "link", "delete", self.link], stderr=subprocess.DEVNULL)


class Boss:
    """The machines of one lab, and what can be done to them.

    Args:
        orders: See there.
    """

    def __init__(self, orders: Orders) -> None:
        self.orders = orders
        self.directory = Path(orders.directory)
        self.group = _CGROUP / orders.group
        self.machines: dict[str, Machine] = {}
        self._busy = threading.Lock()
        # What this one thread creates belongs to the computer's own network.
        self._outside = ThreadPoolExecutor(1, initializer=_enter_network, initargs=(orders.host_network,))

    def prepare(self) -> None:
        """Create mounts, network and proxy."""
        resolv = Path("/etc/resolv.conf").resolve()
        nameservers = resolv.read_bytes() if resolv.is_file() else b""
        _sh("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
        if not resolv.exists():  # it was under /run
            resolv.parent.mkdir(parents=True, exist_ok=True)
            resolv.write_bytes(nameservers)
        _sh("mount", "-t", "cgroup2", "cgroup2", str(_CGROUP))
        sweep(self.group)
        for name in ("base", "upper", "root"):
            (_RUN / name).mkdir(parents=True)
        _sh("mount", "--bind", self.orders.base, str(_RUN / "base"))
        if self.orders.disk:
            (self.directory / "disk").mkdir(mode=0o700)
            _sh("mount", "--bind", str(self.directory / "disk"), str(_RUN / "upper"))
        else:
            _sh("mount", "-t", "tmpfs", "-o", "size=80%,mode=755", "tmpfs", str(_RUN / "upper"))
        _sh("ip", "link", "set", "lo", "up")
        _sh("ip", "link", "add", _BRIDGE, "type", "bridge")
        _sh("ip", "addr", "add", f"{self.orders.gateway}/16", "dev", _BRIDGE)
        _sh("ip", "addr", "add", "fd77::1/64", "dev", _BRIDGE, "nodad")
        _sh("ip", "link", "set", _BRIDGE, "up")
        # Ask for a booting machine's hardware address ten times a second, not once.
        Path(f"/proc/sys/net/ipv4/neigh/{_BRIDGE}/retrans_time_ms").write_text("100")
        if int(_INOTIFY.read_text()) < 1024:  # noqa: PLR2004 - above 16 machines with the default of 128 some fail
            _INOTIFY.write_text("1024")
        inside = socket.create_server((self.orders.gateway, self.orders.proxy_port), backlog=128)
        proxy = Proxy(inside, Path(self.orders.packages), self.orders.mirrors)
        # A thread starts in the network of the thread that starts it: this one fetches from the computer's.
        self._outside.submit(_spawn, proxy.serve_forever).result()

    def serve(self) -> None:
        """Answer on the control socket until ``down``, or until the socket is deleted."""
        if self.orders.tied:
            _spawn(self._end_with_input)
        os.chdir(self.directory)  # a Unix socket's path may have 107 bytes only; relative it is short
        with socket.socket(socket.AF_UNIX) as control:
            control.bind("control.new")
            Path("control.new").chmod(0o600)
            control.listen(64)
            Path("control.new").rename("control")
            control.settimeout(1)
            while Path("control").exists():  # who deletes the project's folder does not want its lab either
                with contextlib.suppress(TimeoutError):
                    _spawn(self._answer, control.accept()[0])
        self.down()

    def _answer(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rwb") as stream, contextlib.suppress(OSError):
            if not (line := stream.readline()):
                return
            answer: dict[str, object] = {}
            try:
                order: dict[str, Any] = json.loads(line)
                verb = _VERBS[order.pop("verb")]
                with self._busy:
                    answer |= verb(self, **order) or {}
                    answer["running"] = {m.name: not m.off.is_set() for m in self.machines.values()}
            except Exception as error:  # noqa: BLE001 - the one who asked must learn of it, whatever it is
                answer = {"error": f"{type(error).__name__}: {error}"}
            stream.write(json.dumps(answer).encode() + b"\n")

    def status(self) -> None:
        """Do nothing; each answer says which machines run."""

    def add(self, machines: Sequence[str], authorized: str) -> dict[str, object]:
        """Create and boot the machines that the lab does not have yet.

        Args:
            machines: Their names.
            authorized: The public key that may log in as root and as admin.

        Returns:
            ``{"added": [NAME, …], "machines": {NAME: {"port", "address", "hostname", "host_key"}, …}}``.
        """
        names = [name for name in machines if name not in self.machines]
        if bad := [name for name in names if not _NAME.fullmatch(name)]:
            raise ValueError(f"invalid machine name: {bad[0]!r}")
        new = [Machine(name, number) for number, name in enumerate(names, len(self.machines) + 1)]
        self.machines |= {machine.name: machine for machine in new}
        for machine in new:
            machine.off.set()
            self._furnish(machine, authorized)
            listening = self._outside.submit(socket.create_server, ("127.0.0.1", 0), backlog=128).result()
            machine.port = listening.getsockname()[1]
            _spawn(relay.serve, listening, (machine.address, 22))
        self._write_hosts()
        for machine in new:
            self.start(machine.name)
        told = ("port", "address", "hostname", "host_key")
        records = {name: {key: getattr(each, key) for key in told} for name, each in self.machines.items()}
        return {"added": names, "machines": records}

    def start(self, machine: str) -> None:
        """Switch on a machine that is off."""
        chosen = self.machines[machine]
        if chosen.off.is_set():
            chosen.off.clear()
            _spawn(self._run, chosen)

    def kill(self, machine: str) -> None:
        """Cut a machine's power: all its processes end at once, without a word to its peers."""
        chosen = self.machines[machine]
        until = time.monotonic() + 10
        if not chosen.off.is_set():
            chosen.unlink()  # first: the kernel would say goodbye on the connections of the dead
        while not chosen.off.wait(0.01):
            with contextlib.suppress(FileNotFoundError):  # it has only just been started
                (self.group / chosen.alias / "cgroup.kill").write_text("1")
            if time.monotonic() > until:
                raise TimeoutError(f"{machine} cannot be killed")

    def cut(self, machine: str) -> None:
        """Unplug a machine's network until ``plug`` or its next start."""
        _sh("ip", "link", "set", self.machines[machine].link, "down")

    def plug(self, machine: str) -> None:
        """Plug a machine's network in again."""
        _sh("ip", "link", "set", self.machines[machine].link, "up")

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

    def _furnish(self, machine: Machine, authorized: str) -> None:
        """Mount a machine's root, and write its own files into it."""
        upper, work = (_RUN / "upper" / machine.alias / part for part in ("data", "work"))
        for directory in (upper, work, machine.root):
            directory.mkdir(parents=True)
        layers = f"lowerdir={_RUN}/base,upperdir={upper},workdir={work}"
        _sh("mount", "-t", "overlay", "overlay", "-o", layers, str(machine.root))
        etc = machine.root / "etc"
        (etc / "hostname").write_text(machine.hostname + "\n")
        (etc / "machine-id").write_text(uuid.uuid4().hex + "\n")
        (etc / "systemd/network/10-lab.network").write_text(
            f"[Match]\nName=host0\n[Network]\nAddress={machine.address}/16\n"
            f"Address=fd77::{machine.number + 10:x}/64\nGateway={self.orders.gateway}\n"
            "LLMNR=no\nIPv6AcceptRA=no\n"
        )
        key = etc / "ssh/ssh_host_ed25519_key"
        _sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", machine.hostname, "-f", str(key))
        machine.host_key = " ".join(key.with_suffix(".pub").read_text().split()[:2])
        for home in (machine.root / "root", machine.root / "home/admin"):
            owner = home.stat()
            (home / ".ssh").mkdir(mode=0o700, exist_ok=True)
            (home / ".ssh/authorized_keys").write_text(authorized)
            (home / ".ssh/authorized_keys").chmod(0o600)
            for path in (home / ".ssh", home / ".ssh/authorized_keys"):
                os.chown(path, owner.st_uid, owner.st_gid)

    def _write_hosts(self) -> None:
        """Write the names of all machines to each, including those that are not valid host names."""
        lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
        for machine in self.machines.values():
            alias = "" if machine.hostname in self.machines else f" {machine.hostname}"
            lines.append(f"{machine.address} {machine.name}{alias}")
        for machine in self.machines.values():
            (machine.root / "etc/hosts").write_text("\n".join(lines) + "\n")

    def _run(self, machine: Machine) -> None:
        """Run a machine until it is switched off or killed."""
        group = self.group / machine.alias
        group.mkdir(parents=True, exist_ok=True)
        tun = ["--bind=/dev/net/tun"] if Path("/dev/net/tun").exists() else []
        argv = [
            *("sh", "-c", 'echo 0 > "$0" && exec "$@"', f"{group}/cgroup.procs"),
            *("systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--console=pipe"),
            *(f"--machine={machine.alias}", f"--hostname={machine.hostname}", f"--directory={machine.root}"),
            *("--link-journal=no", "--resolv-conf=off", "--timezone=off", f"--network-bridge={_BRIDGE}"),
            *("--capability=CAP_NET_ADMIN,CAP_NET_RAW", *tun),
        ]
        try:
            with (self.directory / "log" / machine.name).open("ab") as log:
                status = _REBOOT
                while status == _REBOOT:
                    machine.unlink()  # the kernel takes its time to remove the link of a machine that has ended
                    status = subprocess.call(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        finally:
            machine.off.set()


_VERBS: dict[str, Callable[..., dict[str, object] | None]] = {
    "status": Boss.status,
    "add": Boss.add,
    "start": Boss.start,
    "kill": Boss.kill,
    "cut": Boss.cut,
    "plug": Boss.plug,
    "down": Boss.down,
}


def sweep(group: Path) -> None:
    """Remove a cgroup and all below it once its processes are dead; wait at most 5 seconds for them."""
    until = time.monotonic() + 5
    while group.exists() and time.monotonic() < until:
        for path, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                Path(path).rmdir()
        time.sleep(0.005)


def _enter_network(namespace: int) -> None:
    """Move the calling thread into a network namespace; sockets and threads that it creates belong there."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _spawn(call: Callable[..., object], *arguments: object) -> None:
    threading.Thread(target=call, args=arguments, daemon=True).start()


def _sh(*argv: str) -> None:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}")


def main() -> None:
    """Run as pid 1: reap dead processes until the child that does the work has ended."""
    worker = os.fork()
    if worker:
        while os.wait()[0] != worker:
            pass
        os._exit(1)
    os.umask(0o022)  # for what it writes into machines
    boss = Boss(Orders(**json.loads(sys.argv[1])))
    boss.prepare()
    boss.serve()


if __name__ == "__main__":
    main()
