"""The values of Nix files: data, functions, and what only Nix knows."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from rolecall.inventory.notations import nix_syntax as syntax

if TYPE_CHECKING:
    from rolecall.errors import Fault
    from rolecall.inventory.data import Data

NOWHERE: Final = -1  # the offset of data that Nix itself has evaluated
WRAPPERS: Final = frozenset({"mkFlake", "clan", "buildClan"})  # functions of flakes whose last argument is a module
# Names of Nix's own functions, and of those of nixpkgs' lib: another flake's `lib` is another.
_OF_NIX: Final = re.compile(r"(builtins\.)?[\w']+|((.+\.)?(nixpkgs[\w-]*|pkgs)\.)?lib\.(\w+\.)?[\w']+")
# What nix_program.py defines of nixpkgs' lib where NIX_PATH has none, and nix_functions.py does not.
_KNOWN: Final = frozenset(
    {"flatten", "head", "length", "mapAttrs'", "optionalString", "range", "removeAttrs", "sort", "tail", "unique"}
)


@dataclass(slots=True)
class Cell:
    """A name of a set or of a `let`, or an item of a list, evaluated when its value is first needed."""

    offset: int
    expression: syntax.Expression | None = None
    scope: Scope | None = None
    value: Value = None
    busy: bool = False
    broken: Fault | None = None
    priority: int = 100  # that of what has none
    order: int = 1000  # of an item, likewise


@dataclass(slots=True)
class Table:
    """An attribute set."""

    cells: dict[str, Cell] = field(default_factory=dict)
    plain: Data | None = None
    busy: bool = False


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    cells: tuple[Cell, ...]


class PathText(str):
    """A path in the project, or an absolute one, as text."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Priority:
    """A function such as `mkForce`, with the arguments given so far."""

    name: str
    arguments: tuple[Cell, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """A function of nix_functions.py, with the arguments given so far."""

    name: str
    offset: int
    arguments: tuple[Cell, ...] = ()


@dataclass(frozen=True, slots=True)
class Lambda:
    """A function of the file."""

    tree: syntax.Function
    scope: Scope


@dataclass(frozen=True, slots=True)
class Outside:
    """A value that only Nix knows: a function's argument, an input of a flake, a function of Nix or its lib.

    Attributes:
        path: Its name, e.g. `inputs.nixpkgs.lib`.
        offset: Where it is named.
        argument: Whether it is an argument itself.
    """

    path: str
    offset: int
    argument: bool = False

    @property
    def name(self) -> str:
        """The last name of the path."""
        return self.path.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Module:
    """The result of `lib.clan` or `mkFlake`, given a module.

    Attributes:
        maker: The function.
        cell: The module.
    """

    maker: str
    cell: Cell


Value = str | bool | int | float | Items | Table | Priority | Known | Lambda | Outside | Module | None
Scope = ChainMap[str, Cell]
# By name: how many arguments a function takes, and the function.
Functions = Mapping[str, tuple[int, Callable[..., Value]]]


def called_name(tree: syntax.Expression | None) -> str:
    """Return the last name of what is called: `mkFlake` of `flake-parts.lib.mkFlake { … }`."""
    if not isinstance(tree, syntax.Apply):
        return ""
    function: syntax.Expression = tree
    while isinstance(function, syntax.Apply):
        function = function.function
    if isinstance(function, syntax.Select):
        return "".join(part for part in function.path[-1].parts if isinstance(part, str))
    return function.name if isinstance(function, syntax.Variable) else ""


def of_nix(function: Outside) -> bool:
    """Return whether a function is one of Nix itself or of nixpkgs' lib."""
    return not function.argument and bool(_OF_NIX.fullmatch(function.path))


def computed_by_nix(outside: Outside) -> bool:
    """Return whether Nix itself has a value for this: a function of its own, or one of `lib` that `_KNOWN` lists."""
    in_lib = "lib" in outside.path.split(".")[:-1]
    known = outside.name in _KNOWN if in_lib else not outside.name.startswith(("fetch", "lib", "pkgs"))
    return known and of_nix(outside)


def same(one: object, other: object) -> bool:
    """Return whether two values are equal in Nix, where `1` equals `1.0`, but not `true`."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def table_from(data: Data) -> Table:
    """Return plain data as a table."""
    return Table({name: Cell(NOWHERE, value=value_of(each)) for name, each in data.items()})


def value_of(data: Any) -> Value:  # noqa: ANN401 - any data
    """Return plain data as a value."""
    if isinstance(data, dict):
        return table_from(data)
    if isinstance(data, list):
        return Items(tuple(Cell(NOWHERE, value=value_of(each)) for each in data))
    value: Value = data
    return value
