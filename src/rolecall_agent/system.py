"""The interface to the machine: `System`, whose parts are in `seam`.

The rest of the agent uses only this. `systems.real` implements it for a machine, `systems.recorded` for a directory.
"""
# ruff: noqa: D102 - `Tree` describes the methods on files, and `System` its attributes

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
    Dict,
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
    from rolecall_agent.seam.accounts import Accounts
    from rolecall_agent.seam.kernel import Kernel
    from rolecall_agent.seam.packages import Packages
    from rolecall_agent.seam.units import Units
    from rolecall_agent.tree import Entry
    from rolecall_agent.walk import Place


class Ask(Protocol):
    """`System.ask`."""

    def __call__(self, argv: Sequence[str], *, errors: bool = False) -> Tuple[int, str]: ...


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
    def place(self, path: str) -> Place: ...
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
        private: bool = False,
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

    def ask(self, argv: Sequence[str], *, errors: bool = False, timeout: float = 60) -> Tuple[int, str]:
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

    def boot(self) -> str:
        """Return the id of this boot of the machine."""
        ...

    def reboot(self) -> None:
        """Begin a reboot."""
        ...

    def is_stopping(self) -> bool:
        """Return whether it shuts down."""
        ...

    def os_release(self) -> Dict[str, str]:
        """Return the assignments of os-release(5)."""
        ...
