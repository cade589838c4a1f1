"""The inventory's files: which there are, and reading one."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol, cast

from rolecall.errors import Fault, Faults, Where
from rolecall.inventory.data import BYTES, DEPTH, long_number, syntax_fault
from rolecall.options import options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rolecall.inventory.comments import Comment
    from rolecall.inventory.locate import Position
    from rolecall.model.inventory import Source
    from rolecall.project import Project

TOOLS: Final = "inventory.json"  # what tools write, below the person's own file
_NOTATIONS: Final = {
    ".toml": "toml",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".json": "json_text",
    ".nix": "nix",
    ".py": "python",
}


class Notation(Protocol):
    """What each module of `rolecall.inventory.notations` offers."""

    def read(self, text: str, file: Path) -> Source:
        """What a file says."""

    def positions(self, text: str) -> Iterator[Position]:
        """Where it says it."""

    def comments(self, text: str) -> Iterator[Comment]:
        """What it says to people, in any order."""

    def computes(self, text: str) -> bool:
        """Whether it is more than plain values under their keys."""


def find(project: Project) -> list[Path]:
    """The project's inventory files, from general to specific: the tools' layer, then the person's.

    A ``flake.nix`` counts when the person has no other file, and beside the tools' layer only when it speaks of
    an inventory: many projects have one for other purposes.

    Raises:
        Faults: When there is none, or the person has two.
    """
    present = project.inventory_files()
    layer = [file for file in present if file.name == TOOLS]
    own = [file for file in present if file.name not in {TOOLS, "flake.nix"}]
    if not own:
        own = [file for file in present if file.name == "flake.nix" and (not layer or "inventory" in text(file))]
    if len(own) > 1:
        names = " and ".join(file.name for file in own)
        raise Faults([Fault(f"there are two inventories: {names}", Where(own[-1]), "keep one of them")])
    if not layer and not own:
        hint = "make one with `rolecall init`"
        raise Faults([Fault(f"there is no inventory in {project.root}", None, hint)])
    return [*layer, *own]


def read(file: Path, *, nix: bool = False) -> Source:
    """What one file says.

    Args:
        file: The file.
        nix: Whether Nix itself is to evaluate one that is written in Nix.

    Raises:
        Faults: All that is wrong with its notation, each with the file, and line and column where known.
    """
    try:
        if nix and file.suffix == ".nix":
            from rolecall.inventory.notations import nix_program  # noqa: PLC0415 - where it is asked for

            return nix_program.read(file)
        module = notation(file)
        if module is None:
            raise syntax_fault("this notation is unknown")
        content = text(file)
        try:
            return module.read(content, file)
        except Faults as faults:
            raise long_number(faults, content) or faults from None
    except RecursionError:
        raise Faults([Fault(f"nested deeper than {DEPTH} levels", Where(file))]) from None
    except Faults as faults:
        raise Faults(each.at(replace(each.where or Where(), file=file)) for each in faults.faults) from None


def asks_for_nix(project: Project) -> bool:
    """Whether Nix itself is to evaluate files in Nix: by the command, or ``tool.rolecall.nix`` of pyproject.toml.

    Raises:
        Faults: When that file cannot be read, or holds something else there than true or false.
    """
    return project.nix or options(project).nix


def notation(file: Path) -> Notation | None:
    """The notation of a file by its suffix."""
    name = _NOTATIONS.get(file.suffix)
    return cast("Notation", import_module(f"rolecall.inventory.notations.{name}")) if name else None


def text(file: Path) -> str:
    """A file's content.

    Raises:
        Faults: When it cannot be read, is too large, or is no UTF-8.
    """
    try:
        with file.open("rb") as stream:
            content = stream.read(BYTES + 1)
    except OSError as error:
        raise Faults([Fault(f"cannot be read: {error.strerror}", Where(file))]) from None
    if len(content) > BYTES:
        raise Faults([Fault(f"larger than {BYTES // 1024**2} MiB", Where(file))])
    try:
        return content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1
        column = len(before.rpartition(b"\n")[2].decode(errors="replace")) + 1
        raise Faults([Fault("not UTF-8", Where(file, (), line, column), "save the file as UTF-8")]) from None
