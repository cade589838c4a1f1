"""The interface to the machine: `System`, with its accounts, packages and units.

The rest of the agent uses only this. `systems.real` implements it for a machine, `systems.recorded` for a directory.
"""
# ruff: noqa: D102 - `Tree` describes the methods on files, and `System` its attributes

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import (
    TYPE_CHECKING,
    AbstractSet,
    Dict,
    FrozenSet,
    Iterable,
    Iterator,
    List,
    Mapping,
    Optional,
    Protocol,
    Sequence,
    Tuple,
    Union,
)

if TYPE_CHECKING:
    from rolecall_agent.barriers import Barriers
    from rolecall_agent.fingerprint import Notes
    from rolecall_agent.tree import Entry


class Ask(Protocol):
    """`System.ask`."""

    def __call__(self, argv: Sequence[str], *, errors: bool = False) -> Tuple[int, str]: ...


UNIT_FOLDERS = ("/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")


@dataclass(frozen=True)
class Account:
    """A user of the machine.

    Attributes:
        home: The home directory.
        shell: The login shell.
        groups: The supplementary groups.
        locked: Whether it cannot log in by any means.
        uid: The user id; None for one that the machine chooses.
        group: The primary group; "" for one of the user's own name.
        comment: The comment (GECOS).
        password: The hash of the password, as crypt(5) has it, or what stands for none.
    """

    home: str
    shell: str
    groups: FrozenSet[str]
    locked: bool = False
    uid: Optional[int] = None
    group: str = ""
    comment: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True)
class UnitState:
    """The state of a unit on the machine.

    Attributes:
        known: Whether a unit of this name exists, managed or not.
        enabled: Whether it starts at boot by a link of its own.
        indirect: Whether enabling it means to enable other units, which its ``[Install]`` section names.
        active: Whether it is running.
        job: Whether it is running, and will end by itself: a oneshot.
        done: Whether it need not be running: a oneshot that has succeeded, or a condition that is not met.
        failed: Whether it failed, or is about to be restarted after a failure.
        daemon: Whether it is a service, and not a job.
        simple: Whether it counts as started as soon as its program runs, whether that is ready or not.
        invocation: Identifies this run of it; "" if it has not run.
        stale: Whether systemd has loaded another version of its files than there are now.
        elapsed: Whether it is a timer that will not start its job again.
        reloads: Whether it can be reloaded.
        repeats: Whether systemd starts it again after it has ended well.
        transient: Whether a program has created it at run time, in place of any unit file.
        alias: The name of the unit that this is another name of, or "".
        triggers: The units that it starts: the service of a socket, timer or path.
        triggered: Whether such a unit starts it.
        bound: The units that stop and restart along with it.
        stopped_along: The units that stop along with it, but do not restart.
    """

    known: bool = False
    enabled: bool = False
    indirect: bool = False
    active: bool = False
    job: bool = False
    done: bool = False
    failed: bool = False
    daemon: bool = False
    simple: bool = False
    invocation: str = ""
    stale: bool = False
    elapsed: bool = False
    reloads: bool = False
    repeats: bool = False
    transient: bool = False
    alias: str = ""
    triggers: Tuple[str, ...] = ()
    triggered: bool = False
    bound: Tuple[str, ...] = ()
    stopped_along: Tuple[str, ...] = ()


UNKNOWN = "unknown"
"""The version of a package in `Packages.preview` that cannot be known yet."""


@dataclass(frozen=True)
class PackageState:
    """The state of a package.

    Attributes:
        status: ``installed``, ``not-installed``, ``config-files`` (it was removed, and its configuration files are
            left), or a state in between, such as ``half-configured``: in the words of dpkg(1).
        version: The version that is installed, wholly or in part; "" for none.
        manual: Whether a person wants it, and not only another package; known after `Packages.capture`.
    """

    status: str = "not-installed"
    version: str = ""
    manual: bool = False

    @property
    def present(self) -> bool:
        """Whether any part of it but configuration files is there."""
        return self.status not in {"not-installed", "config-files"}


class Accounts(Protocol):
    """Users and groups. Every method raises Failure or OSError when it fails."""

    def has_group(self, name: str) -> bool:
        """Return whether a group exists."""
        ...

    def gid(self, name: str) -> Optional[int]:
        """Return the id of a group; None when it does not exist."""
        ...

    def group_of(self, gid: int) -> str:
        """Return the name of the group with an id, "" for none."""
        ...

    def add_group(self, name: str, gid: Optional[int] = None) -> None:
        """Create a system group."""
        ...

    def remove_group(self, name: str) -> None:
        """Remove a group that is nobody's primary group."""
        ...

    def change_group(self, name: str, gid: int) -> None:
        """Change the id of a group."""
        ...

    def user(self, name: str) -> Optional[Account]:
        """Return a user; None when it does not exist."""
        ...

    def user_of(self, uid: int) -> str:
        """Return the name of the user with an id, "" for none."""
        ...

    def processes(self, name: str) -> Dict[int, str]:
        """Return the processes of an existing user: each with the unit that it belongs to, "" for a login session."""
        ...

    def add_user(self, name: str, account: Account) -> None:
        """Create a system user without a home directory."""
        ...

    def remove_user(self, name: str) -> None:
        """Remove a user that has no processes, with the group of its own, and without its home."""
        ...

    def change_user(self, name: str, account: Account) -> None:
        """Change a user to match the account. No process of it may run if its id or home changes."""
        ...


class Packages(Protocol):
    """Packages of the distribution. Every method raises Failure when it fails."""

    def prefetch(self, names: Iterable[str]) -> None:
        """Announce packages whose state will be needed, so that one call gets all of them."""
        ...

    def state(self, name: str) -> PackageState:
        """Return the state of a package."""
        ...

    def preview(self, names: Sequence[str], *, sources_change: bool) -> Dict[str, str]:
        """Return what installing packages would change: the version that each package would have afterwards, by name.

        Args:
            names: The packages.
            sources_change: Whether files of this switch may make them known: until then, their version is `UNKNOWN`.

        Raises:
            Failure: When they cannot be installed, or others would be removed.
        """
        ...

    def capture(self, names: Iterable[str]) -> Dict[str, PackageState]:
        """Return the states of packages now, for `put_back`, and of all others that are not wholly installed."""
        ...

    def download(self, names: Sequence[str], versions: Mapping[str, str]) -> Dict[str, List[str]]:
        """Get the files of packages to install, and of those that they replace.

        Returns:
            By package that is new: files that are where it has configuration files, and where its package manager
            would put others beside these. Nothing for a package that has no such file in its way.
        """
        ...

    def install(self, names: Sequence[str], versions: Mapping[str, str]) -> None:
        """Install packages; afterwards, exactly the versions of `preview` are there."""
        ...

    def put_back(self, before: Mapping[str, PackageState]) -> None:
        """Give packages the states that `capture` returned, as far as this is possible without the network."""
        ...

    def removable(self, names: Sequence[str], dependencies: Iterable[str]) -> Tuple[List[str], Dict[str, List[str]]]:
        """Return what can be removed together, and why the rest of the packages cannot.

        Args:
            names: The packages to remove.
            dependencies: Packages that came along with others, to remove when nothing needs them any more.

        Returns:
            What can be removed, dependencies included; and the packages that need others of them, by name.
        """
        ...

    def remove(self, names: Sequence[str]) -> None:
        """Remove packages, but not their configuration files."""
        ...

    def purge(self, names: Sequence[str]) -> None:
        """Remove the configuration files that removed packages have left."""
        ...

    def tidy(self, needed: Iterable[Tuple[str, str]]) -> List[str]:
        """Delete the oldest package files if too many are kept, and those that are needed last; return their names.

        Args:
            needed: Names of packages, each with a version.
        """
        ...


class Units(Protocol):
    """Systemd units. Every method raises Failure when it fails.

    Attributes:
        settled: Whether a unit that was started or stopped is so; during a boot, this happens later.
    """

    settled: bool

    def prefetch(self, names: Iterable[str]) -> None:
        """Announce units whose state will be needed, so that one call gets all of them."""
        ...

    def forget(self) -> None:
        """Ask systemd again for every state that is needed from now on."""
        ...

    def renew(self) -> bool:
        """Ask systemd again, except for states of the last second; return whether it asks for all."""
        ...

    def state(self, name: str) -> UnitState:
        """Return the state of a unit; all false when it does not exist."""
        ...

    def instances(self, template: str) -> List[str]:
        """Return the names of the instances of a template that systemd has loaded, sorted."""
        ...

    def run(self, verb: str, names: Sequence[str]) -> None:
        """Run systemctl with a verb on units; without units, do nothing unless the verb is ``daemon-reload``."""
        ...

    def has_failed(self, name: str, since: float) -> bool:
        """Return whether a run of a unit has failed since a time, in seconds since the epoch."""
        ...

    def log(self, names: Sequence[str]) -> str:
        """Return the end of the log of units, for a person."""
        ...

    def validate(self, texts: Mapping[str, bytes], coming: Optional[AbstractSet[str]]) -> None:
        """Raise Failure when systemd could not load these unit files.

        Args:
            texts: The unit files, by the names of the units.
            coming: Names of units that they may require although these are not there yet; None for any.
        """
        ...


class Kernel(Protocol):
    """What the kernel has now, by kind of resource and name. Every method raises Failure or OSError when it fails."""

    def prefetch(self, kind: str, names: Iterable[str]) -> None:
        """Announce values that will be needed, so that one call gets all of them."""
        ...

    def value(self, kind: str, name: str) -> Optional[str]:
        """Return a value; None when there is none."""
        ...

    def change(self, kind: str, name: str, value: Optional[str]) -> None:
        """Set a value; None, to take it away if nothing uses it."""
        ...


class System(Protocol):
    """A machine. Every method raises Failure or OSError when it fails.

    Attributes:
        boots: Whether it boots, and so needs the boot unit.
        root: The root directory of a recorded system; None for the machine itself.
        token: What temporary names are computed from; see `Tree`.
        notes: What was looked at; see `fingerprint`.
        accounts: Its users and groups.
        packages: Its packages.
        units: Its systemd units.
        kernel: What its kernel has.
    """

    boots: bool
    root: Optional[str]
    token: str
    notes: Notes

    def renew(self) -> None:
        """Look at everything again from now on; states of units stand for a second."""
        ...

    def close(self) -> None:
        """Free what it uses."""
        ...

    @property
    def accounts(self) -> Accounts: ...
    @property
    def packages(self) -> Packages: ...
    @property
    def units(self) -> Units: ...
    @property
    def kernel(self) -> Kernel: ...

    def stat(self, path: str) -> Optional[Entry]: ...  # described in `Tree`, up to `remove_temporary`
    def resolve(self, path: str) -> str: ...
    def barriers(self, path: str) -> Barriers: ...
    def pieces(self, path: str, limit: int = ...) -> Iterator[bytes]: ...
    def read(self, path: str, limit: int = ...) -> bytes: ...
    def digest(self, path: str, limit: int = ...) -> str: ...
    def names(self, path: str) -> List[str]: ...
    def attributes(self, path: str) -> Dict[str, str]: ...
    def write(
        self,
        path: str,
        data: Union[bytes, Iterable[bytes]],
        owner: str = "root",
        group: str = "root",
        mode: int = 0o600,
        *,
        mtime_ns: int = 0,
        attributes: Optional[Mapping[str, str]] = None,
    ) -> None: ...
    def symlink(
        self, path: str, target: str, owner: str = "root", group: str = "root", *, mtime_ns: int = 0
    ) -> None: ...
    def mkdir(self, path: str, owner: str = "root", group: str = "root", mode: int = 0o755) -> None: ...
    def set_access(self, path: str, type_: str, owner: str, group: str, mode: int) -> None: ...
    def remove(self, path: str) -> None: ...
    def remove_temporary(self, path: str) -> None: ...

    def run(self, argv: Sequence[str], timeout: float) -> Tuple[int, str]:
        """Run a command without input; return its exit status, and the end of its output and errors."""
        ...

    def ask(self, argv: Sequence[str], *, errors: bool = False) -> Tuple[int, str]:
        """Run a command that changes nothing; return its exit status and output, with ``errors`` also what it reports.

        Unlike after `run`, its answer identifies what the comparison has found: see `fingerprint`.
        """
        ...

    def validate(self, path: str, data: bytes) -> None:
        """Raise Failure when the program that reads this file would reject it."""
        ...

    def keys_file(self, user: str) -> str:
        """Return the file with keys that may log in as a user: a pattern of sshd_config(5), AuthorizedKeysFile.

        Raises:
            Failure: When sshd does not say.
        """
        ...

    def flush(self) -> None:
        """Wait until what other programs have written is on the disk: links of systemctl, files of packages."""
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
