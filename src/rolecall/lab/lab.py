"""The lab's interface: boot it, reach its machines by ssh, break them, stop it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from rolecall.errors import Fault, Faults, fault, listed, nearest
from rolecall.files import make_local
from rolecall.lab import access, base, needs
from rolecall.lab.control import Control, locked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

_START_S = 30
_END_S = 20
# The boss gets namespaces of its own; because of --kill-child it never outlives unshare.
_UNSHARE = ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "--net", "--ipc", "--"]
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_BOOT_ID = ("cat", "/proc/sys/kernel/random/boot_id")
_UP_FIRST = "boot it: `rolecall lab up`"
_DOWN_FIRST = "stop the lab first: `rolecall lab down`"


class Lab:
    """The throw-away machines of one project.

    As a context manager it ends with the block, and with this process, whatever ends that::

        with Lab(project / ".rolecall/lab", ["web", "backup_server"]) as lab:
            lab.run("web", "systemctl", "is-system-running")

    Args:
        directory: The lab's state, e.g. ``PROJECT/.rolecall/lab``; it exists while the lab is up, mode 0700.
        machines: Names of machines: letters, digits, ``_``, ``-``.
        disk: Whether what machines write goes to the disk under ``directory`` and not to memory: slower,
            but then fsync means something.
        releases: The release of Debian of each machine, such as ``trixie``. A machine that is not in it runs that of
            this computer.

    Attributes:
        directory: As given, absolute.
        machines: As given.
        disk: As given.
        releases: As given.
        ssh_config: Configuration of OpenSSH's client in which each machine is a host of its name.
        known_hosts: The machines' host keys, by name.
    """

    def __init__(
        self,
        directory: Path,
        machines: Sequence[str],
        *,
        disk: bool = False,
        releases: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.directory = directory.absolute()
        self.machines = tuple(dict.fromkeys(machines))
        self.disk = disk
        self.releases = releases
        self.ssh_config = self.directory / "ssh_config"
        self.known_hosts = self.directory / "known_hosts"
        self._control = Control(self.directory)
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def available() -> str | None:
        """Return why a lab cannot run on this computer; None if it can."""
        return needs.missing()

    def up(self, *, tied: bool = False, progress: Callable[[str], None] = lambda _: None) -> dict[str, float]:
        """Boot the machines that do not exist yet or are off, and wait until they accept logins.

        Args:
            tied: Whether the lab dies with this process, also when that is killed.
            progress: Called with a few words on what is being done.

        Returns:
            By machine booted now, the seconds until a login worked, without the time to build the root file system.

        Raises:
            Faults: The lab cannot run here, a name is invalid, or a machine does not come up.
        """
        if reason := self.available():
            raise fault(reason)
        if not self.machines:
            raise fault("no machine to boot", hint="declare one: `rolecall machines add NAME`")
        for name in self.machines:
            if not _NAME.fullmatch(name):
                raise fault(f"the lab cannot name a machine {name!r}", hint="use letters, digits, `_` and `-`")
        if self.directory.parent.name == ".rolecall":  # a project's own
            make_local(self.directory.parent)
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        is_up = self._control.is_up()
        known = access.read(self.directory) if is_up else {}
        releases = {name: self.releases.get(name) or known.get(name, {}).get("release", "") for name in self.machines}
        if faults := [
            Fault(f"{name} runs {known[name]['release']} in the lab, not {release}", hint=_DOWN_FIRST)
            for name, release in releases.items()
            if name in known and known[name]["release"] != release
        ]:
            raise Faults(faults)
        releases = {name: release or base.codename() for name, release in releases.items()}
        bases, mirrors = base.bases({release for name, release in releases.items() if name not in known}, progress)
        if not is_up:
            self._boot(tied=tied)
        began = time.monotonic()
        authorized = (self.directory / "id.pub").read_text()
        answer = self._control.request("add", machines=releases, bases=bases, mirrors=mirrors, authorized=authorized)
        access.write(self.directory, answer["machines"])
        off = [name for name, runs in self.running().items() if name in self.machines and not runs]
        if off:
            self.start(*off)
        if not (new := [*answer["added"], *(name for name in off if name not in answer["added"])]):
            return {}
        progress(f"booting: {', '.join(new)}")
        spent = time.monotonic() - began
        return {name: round(seconds + spent, 2) for name, seconds in self.wait(new).items()}

    def down(self) -> None:
        """Stop the lab, if it is up, and remove its files, also those of a lab that was killed."""
        try:
            lock = (self.directory / "lock").open("rb")
        except FileNotFoundError:
            return
        with lock:
            with contextlib.suppress(OSError):
                self._control.request("down")
            if not locked(lock, _END_S) and (boss := self._control.boss()):
                os.kill(boss, signal.SIGKILL)
            if not locked(lock, _END_S):
                raise fault("the lab does not stop", hint=f"see {self.directory}/log/boss")
            with contextlib.suppress(FileNotFoundError):
                # Only if the file is not a new lab's by now.
                if Path(lock.name).stat().st_ino == os.fstat(lock.fileno()).st_ino:
                    self._clean()
        if self._process:
            self._process.wait()
            if self._process.stdin:
                self._process.stdin.close()
            self._process = None

    def running(self) -> dict[str, bool]:
        """Return which machines run; empty when the lab is down."""
        try:
            return dict(self._control.request("status")["running"])
        except OSError:
            return {}

    def run(
        self,
        machine: str,
        *argv: str,
        input: bytes | None = None,  # noqa: A002 - as subprocess.run has it
        check: bool = True,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command on a machine as root, over ssh.

        Args:
            machine: Its name.
            argv: The command; each word arrives as it is.
            input: What the command reads from its standard input; nothing by default.
            check: Whether a failure raises.

        Returns:
            The finished process with its output; exit status 255 is ssh's own failure.

        Raises:
            subprocess.CalledProcessError: The command failed and ``check`` is true.
            Faults: The lab has no such machine, or is down.
        """
        return subprocess.run(self.argv(machine, *argv), input=input or b"", capture_output=True, check=check)

    def argv(self, machine: str, *command: str) -> list[str]:
        """Return the arguments that run a command on a machine, or log in to it.

        Raises:
            Faults: The lab has no such machine, or is down.
        """
        self._check([machine])
        return ["ssh", "-F", str(self.ssh_config), "--", machine, *([shlex.join(command)] if command else [])]

    def unplugged(self) -> list[str]:
        """Return the machines whose network is unplugged."""
        try:
            return list(self._control.request("status")["unplugged"])
        except OSError:
            return []

    def kill(self, *machines: str) -> None:
        """Cut the power of machines: all their processes end at once."""
        self._request_for("kill", machines, run=True)

    def start(self, *machines: str) -> None:
        """Switch on machines that were killed or have switched themselves off; do not wait for them."""
        self._request_for("start", machines, run=False)

    def cut(self, *machines: str) -> None:
        """Unplug the network of machines, until ``plug`` or their next boot."""
        self._request_for("cut", machines, run=True)

    def plug(self, *machines: str) -> None:
        """Plug in the network of machines again."""
        self._request_for("plug", machines, run=True)

    def reboot(self, *machines: str) -> dict[str, float]:
        """Reboot machines, as `reboot` does there, and wait until they accept logins.

        Returns:
            The seconds that each took.

        Raises:
            Faults: As `wait`; one is off or accepts no login.
        """
        self._check(machines, run=True)
        before = {machine: self.run(machine, *_BOOT_ID, check=False).stdout for machine in machines}
        if deaf := [machine for machine, boot in before.items() if not boot]:
            raise fault(f"no login to reboot {listed(deaf)}", hint=f"use `rolecall lab kill {deaf[0]}` and `start`")
        for machine in machines:
            self.run(machine, "systemctl", "reboot", check=False)
        return self.wait(machines, before=before)

    def wait(
        self, machines: Iterable[str] = (), timeout: float = 60, *, before: Mapping[str, bytes] = MappingProxyType({})
    ) -> dict[str, float]:
        """Wait until machines accept logins.

        Args:
            machines: Their names; by default all.
            timeout: Seconds.
            before: Boot ids of machines from which they reboot.

        Returns:
            The seconds that each took.

        Raises:
            Faults: One did not come up in time, or the lab has no such machine.
        """
        from concurrent.futures import ThreadPoolExecutor

        began = time.monotonic()
        records = access.read(self.directory)
        names = list(machines) or list(records)
        self._check(names)

        def one(name: str) -> float | None:
            while time.monotonic() - began < timeout:
                boot = b""
                if access.answers(records[name]["port"]):
                    boot = self.run(name, *_BOOT_ID, check=False).stdout
                if boot and boot != before.get(name):
                    return round(time.monotonic() - began, 2)
                time.sleep(0.05)
            return None

        with ThreadPoolExecutor(32) as pool:
            took = dict(zip(names, pool.map(one, names), strict=True))
        if late := [name for name, seconds in took.items() if seconds is None]:
            raise fault(
                f"no login within {timeout:g} s: {', '.join(late)}",
                hint=f"see what they printed while booting in {self.directory}/log/",
            )
        return {name: seconds for name, seconds in took.items() if seconds is not None}

    def __enter__(self) -> Self:
        try:
            self.up(tied=True)
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def _boot(self, *, tied: bool) -> None:
        """Start the boss, without machines yet."""
        from rolecall.lab.boss import Options

        self.directory.mkdir(mode=0o700, exist_ok=True)
        # A lab is up while this lock is held. The boss inherits it, so it is free once all its processes are dead.
        with (self.directory / "lock").open("w") as lock, Path("/proc/self/ns/net").open("rb") as network:
            if not locked(lock, 0):
                raise fault(f"a lab is starting or stopping in {self.directory}", hint="try again in a second")
            self._clean(but="lock")
            (self.directory / "log").mkdir(mode=0o700)
            keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f"]
            subprocess.run([*keygen, str(self.directory / "id")], check=True)
            options = Options(
                directory=str(self.directory),
                packages=str(base.cache() / "lab/packages"),
                gateway=base.GATEWAY,
                proxy_port=base.PROXY_PORT,
                group=self._group,
                host_network=network.fileno(),
                disk=self.disk,
                tied=tied,
            )
            settings = json.dumps({name: getattr(options, name) for name in options.__slots__})
            argv = [*_UNSHARE, sys.executable, "-P", "-m", "rolecall.lab.boss", settings]
            with (self.directory / "log/boss").open("wb") as log:
                self._process = subprocess.Popen(
                    argv,
                    # While tied, its standard input is a pipe from here: when that closes, the lab stops.
                    stdin=subprocess.PIPE if tied else subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    pass_fds=(lock.fileno(), network.fileno()),
                    env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
                )
        # Reap it whenever it ends, even if another process stops it.
        threading.Thread(target=self._process.wait, daemon=True).start()
        until = time.monotonic() + _START_S
        while not self._control.is_up():
            if self._process.poll() is not None or time.monotonic() > until:
                self._process.kill()
                last = (self.directory / "log/boss").read_text().strip().splitlines()[-1:]
                raise fault(f"the lab did not start: {' '.join(last)}", hint=f"see {self.directory}/log/boss")
            time.sleep(0.005)

    @property
    def _group(self) -> str:
        """The name of its cgroup, derived from the directory, so that `_clean` finds it again."""
        return "rolecall-lab-" + hashlib.sha256(bytes(self.directory)).hexdigest()[:12]

    def _clean(self, but: str = "") -> None:
        """Remove what a dead lab left: its files, except one of this name, and its empty cgroups."""
        for path in self.directory.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != but:
                path.unlink()
        if not but:
            self.directory.rmdir()
        mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
        if top := next((Path(mount[1]) for mount in mounts if mount[2] == "cgroup2"), None):
            from rolecall.lab.machine import sweep

            sweep(top / self._group)

    def _request_for(self, verb: str, machines: Sequence[str], *, run: bool) -> None:
        """Send a request for each of some machines.

        Raises:
            Faults: As `_check`; or the boss could not do it.
        """
        self._check(machines, run=run)
        try:
            for machine in dict.fromkeys(machines):
                self._control.request(verb, machine=machine)
        except OSError as error:
            raise fault("the lab is down", hint=_UP_FIRST) from error

    def _check(self, machines: Iterable[str], *, run: bool | None = None) -> None:
        """Raise Faults for machines that the lab does not have, or that run, or do not, unlike `run`."""
        known = access.read(self.directory)
        running = {} if run is None else self.running()
        if not known or (run is not None and not running):
            raise fault("the lab is down", hint=_UP_FIRST)
        faults = []
        for machine in machines:
            if machine not in known:
                hint = nearest(machine, known, what="machines of the lab")
                faults.append(Fault(f"the lab has no machine {machine!r}", hint=hint))
            elif run is not None and running.get(machine) is not run:
                state, verb = ("off", "start") if run else ("running already", "kill")
                faults.append(Fault(f"{machine} is {state}", hint=f"run `rolecall lab {verb} {machine}` first"))
        if faults:
            raise Faults(faults)


def find(directory: Path) -> Lab | None:
    """Return the lab that is up in a directory, else None.

    Args:
        directory: E.g. ``PROJECT/.rolecall/lab``.
    """
    lab = Lab(directory, ())
    lab.machines = tuple(access.read(directory))
    return lab if lab.machines and lab._control.is_up() else None  # noqa: SLF001 - of the same module
