"""The interface to the packages of the distribution."""

from __future__ import annotations

from typing import Dict, Iterable, List, Mapping, NamedTuple, Protocol, Sequence, Tuple

UNKNOWN = "unknown"
"""The version of a package in `Packages.preview` that cannot be known yet."""


class PackageState(NamedTuple):
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

    def renew_sources(self, paths: Iterable[str]) -> bool:
        """Fetch the lists of sources again if one of these files is newer: another key may have verified them.

        Args:
            paths: The files that declare sources, and those that these need, such as keys.

        Returns:
            Whether there were such lists.
        """
        ...

    def capture(self, names: Iterable[str]) -> Dict[str, PackageState]:
        """Return the states of packages now, for `put_back`, and of all others that are not wholly installed."""
        ...

    def download(self, names: Sequence[str], versions: Mapping[str, str]) -> Dict[str, Dict[str, bool]]:
        """Get the files of packages to install, and of those that they replace.

        Returns:
            By package that is new and whose purge would delete something of a person's: the paths of its configuration
            files, and of others that its package manager may put beside these; and the paths of data that are there.
            Each with whether the installation may write it.
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
