"""The inventory's files: find them, and read one."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from rolecall.errors import Fault, Faults, Where
from rolecall.inventory.content import text
from rolecall.inventory.data import DEPTH, long_number, syntax_fault
from rolecall.inventory.notation import notation_of
from rolecall.options import options
from rolecall.project import TOOL_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rolecall.inventory.notation import Place
    from rolecall.model.source import Source
    from rolecall.project import Project

# What only the flake of a Clan contains.
_CLAN: Final = re.compile(r"clan-core|clan\.lol|lib\.clan\b|buildClan|clan\.nix|\bclan\s*=")
_COMMENT: Final = re.compile(r"(?<!\S)#[^\n]*|/\*.*?\*/", re.DOTALL)


def find(project: Project) -> list[Path]:
    """Return the project's inventory files, from general to specific: the tool-written file, then the user's.

    The user's file is `inventory.*`, else a flake, else `clan.nix`. An `inventory.nix` that a flake reads is a part of
    the flake. Beside the tool-written file, only the flake of a Clan counts: many projects have a flake for other
    purposes.

    Raises:
        Faults: When the project has no inventory file, or has two that the user wrote.
    """
    present = {file.name: file for file in project.inventory_files()}
    tool_written, flake, clan = (present.pop(name, None) for name in (TOOL_FILE, "flake.nix", "clan.nix"))
    user_files = [*present.values()]
    counts = flake and (is_clan(flake) or "inventory" in _code(flake))
    if flake and counts and all(file.suffix == ".nix" and file in parts(flake) for file in user_files):
        user_files = [flake]
    elif not user_files:
        user_files = [each for each in (clan, None if tool_written else flake) if each][:1]
    if len(user_files) > 1:
        names = " and ".join(file.name for file in user_files)
        raise Faults([Fault(f"two inventory files: {names}", Where(user_files[-1]), "keep one of them")])
    if not tool_written and not user_files:
        hint = "create one: `rolecall init`"
        raise Faults([Fault(f"no inventory in {project.root}", None, hint)])
    return [*([tool_written] if tool_written else []), *user_files]


def is_clan(file: Path) -> bool:
    """Return whether a file belongs to a Clan."""
    return file.is_file() and (file.name == "clan.nix" or bool(_CLAN.search(_code(file))))


def _code(file: Path) -> str:
    """Return a Nix file's text without its comments; a URL may hold a `#`."""
    return _COMMENT.sub("", text(file))


def read(file: Path, *, nix: bool = False) -> Source:
    """Return the inventory in one file.

    Args:
        file: The file.
        nix: Whether Nix itself evaluates files in Nix.

    Raises:
        Faults: All that is wrong with its notation, each with the file, and line and column where known.
    """
    try:
        if nix and file.suffix == ".nix":
            from rolecall.inventory.notations import nix_program

            return nix_program.read(file)
        notation = notation_of(file)
        if notation is None:
            raise syntax_fault("unknown notation")
        content = text(file)
        try:
            return notation.reader.read(content, file)
        except Faults as faults:
            raise long_number(faults, content) or faults from None
    except RecursionError:
        raise Faults([Fault(f"nested deeper than {DEPTH} levels", Where(file))]) from None
    except Faults as faults:
        located = (each.where or Where() for each in faults.faults)
        places = (replace(where, file=where.file or file) for where in located)
        raise Faults(each.at(where) for each, where in zip(faults.faults, places, strict=True)) from None


def asks_for_nix(project: Project) -> bool:
    """Return whether Nix itself evaluates files in Nix: by option, or ``tool.rolecall.nix`` of pyproject.toml.

    Raises:
        Faults: When that file cannot be read, or has invalid options.
    """
    return project.nix or options(project).nix


def places(file: Path, content: str) -> Iterator[Place]:
    """Yield line and column of each key path in a file, and the file, since one in Nix can name others."""
    notation = notation_of(file)
    if file.suffix == ".nix":
        from rolecall.inventory.notations import nix

        return nix.places(content, file)
    return ((*position, file) for position in notation.reader.positions(content)) if notation else iter(())


def parts(file: Path) -> list[Path]:
    """Return a file and those that it names; one in Nix can be split into many."""
    if file.suffix != ".nix":
        return [file]
    from rolecall.inventory.notations import nix

    return nix.parts(text(file), file)
