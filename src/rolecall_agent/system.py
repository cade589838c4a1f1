"""The seam to the machine: what the agent does to it, and the machine itself.

`System` is all that the rest of the agent knows. `RealSystem` is the machine; `recorded.RecordedSystem` its twin below
a root directory.
"""
# ruff: noqa: D102 - what the seam's methods do is said once, in System

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
    """A user as the machine has it; a locked one can log in in no way."""

    home: str
    shell: str
    groups: FrozenSet[str]
    locked: bool = False


@dataclass(frozen=True)
class UnitState:
    """A unit as the machine has it.

    Attributes:
        known: Whether there is a unit of this name, ours or not.
        enabled: Whether it starts at boot by a link of its own.
        active: Whether it runs.
        done: Whether it is right that it does not run: a oneshot that has succeeded, or a condition not met.
        failed: Whether it failed, or is about to be restarted for that.
    """

    known: bool = False
    enabled: bool = False
    active: bool = False
    done: bool = False
    failed: bool = False


class System(Protocol):
    """What can be seen and done. Everything raises Failure or OSError when it could not be done.

    Attributes:
        boots: Whether it boots, so that something has to be done then.
    """

    boots: bool

    def stat(self, path: str) -> Optional[Entry]: ...  # these are Tree's
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
    def own(self, path: str, owner: str, group: str, mode: int) -> None: ...
    def remove(self, path: str) -> None: ...
    def sweep(self, path: str) -> None: ...

    def group(self, name: str) -> bool:
        """Whether there is this group."""
        ...

    def add_group(self, name: str) -> None:
        """Makes a system group."""
        ...

    def user(self, name: str) -> Optional[Account]:
        """The user, or None."""
        ...

    def add_user(self, name: str, account: Account) -> None:
        """Makes a system user with a group of its name; its home is not made."""
        ...

    def change_user(self, name: str, account: Account) -> None:
        """Makes a user so, uid and password kept."""
        ...

    def prefetch(self, packages: Iterable[str], units: Iterable[str]) -> None:
        """Tells what will be asked for, so that one question to the system answers all."""
        ...

    def installed(self, package: str) -> bool:
        """Whether a package is installed."""
        ...

    def install(self, packages: Sequence[str]) -> None:
        """Installs packages."""
        ...

    def uninstall(self, packages: Sequence[str]) -> List[str]:
        """Removes packages, each only when nothing else that is wanted goes with it; says which were kept and why."""
        ...

    def unit(self, name: str) -> UnitState:
        """The state of a unit; all false when there is none."""
        ...

    def systemctl(self, verb: str, units: Sequence[str]) -> None:
        """Does one verb of the program systemctl to units: nothing without any, but for ``daemon-reload``."""
        ...

    def require_running(self, units: Sequence[str]) -> None:
        """Raises Failure, with the end of its log, when one of these has failed after it was started."""
        ...

    def run(self, argv: Sequence[str], timeout: float) -> Tuple[int, str]:
        """Runs a command without input; its exit status, and the end of its output and errors."""
        ...

    def validate(self, path: str, data: bytes) -> None:
        """Raises Failure when the program that reads this file would refuse it."""
        ...

    def validate_units(self, texts: Mapping[str, bytes]) -> None:
        """Raises Failure when systemd could not load these unit files."""
        ...

    def seal(self, name: str, value: bytes) -> Optional[bytes]:
        """A value so that this machine alone can open it; None where there is no means to."""
        ...

    def unseal(self, name: str, credential: bytes) -> bytes:
        """The reverse, under the same name; raises Failure when it cannot be opened."""
        ...

    def os_release(self) -> Dict[str, str]:
        """os-release(5)."""
        ...


def read_os_release(text: str) -> Dict[str, str]:
    """os-release(5): shell-like assignments."""
    found = re.findall(r"""^([A-Z_0-9]+)=(?:"([^"\n]*)"|'([^'\n]*)'|([^\n]*))$""", text, re.MULTILINE)
    return {name: double or single or bare for name, double, single, bare in found}


class RealSystem(Tree):
    """This machine, as root.

    Attributes:
        boots: True.

    Args:
        booting: Whether units are only asked to start: while the machine boots they may wait for what waits for us.
    """

    boots = True

    def __init__(self, *, booting: bool = False) -> None:
        super().__init__("/")
        self._booting = booting
        os.environ.update(ENVIRONMENT)
        self._packages: Dict[str, bool] = {}
        self._units: Dict[str, UnitState] = {}
        self._sealing: Optional[Creds] = None
        self._expected: Tuple[Set[str], Set[str]] = (set(), set())

    # Owners

    def _owner(self, path: str, found: os.stat_result) -> Tuple[str, str]:  # noqa: ARG002
        import grp  # noqa: PLC0415 - as little as possible before the first answer
        import pwd  # noqa: PLC0415

        owner, group = str(found.st_uid), str(found.st_gid)
        if found.st_uid == 0 == found.st_gid:
            return "root", "root"
        with contextlib.suppress(KeyError):
            owner = pwd.getpwuid(found.st_uid).pw_name
        with contextlib.suppress(KeyError):
            group = grp.getgrgid(found.st_gid).gr_name
        return owner, group

    def _give(self, fd: int, path: str, owner: str, group: str) -> None:  # noqa: ARG002
        os.fchown(fd, *_ids(owner, group))

    def _give_link(self, folder: int, name: str, path: str, owner: str, group: str) -> None:  # noqa: ARG002
        os.chown(name, *_ids(owner, group), dir_fd=folder, follow_symlinks=False)

    def _forget(self, path: str) -> None:
        pass

    # Accounts, by shadow's programs

    def group(self, name: str) -> bool:
        import grp  # noqa: PLC0415

        try:
            grp.getgrnam(name)
        except KeyError:
            return False
        return True

    def add_group(self, name: str) -> None:
        self._must(["groupadd", "--system", name], f"group {name} cannot be made")

    def user(self, name: str) -> Optional[Account]:
        import grp  # noqa: PLC0415
        import pwd  # noqa: PLC0415

        try:
            found = pwd.getpwnam(name)
        except KeyError:
            return None
        groups = frozenset(group.gr_name for group in grp.getgrall() if name in group.gr_mem)
        # shadow(5): the eighth field is the day on which the account expires.
        lines = self.read("/etc/shadow").decode(errors="replace").splitlines()
        fields = next((line.split(":") for line in lines if line.startswith(f"{name}:")), [])
        return Account(found.pw_dir, found.pw_shell, groups, locked=fields[7:8] == ["1"])

    def add_user(self, name: str, account: Account) -> None:
        group = ["--gid", name] if self.group(name) else ["--user-group"]
        settings = ["--home-dir", account.home, "--shell", account.shell, "--groups", ",".join(sorted(account.groups))]
        argv = ["useradd", "--system", "--no-create-home", *group, *settings, name]
        self._must(argv, f"user {name} cannot be made")

    def change_user(self, name: str, account: Account) -> None:
        # An expired account is refused whatever it logs in with; a locked password stops only passwords.
        settings = ["--home", account.home, "--shell", account.shell, "--groups", ",".join(sorted(account.groups))]
        expiry = ["--expiredate", "1" if account.locked else ""]
        was = self.user(name)
        change = expiry if was is None or was.locked != account.locked else []
        self._must(["usermod", *settings, *change, name], f"user {name} cannot be changed")

    # Packages, by dpkg and apt

    def prefetch(self, packages: Iterable[str], units: Iterable[str]) -> None:
        self._expected[0].update(packages)
        self._expected[1].update(units)

    def installed(self, package: str) -> bool:
        if package not in self._packages:
            self._require_apt()
            names = sorted({package, *self._expected[0]})
            query = ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *names]
            lines = self._capture(query)[1].splitlines()
            self._packages.update(dict.fromkeys(names, False))
            self._packages.update({line.split()[0]: True for line in lines if line.endswith(" installed")})
        return self._packages[package]

    def install(self, packages: Sequence[str]) -> None:
        if not packages:
            return
        self._require_apt()
        self._packages.clear()
        self._units.clear()  # packages bring some
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
        if status:  # the lists may be missing or old
            self.run([*_APT, "update"], 600)
            self._must(argv, f"packages cannot be installed: {' '.join(packages)}", 1800)

    def uninstall(self, packages: Sequence[str]) -> List[str]:
        notes = []
        for package in packages:
            _, plan = self._capture([*_APT, "--simulate", "remove", package])
            going = set(re.findall(r"^Remv (\S+)", plan, re.MULTILINE)) - {package}
            wanted = set(self._capture(["apt-mark", "showmanual", *sorted(going)])[1].split()) if going else set()
            if wanted:
                notes.append(f"package {package} stays: {', '.join(sorted(wanted))} would go with it")
                continue
            status, output = self.run([*_APT, "remove", "--yes", "--no-auto-remove", package], 1800)
            if status:
                notes.append(f"package {package} stays: {output.strip().splitlines()[-1:]}")
        self._packages.clear()
        return notes

    def _require_apt(self) -> None:
        if not _found("apt-get"):
            release = self.os_release()
            raise Failure(f"packages on {release.get('ID', 'this system')}: only apt is known yet")

    # Units, by systemctl

    def unit(self, name: str) -> UnitState:
        if name not in self._units:
            names = sorted({name, *self._expected[1]})
            properties = (
                "Id,Names,LoadState,ActiveState,SubState,UnitFileState,Type,Result,ConditionResult,"
                "ExecMainStartTimestampMonotonic,ConditionTimestampMonotonic"
            )
            _, output = self._capture(["systemctl", "show", "--property", properties, "--", *names])
            self._units.update(dict.fromkeys(names, UnitState()))
            for asked, block in zip(names, output.split("\n\n")):  # noqa: B905 - not in Python 3.9
                self._units[asked] = _unit_state(dict(line.partition("=")[::2] for line in block.splitlines()))
        return self._units[name]

    def systemctl(self, verb: str, units: Sequence[str]) -> None:
        if not units and verb != "daemon-reload":
            return
        self._units.clear()
        # Links are made and removed without a reload each; the switch reloads once itself.
        option = ["--no-reload"] if verb in {"enable", "disable"} else ["--no-block"] if self._booting else []
        status, output = self.run(["systemctl", verb, *option, *(["--", *units] if units else [])], 600)
        if status:
            failed = [name for name in units if self.unit(name).failed] or list(units)
            raise Failure(f"systemctl {verb} failed for {', '.join(failed)}", self._log(failed) or output)

    def require_running(self, units: Sequence[str]) -> None:
        if not units or self._booting:
            return
        # systemd.service(5), Type=simple: "started" is before the program has even been found.
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
        return self._capture(["systemctl", "status", "--no-pager", "--full", "--lines=10", "--", *units])[1][-4000:]

    # Commands

    def run(self, argv: Sequence[str], timeout: float) -> Tuple[int, str]:
        status, output = self._capture(argv, timeout, errors=True)
        return status, output[-4000:]

    def _must(self, argv: Sequence[str], message: str, timeout: float = 60) -> None:
        status, output = self.run(argv, timeout)
        if status:
            raise Failure(message, output)

    @staticmethod
    def _capture(argv: Sequence[str], timeout: float = 60, *, errors: bool = False) -> Tuple[int, str]:
        import subprocess  # noqa: PLC0415 - as little as possible before the first answer

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
            if re.match(pattern, path) and _found(argv[0]):
                with _scratch({os.path.basename(path): data}) as (file,):
                    status, output = self.run([*argv, file], 30)
                if status:
                    raise Failure(f"{argv[0]} refuses {path}", output)

    def validate_units(self, texts: Mapping[str, bytes]) -> None:
        if not texts or not _found("systemd-analyze"):
            return
        with _scratch(texts) as files:
            status, output = self.run(["systemd-analyze", "verify", "--man=no", *files], 60)
        # Programs may come with packages and files that are not there yet.
        lines = [line for line in output.splitlines() if not re.search(r"is not executable: No such file|^$", line)]
        named = [line for line in lines if any(os.path.basename(file) in line for file in files)]
        if status and named:
            raise Failure("systemd refuses a unit", "\n".join(named))

    # Secrets

    def seal(self, name: str, value: bytes) -> Optional[bytes]:
        return self._creds.seal(name, value)

    def unseal(self, name: str, credential: bytes) -> bytes:
        return self._creds.unseal(name, credential)

    @property
    def _creds(self) -> Creds:
        from rolecall_agent.creds import Creds  # noqa: PLC0415 - as little as possible before the first answer

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


def _found(program: str) -> bool:
    """Whether a program is on the path. Not shutil's, whose import costs too much."""
    return any(os.access(f"{folder}/{program}", os.X_OK) for folder in ENVIRONMENT["PATH"].split(":"))


def _ids(owner: str, group: str) -> Tuple[int, int]:
    """User and group id.

    Raises:
        Failure: When there is no such user or group.
    """
    import grp  # noqa: PLC0415
    import pwd  # noqa: PLC0415

    try:
        uid = int(owner) if owner.isdigit() else pwd.getpwnam(owner).pw_uid
    except KeyError:
        raise Failure(f"there is no user {owner}") from None
    try:
        return uid, int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
    except KeyError:
        raise Failure(f"there is no group {group}") from None


def _unit_state(shown: Dict[str, str]) -> UnitState:
    """From systemctl show; source: org.freedesktop.systemd1(5)."""
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
    """Files in a private folder, under their own names, for as long as needed."""
    import tempfile  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="rolecall-") as folder:
        paths = [os.path.join(folder, name) for name in files]
        for path, data in zip(paths, files.values()):  # noqa: B905 - as above
            with open(path, "wb") as file:
                file.write(data)
            os.chmod(path, 0o440)  # visudo insists
        yield paths
