"""The interface to the machine (`System`), and its implementation for a real one (`RealSystem`).

The rest of the agent uses only `System`. `recorded.RecordedSystem` implements it for a directory.
"""
# ruff: noqa: D102 - `System` describes the methods

from __future__ import annotations

import contextlib
import os
import re
import time
from dataclasses import dataclass
from typing import (
    TYPE_CHECKING,
    Dict,
    FrozenSet,
    Iterable,
    Iterator,
    List,
    Mapping,
    Optional,
    Protocol,
    Sequence,
    Set,
    Tuple,
)

from rolecall_agent.tree import Entry, Failure, Tree

if TYPE_CHECKING:
    from rolecall_agent.creds import Creds

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}
UNIT_FOLDERS = ("/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")


@dataclass(frozen=True)
class Account:
    """A user of the machine. A locked one cannot log in by any means."""

    home: str
    shell: str
    groups: FrozenSet[str]
    locked: bool = False


@dataclass(frozen=True)
class UnitState:
    """The state of a unit on the machine.

    Attributes:
        known: Whether a unit of this name exists, managed or not.
        enabled: Whether it starts at boot by a link of its own.
        active: Whether it is running.
        done: Whether it need not be running: a oneshot that has succeeded, or a condition that is not met.
        failed: Whether it failed, or is about to be restarted after a failure.
    """

    known: bool = False
    enabled: bool = False
    active: bool = False
    done: bool = False
    failed: bool = False


class System(Protocol):
    """A machine. Every method raises Failure or OSError when it fails.

    Attributes:
        boots: Whether it boots, and so needs the boot unit.
    """

    boots: bool

    def stat(self, path: str) -> Optional[Entry]: ...  # described in `Tree`, up to `remove_temporary`
    def read(self, path: str) -> bytes: ...
    def names(self, path: str) -> List[str]: ...
    def attributes(self, path: str) -> Dict[str, str]: ...
    def write(
        self,
        path: str,
        data: bytes,
        owner: str = "root",
        group: str = "root",
        mode: int = 0o600,
        *,
        mtime_ns: int = 0,
        attributes: Optional[Mapping[str, str]] = None,
    ) -> None: ...
    def symlink(self, path: str, target: str, owner: str = "root", group: str = "root") -> None: ...
    def mkdir(self, path: str, owner: str = "root", group: str = "root", mode: int = 0o755) -> None: ...
    def set_access(self, path: str, owner: str, group: str, mode: int) -> None: ...
    def remove(self, path: str) -> None: ...
    def remove_temporary(self, path: str) -> None: ...

    def group(self, name: str) -> bool:
        """Return whether a group exists."""
        ...

    def add_group(self, name: str) -> None:
        """Create a system group."""
        ...

    def user(self, name: str) -> Optional[Account]:
        """Return a user; None when it does not exist."""
        ...

    def add_user(self, name: str, account: Account) -> None:
        """Create a system user, with a group of the same name and without a home directory."""
        ...

    def change_user(self, name: str, account: Account) -> None:
        """Change a user to match the account; uid and password are kept."""
        ...

    def prefetch(self, packages: Iterable[str], units: Iterable[str]) -> None:
        """Announce packages and units whose state will be needed, so that one call gets all of them."""
        ...

    def installed(self, package: str) -> bool:
        """Return whether a package is installed."""
        ...

    def install(self, packages: Sequence[str]) -> None:
        """Install packages."""
        ...

    def uninstall(self, packages: Sequence[str]) -> List[str]:
        """Remove packages, unless manually installed ones depend on them; return notes on those that were kept."""
        ...

    def unit(self, name: str) -> UnitState:
        """Return the state of a unit; all false when it does not exist."""
        ...

    def systemctl(self, verb: str, units: Sequence[str]) -> None:
        """Run systemctl with a verb on units; without units, do nothing unless the verb is ``daemon-reload``."""
        ...

    def require_running(self, units: Sequence[str]) -> None:
        """Raise Failure, with the end of the log, when one of these units fails after it was started."""
        ...

    def run(self, argv: Sequence[str], timeout: float) -> Tuple[int, str]:
        """Run a command without input; return its exit status, and the end of its output and errors."""
        ...

    def validate(self, path: str, data: bytes) -> None:
        """Raise Failure when the program that reads this file would reject it."""
        ...

    def validate_units(self, texts: Mapping[str, bytes]) -> None:
        """Raise Failure when systemd could not load these unit files."""
        ...

    def seal(self, name: str, value: bytes) -> Optional[bytes]:
        """Return a value encrypted so that only this machine can decrypt it; None if it has no means to."""
        ...

    def unseal(self, name: str, credential: bytes) -> bytes:
        """Return the value that was sealed under the same name; raise Failure when it cannot be decrypted."""
        ...

    def os_release(self) -> Dict[str, str]:
        """Return the assignments of os-release(5)."""
        ...


def read_os_release(text: str) -> Dict[str, str]:
    """Return the shell-like assignments of os-release(5)."""
    assignments = re.findall(r"""^([A-Z_0-9]+)=(?:"([^"\n]*)"|'([^'\n]*)'|([^\n]*))$""", text, re.MULTILINE)
    return {name: double or single or bare for name, double, single, bare in assignments}


class RealSystem(Tree):
    """This machine, as root.

    Attributes:
        boots: True.

    Args:
        booting: Whether starting units must not wait for them: during a boot, they may wait for the boot unit.
    """

    boots = True

    def __init__(self, *, booting: bool = False) -> None:
        super().__init__("/")
        self._booting = booting
        os.environ.update(ENVIRONMENT)
        self._packages: Dict[str, bool] = {}
        self._units: Dict[str, UnitState] = {}
        self._sealing: Optional[Creds] = None
        self._prefetched: Tuple[Set[str], Set[str]] = (set(), set())

    # Owners

    def _owner(self, path: str, status: os.stat_result) -> Tuple[str, str]:  # noqa: ARG002
        import grp
        import pwd

        owner, group = str(status.st_uid), str(status.st_gid)
        if status.st_uid == 0 == status.st_gid:
            return "root", "root"
        with contextlib.suppress(KeyError):
            owner = pwd.getpwuid(status.st_uid).pw_name
        with contextlib.suppress(KeyError):
            group = grp.getgrgid(status.st_gid).gr_name
        return owner, group

    def _set_owner(self, fd: int, path: str, owner: str, group: str) -> None:  # noqa: ARG002
        os.fchown(fd, *_ids(owner, group))

    def _set_link_owner(self, folder: int, name: str, path: str, owner: str, group: str) -> None:  # noqa: ARG002
        os.chown(name, *_ids(owner, group), dir_fd=folder, follow_symlinks=False)

    def _owner_removed(self, path: str) -> None:
        pass

    # Accounts, by shadow's programs

    def group(self, name: str) -> bool:
        import grp

        try:
            grp.getgrnam(name)
        except KeyError:
            return False
        return True

    def add_group(self, name: str) -> None:
        self._run_or_fail(["groupadd", "--system", name], f"cannot create group {name}")

    def user(self, name: str) -> Optional[Account]:
        import grp
        import pwd

        try:
            user = pwd.getpwnam(name)
        except KeyError:
            return None
        groups = frozenset(group.gr_name for group in grp.getgrall() if name in group.gr_mem)
        # shadow(5): the eighth field is the day on which the account expires.
        lines = self.read("/etc/shadow").decode(errors="replace").splitlines()
        fields = next((line.split(":") for line in lines if line.startswith(f"{name}:")), [])
        return Account(user.pw_dir, user.pw_shell, groups, locked=fields[7:8] == ["1"])

    def add_user(self, name: str, account: Account) -> None:
        group = ["--gid", name] if self.group(name) else ["--user-group"]
        settings = ["--home-dir", account.home, "--shell", account.shell, "--groups", ",".join(sorted(account.groups))]
        argv = ["useradd", "--system", "--no-create-home", *group, *settings, name]
        self._run_or_fail(argv, f"cannot create user {name}")

    def change_user(self, name: str, account: Account) -> None:
        # An expired account is refused for every login; a locked password only for password logins.
        settings = ["--home", account.home, "--shell", account.shell, "--groups", ",".join(sorted(account.groups))]
        expiry = ["--expiredate", "1" if account.locked else ""]
        before = self.user(name)
        lock = expiry if before is None or before.locked != account.locked else []
        self._run_or_fail(["usermod", *settings, *lock, name], f"cannot change user {name}")

    # Packages, by dpkg and apt

    def prefetch(self, packages: Iterable[str], units: Iterable[str]) -> None:
        self._prefetched[0].update(packages)
        self._prefetched[1].update(units)

    def installed(self, package: str) -> bool:
        if package not in self._packages:
            self._require_apt()
            names = sorted({package, *self._prefetched[0]})
            query = ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *names]
            lines = self._execute(query)[1].splitlines()
            self._packages.update(dict.fromkeys(names, False))
            self._packages.update({line.split()[0]: True for line in lines if line.endswith(" installed")})
        return self._packages[package]

    def install(self, packages: Sequence[str]) -> None:
        if not packages:
            return
        self._require_apt()
        self._packages.clear()
        self._units.clear()  # packages may bring units
        argv = [
            *_APT,
            "install",
            "--yes",
            "--no-install-recommends",
            "-o",
            "Dpkg::Options::=--force-confold",
            *packages,
        ]
        status, _ = self.run(argv, 1800)
        if status:  # the package lists may be missing or outdated
            self.run([*_APT, "update"], 600)
            self._run_or_fail(argv, f"cannot install packages: {' '.join(packages)}", 1800)

    def uninstall(self, packages: Sequence[str]) -> List[str]:
        notes = []
        for package in packages:
            _, plan = self._execute([*_APT, "--simulate", "remove", package])
            removed = set(re.findall(r"^Remv (\S+)", plan, re.MULTILINE)) - {package}
            manual = set(self._execute(["apt-mark", "showmanual", *sorted(removed)])[1].split()) if removed else set()
            if manual:
                notes.append(f"package {package} was kept: {', '.join(sorted(manual))} would be removed with it")
                continue
            status, output = self.run([*_APT, "remove", "--yes", "--no-auto-remove", package], 1800)
            if status:
                last_line = output.strip().rpartition("\n")[2]
                notes.append(f"package {package} was kept: {last_line}")
        self._packages.clear()
        return notes

    def _require_apt(self) -> None:
        if not _is_installed("apt-get"):
            release = self.os_release()
            raise Failure(f"cannot manage packages on {release.get('ID', 'this system')}: only apt is supported")

    # Units, by systemctl

    def unit(self, name: str) -> UnitState:
        if name not in self._units:
            names = sorted({name, *self._prefetched[1]})
            properties = (
                "Id,Names,LoadState,ActiveState,SubState,UnitFileState,Type,Result,ConditionResult,"
                "ExecMainStartTimestampMonotonic,ConditionTimestampMonotonic"
            )
            _, output = self._execute(["systemctl", "show", "--property", properties, "--", *names])
            self._units.update(dict.fromkeys(names, UnitState()))
            for unit, block in zip(names, output.split("\n\n")):  # noqa: B905 - not in Python 3.9
                self._units[unit] = _unit_state(dict(line.partition("=")[::2] for line in block.splitlines()))
        return self._units[name]

    def systemctl(self, verb: str, units: Sequence[str]) -> None:
        if not units and verb != "daemon-reload":
            return
        self._units.clear()
        # The switch reloads once, after all links are created or removed.
        option = ["--no-reload"] if verb in {"enable", "disable"} else ["--no-block"] if self._booting else []
        status, output = self.run(["systemctl", verb, *option, *(["--", *units] if units else [])], 600)
        if status:
            failed = [name for name in units if self.unit(name).failed] or list(units)
            raise Failure(f"systemctl {verb} failed for {', '.join(failed)}", self._log(failed) or output)

    def require_running(self, units: Sequence[str]) -> None:
        if not units or self._booting:
            return
        # systemd.service(5), Type=simple: the start job ends before the program is executed.
        deadline = time.monotonic() + 0.3
        while True:
            self._units.clear()
            failed = [name for name in units if self.unit(name).failed]
            if failed:
                raise Failure(f"{', '.join(failed)} failed after starting", self._log(failed))
            if time.monotonic() > deadline:
                return
            time.sleep(0.1)

    def _log(self, units: Sequence[str]) -> str:
        return self._execute(["systemctl", "status", "--no-pager", "--full", "--lines=10", "--", *units])[1][-4000:]

    # Commands

    def run(self, argv: Sequence[str], timeout: float) -> Tuple[int, str]:
        status, output = self._execute(argv, timeout, errors=True)
        return status, output[-4000:]

    def _run_or_fail(self, argv: Sequence[str], message: str, timeout: float = 60) -> None:
        status, output = self.run(argv, timeout)
        if status:
            raise Failure(message, output)

    @staticmethod
    def _execute(argv: Sequence[str], timeout: float = 60, *, errors: bool = False) -> Tuple[int, str]:
        import subprocess

        try:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if errors else subprocess.DEVNULL,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return 124, f"{argv[0]} took longer than {timeout:g} seconds"
        except OSError as error:
            return 127, f"{argv[0]}: {error.strerror}"
        return done.returncode, done.stdout.decode(errors="replace")

    # Validators

    def validate(self, path: str, data: bytes) -> None:
        for pattern, argv in _VALIDATORS:
            if re.match(pattern, path) and _is_installed(argv[0]):
                with _scratch({os.path.basename(path): data}) as (file,):
                    status, output = self.run([*argv, file], 30)
                if status:
                    raise Failure(f"{argv[0]} rejects {path}", output)

    def validate_units(self, texts: Mapping[str, bytes]) -> None:
        if not texts or not _is_installed("systemd-analyze"):
            return
        with _scratch(texts) as files:
            status, output = self.run(["systemd-analyze", "verify", "--man=no", *files], 60)
        # Programs may be missing still: packages and files are installed later.
        lines = [line for line in output.splitlines() if not re.search(r"is not executable: No such file|^$", line)]
        named = [line for line in lines if any(os.path.basename(file) in line for file in files)]
        if status and named:
            raise Failure("systemd rejects a unit file", "\n".join(named))

    # Secrets

    def seal(self, name: str, value: bytes) -> Optional[bytes]:
        return self._creds.seal(name, value)

    def unseal(self, name: str, credential: bytes) -> bytes:
        return self._creds.unseal(name, credential)

    @property
    def _creds(self) -> Creds:
        from rolecall_agent.creds import Creds

        self._sealing = self._sealing or Creds()
        return self._sealing

    def os_release(self) -> Dict[str, str]:
        for path in ("/etc/os-release", "/usr/lib/os-release"):
            with contextlib.suppress(OSError), open(path, encoding="utf-8") as file:
                return read_os_release(file.read())
        return {}


_APT = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120"]
_VALIDATORS = (
    (r"/etc/ssh/sshd_config(\Z|\.d/[^/]+\.conf\Z)", ["sshd", "-t", "-f"]),
    (r"/etc/sudoers(\Z|\.d/[^/]+\Z)", ["visudo", "-c", "-q", "-f"]),
    (r"/etc/nftables\.conf\Z", ["nft", "-c", "-f"]),
)


def _is_installed(program: str) -> bool:
    """Return whether a program is on the PATH. `shutil.which` would do, but its import takes too long."""
    return any(os.access(f"{folder}/{program}", os.X_OK) for folder in ENVIRONMENT["PATH"].split(":"))


def _ids(owner: str, group: str) -> Tuple[int, int]:
    """Return user and group id.

    Raises:
        Failure: When the user or group does not exist.
    """
    import grp
    import pwd

    try:
        uid = int(owner) if owner.isdigit() else pwd.getpwnam(owner).pw_uid
    except KeyError:
        raise Failure(f"user {owner} does not exist") from None
    try:
        return uid, int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
    except KeyError:
        raise Failure(f"group {group} does not exist") from None


def _unit_state(shown: Dict[str, str]) -> UnitState:
    """Return the state from properties of `systemctl show`; source: org.freedesktop.systemd1(5)."""
    active = shown.get("ActiveState", "")
    ran = shown.get("ExecMainStartTimestampMonotonic", "0") != "0"
    oneshot = shown.get("Type") == "oneshot" and shown.get("Result") == "success" and ran
    unmet = shown.get("ConditionResult") == "no" and shown.get("ConditionTimestampMonotonic", "0") != "0"
    return UnitState(
        known=shown.get("LoadState", "not-found") != "not-found",
        enabled=shown.get("UnitFileState", "").startswith("enabled"),
        active=active in {"active", "reloading", "activating"},
        done=active == "inactive" and (oneshot or unmet),
        failed=active == "failed" or shown.get("SubState") == "auto-restart",
    )


@contextlib.contextmanager
def _scratch(files: Mapping[str, bytes]) -> Iterator[List[str]]:
    """Write files into a temporary private folder, and yield their paths."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="rolecall-") as folder:
        paths = [os.path.join(folder, name) for name in files]
        for path, data in zip(paths, files.values()):  # noqa: B905 - as above
            with open(path, "wb") as file:
                file.write(data)
            os.chmod(path, 0o440)  # visudo requires this mode
        yield paths
