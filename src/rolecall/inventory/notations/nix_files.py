"""The files of a project that a Nix file names, and the faults found in them."""

from __future__ import annotations

import posixpath
from bisect import bisect_right
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NoReturn

from rolecall.errors import Fault, Faults, Where
from rolecall.inventory import content
from rolecall.inventory.data import BYTES, shown, syntax_fault
from rolecall.inventory.notations.nix_tokens import line_starts, place_in

if TYPE_CHECKING:
    from pathlib import Path

_FILES: Final = 1_000
_FAULTS: Final = 100  # more would not be read


class RecordedError(Exception):
    """Raised once a fault is recorded: evaluation goes on elsewhere, without the faulty value.

    Attributes:
        fault: The fault.
    """

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__(fault.message)


class Files:
    """The files that are read for one inventory, and their faults.

    Offsets count through the texts of all Nix files, one behind the other.

    Args:
        root: The project's folder.

    Attributes:
        root: The project's folder.
        read: The files that were read.
        faults: What is wrong, so far.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.read: list[Path] = []
        self.faults: list[Fault] = []
        self._length = 0
        self._texts: list[tuple[int, Path, str]] = []  # where each starts
        self._lines: dict[int, list[int]] = {}  # by where a file starts

    def add(self, file: Path, text: str) -> tuple[int, str]:
        """Add a Nix file; return the offset at which it starts, and its text with lines as Nix sees them.

        Raises:
            Faults: When there are too many files.
        """
        start, text = self._length, unix(text)
        self._texts.append((start, file, text))
        self._length += len(text) + 1
        self._add(file)
        if self._length > BYTES or len(self.read) > _FILES:
            raise syntax_fault(f"more than {_FILES:,} files, or more than {BYTES // 1024**2} MiB together")
        return start, text

    def _add(self, file: Path) -> None:
        if file not in self.read:
            self.read.append(file)

    def find(self, path: str, offset: int) -> Path:
        """Return the file of the project that a path names; of a folder, its `default.nix`.

        Raises:
            RecordedError: When it is outside of the project, or does not exist.
        """
        if path.startswith("/"):
            self.fault(f"the file {shown(path)} is outside of the project", offset, "copy it into the project")
        file = self.root / posixpath.normpath(path)
        if (file / "default.nix").is_file():
            file /= "default.nix"
        if not file.resolve().is_relative_to(self.root.resolve()):
            self.fault(f"the link {shown(path)} leads out of the project", offset, "copy the file into the project")
        if not file.exists():
            self.fault(
                f"the file {shown(path)} does not exist", offset, "write the path relative to the file that contains it"
            )
        return file

    def text(self, path: str, offset: int) -> str:
        """Return the text of a file of the project.

        Raises:
            RecordedError: When it cannot be read.
        """
        file = self.find(path, offset)
        try:
            text = content.text(file)
        except Faults as error:
            self.fault_in(file, error)
        self._add(file)
        return text

    def exists(self, path: str) -> bool:
        """Return whether a path leads to a file or folder of the project."""
        file = self.root / posixpath.normpath(path)
        return file.exists() and file.resolve().is_relative_to(self.root.resolve())

    def folder(self, path: str, offset: int) -> dict[str, str]:
        """Return the names in a folder of the project and the kind of each, as Nix's `readDir` gives them.

        Raises:
            RecordedError: When it is not a folder of the project.
        """
        folder = self.root / posixpath.normpath(path)
        if not folder.resolve().is_relative_to(self.root.resolve()) or not folder.is_dir():
            self.fault(f"{shown(path)} is not a folder of the project", offset)
        return {
            each.name: "symlink" if each.is_symlink() else "directory" if each.is_dir() else "regular"
            for each in sorted(folder.iterdir())
        }

    def where(self, offset: int) -> Where:
        """Return the file, line and column of an offset, as far as they are known."""
        if offset < 0:
            return Where(self.read[0])
        start, file, text = self._texts[bisect_right(self._texts, offset, key=lambda each: each[0]) - 1]
        if start not in self._lines:
            self._lines[start] = line_starts(text)
        return Where(file, (), *place_in(self._lines[start], offset - start))

    def fault(self, message: str, offset: int, hint: str = "") -> NoReturn:
        """Record a fault.

        Raises:
            RecordedError: Always.
            Faults: When there are too many.
        """
        fault = Fault(message, self.where(offset), hint)
        self.faults.append(fault)
        if len(self.faults) > _FAULTS:
            raise Faults(self.faults)
        raise RecordedError(fault)

    def fault_in(self, file: Path, error: Faults) -> NoReturn:
        """Record the faults of a file that cannot be read.

        Raises:
            RecordedError: Always.
        """
        located = [each.at(replace(each.where or Where(), file=file)) for each in error.faults]
        self.faults += located
        raise RecordedError(located[0]) from None


def unix(text: str) -> str:
    """Return the text with lines as Nix sees them."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
