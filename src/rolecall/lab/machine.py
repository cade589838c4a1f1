"""One machine of the lab, as the boss keeps it: its root file system, its addresses, and systemd-nspawn."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

BRIDGE = "lab0"
RUN = Path("/run/lab")  # on a tmpfs that only this lab sees
_REBOOT = 133  # systemd-nspawn's exit status when the machine wants to be started again


@dataclass(slots=True)
class Machine:
    """One machine; its addresses and its short names derive from ``number``.

    Attributes:
        name: Its name in the inventory.
        number: From 1.
        release: The release of Debian that it runs.
        port: The port on 127.0.0.1 that leads to its sshd.
        host_key: The public key of its sshd.
        off: Set while it does not run.
        unplugged: Whether its network cable is unplugged.
    """

    name: str
    number: int
    release: str
    port: int = 0
    host_key: str = ""
    off: threading.Event = field(default_factory=threading.Event)
    unplugged: bool = False

    @property
    def alias(self) -> str:
        """Its name for systemd-nspawn, which allows neither ``_`` nor long names."""
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
    def base(self) -> Path:
        """Where the root file system of its release is mounted, which it shares with others."""
        return RUN / "base" / self.release

    @property
    def root(self) -> Path:
        """Its root file system in the mount namespace of the boss."""
        return RUN / "root" / self.alias

    def remove_link(self) -> None:
        """Remove its network cable, if there is one."""
        subprocess.call(["ip", "link", "delete", self.link], stderr=subprocess.DEVNULL)

    def create_root(self, gateway: str, authorized: str) -> None:
        """Mount its root file system, and write its own files into it.

        Args:
            gateway: The lab's own IPv4 address.
            authorized: The public key that may log in as root and as admin.
        """
        upper, work = (RUN / "upper" / self.alias / part for part in ("data", "work"))
        for directory in (upper, work, self.root):
            directory.mkdir(parents=True)
        layers = f"lowerdir={self.base},upperdir={upper},workdir={work}"
        shell("mount", "-t", "overlay", "overlay", "-o", layers, str(self.root))
        etc = self.root / "etc"
        (etc / "hostname").write_text(self.hostname + "\n")
        (etc / "machine-id").write_text(uuid.uuid4().hex + "\n")
        (etc / "systemd/network/10-lab.network").write_text(
            f"[Match]\nName=host0\n[Network]\nAddress={self.address}/16\n"
            f"Address=fd77::{self.number + 10:x}/64\nGateway={gateway}\n"
            "LLMNR=no\nIPv6AcceptRA=no\n"
        )
        key = etc / "ssh/ssh_host_ed25519_key"
        shell("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.hostname, "-f", str(key))
        self.host_key = " ".join(key.with_suffix(".pub").read_text().split()[:2])
        for home in (self.root / "root", self.root / "home/admin"):
            owner = home.stat()
            (home / ".ssh").mkdir(mode=0o700, exist_ok=True)
            (home / ".ssh/authorized_keys").write_text(authorized)
            (home / ".ssh/authorized_keys").chmod(0o600)
            for path in (home / ".ssh", home / ".ssh/authorized_keys"):
                os.chown(path, owner.st_uid, owner.st_gid)

    def run(self, group: Path, log: Path) -> None:
        """Run it until it is switched off or killed.

        Args:
            group: Its cgroup, which is created anew.
            log: The file to which its console is appended.
        """
        # A new one after a kill: since Linux 6.13, what is cloned from a killed cgroup into another one, as systemd 257
        # does, is killed too.
        sweep(group)
        group.mkdir(parents=True)
        tun = ["--bind=/dev/net/tun"] if Path("/dev/net/tun").exists() else []
        argv = [
            *("sh", "-c", 'echo 0 > "$0" && exec "$@"', f"{group}/cgroup.procs"),
            *("systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--console=pipe"),
            *(f"--machine={self.alias}", f"--hostname={self.hostname}", f"--directory={self.root}"),
            *("--link-journal=no", "--resolv-conf=off", "--timezone=off", f"--network-bridge={BRIDGE}"),
            *("--capability=CAP_NET_ADMIN,CAP_NET_RAW", *tun),
        ]
        try:
            with log.open("ab") as console:
                status = _REBOOT
                while status == _REBOOT:
                    self.unplugged = False
                    self.remove_link()  # the kernel removes the link of a machine that has ended only later
                    status = subprocess.call(argv, stdin=subprocess.DEVNULL, stdout=console, stderr=console)
        finally:
            self.off.set()


def sweep(group: Path) -> None:
    """Remove a cgroup and all below it once its processes are dead; wait at most 5 seconds for them."""
    until = time.monotonic() + 5
    while group.exists() and time.monotonic() < until:
        for path, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                Path(path).rmdir()
        time.sleep(0.005)


def shell(*argv: str) -> None:
    """Run a command.

    Raises:
        RuntimeError: When it fails; with what it printed.
    """
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}")
