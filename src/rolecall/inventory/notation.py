"""The notations of an inventory, with the functions of their readers and writers."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol, cast

from rolecall.inventory.data import Keys
from rolecall.model import notation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rolecall.inventory.changes import Change
    from rolecall.model.source import Source

Position = tuple[Keys, int, int]  # a key path from the file's top, its line and column
Place = tuple[Keys, int, int, "Path"]  # a position, and the file in which it is
Comment = tuple[int, int, str]  # the line and column of its sign, and the text after that


class Reader(Protocol):
    """The functions of each module of `rolecall.inventory.notations`."""

    def read(self, text: str, file: Path) -> Source:
        """Return the inventory in a file."""

    def positions(self, text: str) -> Iterator[Position]:
        """Yield the position of each key and item; Nix has `places` instead, since its files can name others."""

    def comments(self, text: str) -> Iterator[Comment]:
        """Yield its comments, in any order."""

    def computes(self, text: str) -> bool:
        """Return whether a file is more than plain values under their keys."""


class Writer(Protocol):
    """The functions of each module of `rolecall.inventory.writers`."""

    def change(self, text: str, change: Change) -> str:
        """Return a file's text with the smallest change that makes a change of its data."""


class Notation(notation.Notation):
    """One notation, with the modules that read and write it."""

    __slots__ = ()

    @property
    def reader(self) -> Reader:
        """The module that reads it."""
        return cast("Reader", import_module(f"rolecall.inventory.notations.{self.module}"))

    @property
    def writer(self) -> Writer:
        """The module that writes it."""
        return cast("Writer", import_module(f"rolecall.inventory.writers.{self.module}"))


NOTATIONS: Final = {each.name: Notation(*each) for each in notation.NOTATIONS}
_BY_SUFFIX: Final = {suffix: each for each in NOTATIONS.values() for suffix in each.suffixes}


def notation_of(file: Path) -> Notation | None:
    """Return the notation of a file by its suffix, if it has one."""
    return _BY_SUFFIX.get(file.suffix)
