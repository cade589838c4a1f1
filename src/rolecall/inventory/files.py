"""The inventory's files: which there are, and reading one."""

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
    from rolecall.model.inventory import Source
    from rolecall.project import Project

# What only the flake of a Clan says.
_CLAN: Final = re.compile(r"clan-core|clan\.lol|lib\.clan\b|buildClan|clan\.nix|\bclan\s*=")
_COMMENT: Final = re.compile(r"(?<!\S)#[^\n]*|/\*.*?\*/", re.DOTALL)


def find(project: Project) -> list[Path]:
    """The project's inventory files, from general to specific: the tools' layer, then the person's.

    The person's file is `inventory.*`, else a flake, else `clan.nix`. An `inventory.nix` that a flake reads is a part
    of the flake. Beside the tools' layer, a flake that is no Clan's does not count: many projects have one for other
    purposes.

    Raises:
        Faults: When there is none, or the person has two.
    """
    present = {file.name: file for file in project.inventory_files()}
    layer, flake, clan = (present.pop(name, None) for name in (TOOL_FILE, "flake.nix", "clan.nix"))
    own = [*present.values()]
    counts = flake and (is_clan(flake) or "inventory" in _code(flake))
    if flake and counts and (not own or all(file.suffix == ".nix" and file in parts(flake) for file in own)):
        own = [flake]
    elif not own:
        own = [each for each in (clan, None if layer else flake) if each][:1]
    if len(own) > 1:
        names = " and ".join(file.name for file in own)
        raise Faults([Fault(f"two inventory files: {names}", Where(own[-1]), "keep one of them")])
    if not layer and not own:
        hint = "create one: `rolecall init`"
        raise Faults([Fault(f"no inventory in {project.root}", None, hint)])
    return [*([layer] if layer else []), *own]


def is_clan(file: Path) -> bool:
    """Whether a file is a Clan's."""
    return file.is_file() and (file.name == "clan.nix" or bool(_CLAN.search(_code(file))))


def _code(file: Path) -> str:
    """Return a Nix file's text without its comments; a URL may hold a `#`."""
    return _COMMENT.sub("", text(file))


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
    """Whether Nix itself is to evaluate files in Nix: by the command, or ``tool.rolecall.nix`` of pyproject.toml.

    Raises:
        Faults: When that file cannot be read, or holds something else there than true or false.
    """
    return project.nix or options(project).nix


def places(file: Path, content: str) -> Iterator[Place]:
    """Where a file says what: line and column of each key path, and the file, for one in Nix can name others."""
    found = notation_of(file)
    if file.suffix == ".nix":
        from rolecall.inventory.notations import nix  # noqa: PLC0415 - where there is one

        return nix.places(content, file)
    return ((*position, file) for position in found.reader.positions(content)) if found else iter(())


def parts(file: Path) -> list[Path]:
    """A file and those that it names; one in Nix can be spread over many."""
    if file.suffix != ".nix":
        return [file]
    from rolecall.inventory.notations import nix  # noqa: PLC0415 - where there is one

    return nix.parts(text(file), file)
