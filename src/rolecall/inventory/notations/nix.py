"""Nix, read as data without Nix: an inventory, or a Clan that holds one, in one file or in several of the project.

Sets, strings, numbers, lists, paths (as texts), `let`, `inherit`, `rec`, `with`, `++`, `//`, the priorities of
nixpkgs' lib/modules.nix, and files of the project (`import ./x.nix`, `builtins.readFile ./x`) are data; functions and
other operators are not. As in Nix, only values that are used are evaluated: a flake may hold anything beside its
inventory. How the file leads to an inventory is in `nix_modules.py`.
"""

from __future__ import annotations

import contextlib
import re
from itertools import count
from typing import TYPE_CHECKING, Final

from rolecall.errors import Faults
from rolecall.inventory.notations import nix_modules, nix_parser, nix_tokens
from rolecall.inventory.notations import nix_syntax as syntax
from rolecall.inventory.notations.nix_evaluation import CONSTANTS
from rolecall.inventory.notations.nix_files import RecordedError, unix
from rolecall.inventory.notations.nix_values import Cell, Items, Table, Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from rolecall.inventory.data import Keys
    from rolecall.inventory.notation import Comment, Place
    from rolecall.model.source import Source

_NAMES_FILES: Final = re.compile("import|read(File|Dir)|pathExists|fileContents")


def read(text: str, file: Path) -> Source:
    """Return the inventory in a Nix file and in those of the project that it names.

    Raises:
        Faults: All of them, each with file, line and column.
    """
    return nix_modules.source(nix_modules.evaluator(text, file))


def parts(text: str, file: Path) -> list[Path]:
    """Return a file and those of the project that it names, as far as it can be read."""
    if not _NAMES_FILES.search(text):
        return [file]
    nix = None
    with contextlib.suppress(Faults, RecordedError):
        nix = nix_modules.evaluator(text, file)
        nix.plain(nix_modules.Modules(nix).inventory()[0])
    return nix.files.read if nix else [file]


def places(text: str, file: Path) -> Iterator[Place]:
    """Yield where each key of the inventory and each item of its lists stands, and in which file."""
    nix = nix_modules.evaluator(text, file)
    try:
        table, prefix = nix_modules.Modules(nix).inventory()
    except RecordedError:
        return
    todo: list[tuple[Value, Keys]] = [(table, prefix)]
    while todo:
        value, keys = todo.pop()
        inside: Iterable[tuple[str | int, Cell]] = ()
        if isinstance(value, Table):
            inside = value.cells.items()
        elif isinstance(value, Items):
            inside = zip(count(), value.cells)
        for key, cell in inside:
            where = nix.files.where(cell.offset)
            yield (*keys, key), where.line, where.column, where.file or file
            try:
                todo.append((nix.force(cell), (*keys, key)))
            except RecordedError:
                continue


def comments(text: str) -> Iterator[Comment]:
    """Yield every comment."""
    text = unix(text)
    for offset, comment in nix_parser.comments(text):
        yield *nix_tokens.place(text, offset), comment[1:] if comment[0] == "#" else comment[2:-2].strip()


def computes(text: str) -> bool:
    """Return whether the file is more than values under their keys."""
    todo: list[object] = [nix_parser.parse(unix(text))]
    while todo:
        match todo.pop():
            case tuple(parts):
                todo += parts
            case syntax.Variable(name=name) if name in CONSTANTS:
                pass
            case syntax.Constant() | syntax.Path() | str():
                pass
            case syntax.Text(parts=parts) if any(not isinstance(part, str) for part in parts):
                return True
            case syntax.Text():
                pass
            case syntax.Set(bindings=bindings, recursive=False):
                todo += bindings
            case syntax.Binding(path, value):
                todo += (path, value)
            case syntax.Items(items=items):
                todo += items
            case _:
                return True
    return False
