"""The package managers of distributions: what each is asked, and what it answers. `packages` runs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Dict, FrozenSet, Iterable, List, Mapping, Optional, Protocol, Sequence, Set, Tuple

if TYPE_CHECKING:
    from rolecall_agent.seam.packages import PackageState


@dataclass(frozen=True)
class Changes:
    """What a package manager says that it would do.

    Attributes:
        versions: The version that each package would have afterwards, by name.
        removed: Packages that would be removed.
    """

    versions: Mapping[str, str]
    removed: FrozenSet[str] = frozenset()


class Manager(Protocol):
    """A package manager, as a module: functions that return commands, and functions that read what these print.

    Attributes:
        FILES: How the names of its package files end.
        BESIDE: What the names of files end with that it puts beside a configuration file.
        PURGED: The same for files that it does not put there, and that a purge deletes all the same.
    """

    FILES: Tuple[str, ...]
    BESIDE: Tuple[str, ...]
    PURGED: Tuple[str, ...]

    def query(self, names: Iterable[str]) -> List[str]:
        """Return the command that prints the states of packages; of all packages, for no names."""
        ...

    def states(self, output: str) -> Dict[str, PackageState]:
        """Return the states that `query` prints."""
        ...

    def query_manual(self, names: Iterable[str]) -> List[str]:
        """Return the command that prints which installed packages a person wants, or which not."""
        ...

    def manual(self, names: Iterable[str], output: str) -> Set[str]:
        """Return which of these installed packages a person wants, by what `query_manual` prints."""
        ...

    def preview(self, specs: Sequence[str]) -> List[str]:
        """Return the command that prints what an installation would change."""
        ...

    def preview_removal(self, names: Sequence[str], *, unneeded: bool) -> List[str]:
        """Return the command that prints what a removal would change, also of what nothing would need any more."""
        ...

    def changes(self, output: str) -> Changes:
        """Return the changes that both print."""
        ...

    def exact(self, name: str, version: str) -> str:
        """Return what stands for one version of a package in a command."""
        ...

    def refresh(self) -> List[str]:
        """Return the command that gets the current lists of packages."""
        ...

    def query_lists(self, path: str) -> Optional[List[str]]:
        """Return the command that prints the files with the lists of a source; None when they need not be renewed.

        Args:
            path: The file that declares the source.
        """
        ...

    def lists(self, output: str) -> Set[str]:
        """Return how the paths of all files with these lists begin."""
        ...

    def download(self, specs: Sequence[str], folder: str) -> Optional[List[str]]:
        """Return the command that gets all that an installation needs; None when `install` must do so."""
        ...

    def download_again(self, specs: Sequence[str], folder: str) -> Optional[List[str]]:
        """Return the command that gets versions that are installed already; None when none can be kept."""
        ...

    def file_name(self, name: str, version: str) -> str:
        """Return how the name of the file begins that `download` makes of a package."""
        ...

    def query_conffiles(self, path: str) -> Optional[List[str]]:
        """Return the command that prints what a package file says about its configuration; None when none can be kept.

        That is its configuration files, and the script that runs when they are purged.
        """
        ...

    def conffiles(self, output: str) -> List[str]:
        """Return the configuration files that `query_conffiles` prints."""
        ...

    def data(self, output: str) -> List[str]:
        """Return the paths of data that a purge may delete, by the script that `query_conffiles` prints."""
        ...

    def install(self, specs: Sequence[str], folder: str) -> List[str]:
        """Return the command that installs packages, with what was downloaded into a folder."""
        ...

    def remove(self, names: Sequence[str]) -> List[str]:
        """Return the command that removes these packages and no other."""
        ...

    def purge(self, names: Sequence[str]) -> Optional[List[str]]:
        """Return the command that removes what removed packages have left; None when nothing is left."""
        ...

    def force_removal(self, names: Sequence[str], *, purge: bool) -> List[str]:
        """Return the command that removes packages, whatever state they are in, and whatever needs them."""
        ...

    def install_files(self, paths: Sequence[str]) -> List[str]:
        """Return the command that installs package files, also of an earlier version."""
        ...

    def configure(self, names: Sequence[str]) -> Optional[List[str]]:
        """Return the command that completes an interrupted installation; None when there is none."""
        ...

    def repair(self, output: str) -> Optional[List[str]]:
        """Return the command after which one that printed this can be run again; None when there is none."""
        ...

    def mark(self, names: Sequence[str], *, manual: bool) -> Optional[List[str]]:
        """Return the command that records whether a person wants packages; None when this is not recorded."""
        ...

    def succeeded(self, status: int, output: str) -> bool:
        """Return whether a command did all that it should, or previewed it."""
        ...

    def error(self, output: str) -> str:
        """Return the first error that a command printed, or ""."""
        ...

    def is_locked(self, output: str) -> bool:
        """Return whether a command failed because another one is at work."""
        ...
