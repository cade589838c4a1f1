"""Nix, read as data without Nix: the file is the inventory, `{ inventory = …; }`, `{ clan = …; }`, or such a flake.

Sets, strings, numbers, lists, paths (as texts), `let`, `inherit`, `rec`, and the priorities of nixpkgs' lib/modules.nix
are data; functions, operators and the like are not. As in Nix, only what is asked for is evaluated: a flake may hold
anything beside its inventory.
"""

from __future__ import annotations

from collections import ChainMap
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Final, NoReturn

from rolecall.errors import Faults
from rolecall.inventory.data import BYTES, DEPTH, Data, check, shown, syntax_fault
from rolecall.inventory.notations import nix_syntax as syntax
from rolecall.inventory.wrapping import unwrap
from rolecall.model.inventory import Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from rolecall.inventory.comments import Comment
    from rolecall.inventory.data import Keys
    from rolecall.inventory.locate import Position

# nixpkgs lib/modules.nix: a name, the fields of its result that are fixed, and those that its arguments fill.
_PRIORITIES: Final[Mapping[str, tuple[Mapping[str, str | int], tuple[str, ...]]]] = {
    "mkVMOverride": ({"_type": "override", "priority": 10}, ("content",)),
    "mkForce": ({"_type": "override", "priority": 50}, ("content",)),
    "mkImageMediaOverride": ({"_type": "override", "priority": 60}, ("content",)),
    "mkDefault": ({"_type": "override", "priority": 1000}, ("content",)),
    "mkOptionDefault": ({"_type": "override", "priority": 1500}, ("content",)),
    "mkOverride": ({"_type": "override"}, ("priority", "content")),
    "mkBefore": ({"_type": "order", "priority": 500}, ("content",)),
    "mkAfter": ({"_type": "order", "priority": 1500}, ("content",)),
    "mkOrder": ({"_type": "order"}, ("priority", "content")),
    "mkIf": ({"_type": "if"}, ("condition", "content")),
    "mkMerge": ({"_type": "merge"}, ("contents",)),
}
_CONSTANTS: Final[Mapping[str, bool | None]] = {"true": True, "false": False, "null": None}
_PLACES: Final = frozenset({"clan", "inventory", "instances", "tags", "machines"})  # where an inventory may stand
_WRAPPERS: Final = frozenset({"mkFlake", "clan", "buildClan"})  # functions whose last argument is the flake's module
_INSTEAD: Final = "write the value itself, or have Nix evaluate the file: `rolecall --nix …`"


@dataclass(slots=True)
class _Cell:
    """A name of a set or of a `let`, evaluated when first asked for."""

    offset: int
    expression: syntax.Expression | None = None
    scope: _Scope | None = None
    value: _Value = None
    busy: bool = False


@dataclass(slots=True)
class _Table:
    """An attribute set."""

    cells: dict[str, _Cell] = field(default_factory=dict)
    plain: Data | None = None
    busy: bool = False


@dataclass(frozen=True, slots=True)
class _Items:
    """A list; where each item stands."""

    values: list[_Value]
    offsets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Priority:
    """A function of `_PRIORITIES` with the arguments given so far."""

    name: str
    arguments: tuple[_Value, ...] = ()


@dataclass(frozen=True, slots=True)
class _Argument:
    """What a function of the file is given: known to Nix alone."""


_Value = str | float | _Items | _Table | _Priority | _Argument | None
_Scope = ChainMap[str, _Cell]


def read(text: str, file: Path) -> Source:
    """The inventory in a Nix file.

    Raises:
        Faults: With line and column: a syntax error, what is no data, a name set twice or never.
    """
    reader = _Reader(text)
    table, prefix = reader.inventory()
    data = reader.plain(table)
    if faults := check(data):
        raise Faults(faults)
    return Source(file, data, prefix, reader.inputs)


def positions(text: str) -> Iterator[Position]:
    """Where each key of the inventory and each item of its lists stands."""
    reader = _Reader(text)
    table, prefix = reader.inventory()
    todo: list[tuple[_Value, Keys]] = [(table, prefix)]
    while todo:
        value, keys = todo.pop()
        inside: Iterable[tuple[str | int, int, _Value]] = ()
        if isinstance(value, _Table):
            inside = [(name, cell.offset, reader.force(cell)) for name, cell in value.cells.items()]
        elif isinstance(value, _Items):
            inside = zip(count(), value.offsets, value.values)
        for key, offset, each in inside:
            yield (*keys, key), *syntax.place_in(reader.lines, offset)
            todo.append((each, (*keys, key)))


def comments(text: str) -> Iterator[Comment]:
    """Every comment."""
    text = _unix(text)
    for offset, comment in syntax.comments(text):
        yield *syntax.place(text, offset), comment[1:] if comment[0] == "#" else comment[2:-2].strip()


def computes(text: str) -> bool:
    """Whether the file is more than values under their keys."""
    todo: list[object] = [syntax.parse(_unix(text))]
    while todo:
        match todo.pop():
            case tuple(parts):
                todo += parts
            case syntax.Variable(name=name) if name in _CONSTANTS:
                pass
            case syntax.Constant() | str():
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


class _Reader:
    """One file under evaluation."""

    def __init__(self, text: str) -> None:
        self.text = _unix(text)
        self.lines = syntax.line_starts(self.text)
        self.depth = 0
        self.characters = 0  # in interpolated texts, which can double at every step
        self.inputs: dict[str, str] = {}
        self.tree = syntax.parse(self.text)

    def inventory(self) -> tuple[_Table, tuple[str, ...]]:
        """The inventory's table and the keys under which it stands."""
        top = self._module(self.tree, ChainMap())
        if "inputs" in top.cells:
            self.inputs = dict(self._inputs(top.cells["inputs"]))
        if "outputs" in top.cells:
            cell = top.cells["outputs"]
            top = self._module(cell.expression or self.tree, cell.scope or ChainMap())
        cells, prefix = unwrap(top.cells, self._enter_module)
        return (top if not prefix else _Table(dict(cells))), prefix

    def _enter(self, cell: _Cell) -> Mapping[str, _Cell]:
        value = self.force(cell)
        if not isinstance(value, _Table):
            self._fault("expected a table here", cell.offset, "write `{ … }`")
        return value.cells

    def _enter_module(self, cell: _Cell) -> Mapping[str, _Cell]:
        """As `_enter`; modules that are imported would have to be found and merged."""
        cells = self._enter(cell)
        if "imports" in cells and "inventory" not in cells:
            self._beyond("what a module imports", cells["imports"].offset)
        return cells

    def _inputs(self, cell: _Cell) -> Iterator[tuple[str, str]]:
        """A flake's `inputs.NAME.url`."""
        for name, each in self._enter(cell).items():
            value = self.force(each)
            if isinstance(value, _Table) and "url" in value.cells:
                value = self.force(value.cells["url"])
            if isinstance(value, str):
                yield name, value

    def _module(self, tree: syntax.Expression, scope: _Scope) -> _Table:
        """The table of a file or of a flake's outputs: below functions, `let`, and calls such as `mkFlake { } (…)`."""
        modules: list[_Cell] = []
        for _ in range(DEPTH):
            match tree:
                case syntax.Function(_, names, body):
                    scope = scope.new_child({name: _Cell(tree.offset, value=_Argument()) for name in names})
                    tree = body
                case syntax.Let(_, bindings, body):
                    scope, tree = self._let(bindings, scope), body
                    modules += (cell for cell in scope.maps[0].values() if _is_wrapper(cell.expression))
                case syntax.Apply(_, _, argument) if _is_wrapper(tree):
                    tree = argument
                case _:
                    break
        value = self._evaluate(tree, scope)
        if isinstance(value, _Table) and (len(modules) != 1 or value.cells.keys() & _PLACES):
            return value
        if isinstance(value, _Table):  # a flake that gives what comes of the module, but not the module
            return _Table({"clan": modules[0]})
        return self._fault("expected a table: the inventory, or `{ inventory = …; }`", tree.offset, "write `{ … }`")

    # Values

    def force(self, cell: _Cell) -> _Value:
        """The value of a name."""
        if cell.busy:
            self._fault("this value needs itself", cell.offset, "break the circle of names")
        if cell.expression is not None and cell.scope is not None:
            cell.busy = True
            cell.value = self._evaluate(cell.expression, cell.scope)
            cell.busy, cell.expression = False, None
        return cell.value

    def plain(self, table: _Table) -> Data:
        """A table and all that is in it as plain data, each shared part made once."""
        if table.plain is None:
            if table.busy:
                first = next(iter(table.cells.values()))
                self._fault("this table contains itself", first.offset, "break the circle of names")
            table.busy = True
            table.plain = {name: self._plain(self.force(cell), cell.offset) for name, cell in table.cells.items()}
            table.busy = False
        return table.plain

    def _plain(self, value: _Value, offset: int) -> Any:  # noqa: ANN401 - data is what it is
        self._deeper(offset)
        match value:
            case _Table():
                result: object = self.plain(value)
            case _Items(values, offsets):
                result = [self._plain(item, at) for item, at in zip(values, offsets, strict=True)]
            case _Priority(name):
                self._fault(f"`lib.{name}` lacks its value", offset, f"write `lib.{name} (value)`")
            case _:
                result = value
        self.depth -= 1
        return result

    def _evaluate(self, tree: syntax.Expression, scope: _Scope) -> _Value:  # noqa: C901 - a case per kind of tree
        self._deeper(tree.offset)
        result: _Value
        match tree:
            case syntax.Constant(_, value):
                result = value
            case syntax.Text():
                result = self._text(tree, scope)
            case syntax.Items(_, items):
                result = _Items([self._evaluate(item, scope) for item in items], tuple(item.offset for item in items))
            case syntax.Set():
                result = self._table(tree, scope)
            case syntax.Let(_, bindings, body):
                result = self._evaluate(body, self._let(bindings, scope))
            case syntax.Variable(offset, name):
                result = self._variable(name, offset, scope)
            case syntax.Select(offset, base, path):
                result = self._select(base, tuple(self._text(name, scope) for name in path), offset, scope)
            case syntax.Apply():
                result = self._apply(tree, scope)
            case syntax.Function(offset):
                self._beyond("a function", offset)
            case syntax.Beyond(offset, what):
                self._beyond(what, offset)
        self.depth -= 1
        return result

    def _text(self, tree: syntax.Text, scope: _Scope) -> str:
        if len(tree.parts) == 1 and isinstance(tree.parts[0], str):
            return tree.parts[0]
        parts = []
        for part in tree.parts:
            value = part if isinstance(part, str) else self._evaluate(part, scope)
            if not isinstance(value, str):
                self._fault("only a text can stand in `${…}`", tree.offset, "put the value in quotes where it is set")
            parts.append(value)
            self.characters += len(value)
            if self.characters > BYTES:
                self._fault("the texts in this file multiply each other without end", tree.offset)
        return "".join(parts)

    def _variable(self, name: str, offset: int, scope: _Scope) -> _Value:
        cell = scope.get(name)
        if cell is not None:
            if isinstance(cell.value, _Argument):
                self._beyond(f"`{shown(name, quote='')}`, an argument of a function,", offset)
            return self.force(cell)
        if name in _CONSTANTS:
            return _CONSTANTS[name]
        if name in _PRIORITIES:
            self._fault(f"`{name}` is not defined", offset, f"write `lib.{name}`")
        if name in {"builtins", "import", "lib", "pkgs"}:
            self._beyond(f"`{name}`", offset)
        return self._fault(
            f"`{shown(name, quote='')}` is not defined", offset, f'a text stands in quotes: "{shown(name, quote="")}"'
        )

    def _select(self, base: syntax.Expression, path: tuple[str, ...], offset: int, scope: _Scope) -> _Value:
        if isinstance(base, syntax.Variable) and _is_outside(base.name, scope):
            whole = (base.name, *path)
            if "lib" in whole[:-1] and path[-1] in _PRIORITIES:
                return _Priority(path[-1])
            self._beyond(f"`{shown('.'.join(whole), quote='')}`", offset)
        value = self._evaluate(base, scope)
        for name in path:
            if not isinstance(value, _Table) or name not in value.cells:
                self._fault(f"there is no {shown(name)} in this value", offset)
            value = self.force(value.cells[name])
        return value

    def _apply(self, tree: syntax.Apply, scope: _Scope) -> _Value:
        function = tree.function
        if not isinstance(function, syntax.Apply | syntax.Variable | syntax.Select):
            self._beyond("a function call", tree.offset)
        if (
            isinstance(function, syntax.Variable)
            and _is_outside(function.name, scope)
            and function.name not in _PRIORITIES
        ):
            self._beyond(f"a call of `{shown(function.name, quote='')}`", tree.offset)
        if _is_wrapper(tree) and isinstance(module := self._evaluate(tree.argument, scope), _Table):
            # What Clan makes of a module gives it back as `config`.
            return _Table({"config": _Cell(tree.offset, value=module), **module.cells})
        called = self._evaluate(function, scope)
        if not isinstance(called, _Priority):
            self._fault(
                "two values stand side by side", tree.argument.offset, "`;` ends an entry; lists stand in `[ ]`"
            )
        constants, names = _PRIORITIES[called.name]
        arguments = (*called.arguments, self._evaluate(tree.argument, scope))
        if len(arguments) < len(names):
            return _Priority(called.name, arguments)
        fields = {**constants, **dict(zip(names, arguments, strict=True))}
        return _Table({name: _Cell(tree.argument.offset, value=value) for name, value in fields.items()})

    # Tables

    def _let(self, bindings: syntax.Set, scope: _Scope) -> _Scope:
        table = self._table(bindings, scope)
        return scope.new_child(table.cells)

    def _table(self, tree: syntax.Set, scope: _Scope) -> _Table:
        table = _Table()
        self._fill(table, tree, scope)
        return table

    def _fill(self, table: _Table, tree: syntax.Set, scope: _Scope) -> None:
        inner = scope.new_child(table.cells) if tree.recursive else scope
        for binding in tree.bindings:
            if isinstance(binding, syntax.Inherit):
                for text in binding.names:
                    name = self._text(text, scope)
                    expression: syntax.Expression = (
                        syntax.Select(text.offset, binding.source, (text,))
                        if binding.source
                        else syntax.Variable(text.offset, name)
                    )
                    self._set(table, [(name, text.offset)], expression, inner if binding.source else scope)
            else:
                path = [(self._text(name, scope), name.offset) for name in binding.path]
                self._set(table, path, binding.value, inner)

    def _set(self, table: _Table, path: list[tuple[str, int]], expression: syntax.Expression, scope: _Scope) -> None:
        """Enters one binding; sets written in several places become one, as in Nix."""
        *parents, (last, offset) = path
        for name, place in parents:
            cell = table.cells.setdefault(name, _Cell(place, value=_Table()))
            table = self._opened(cell, name, place)
        if last not in table.cells:
            table.cells[last] = _Cell(offset, expression, scope)
            return
        if not isinstance(expression, syntax.Set):
            self._twice(last, table.cells[last], offset)
        self._deeper(offset)
        self._fill(self._opened(table.cells[last], last, offset), expression, scope)
        self.depth -= 1

    def _opened(self, cell: _Cell, name: str, offset: int) -> _Table:
        if isinstance(cell.expression, syntax.Set) and cell.scope is not None:
            cell.value, cell.expression = self._table(cell.expression, cell.scope), None
        if cell.expression is not None or not isinstance(cell.value, _Table):
            self._twice(name, cell, offset)
        return cell.value

    # Faults

    def _twice(self, name: str, cell: _Cell, offset: int) -> NoReturn:
        line, _ = syntax.place(self.text, cell.offset)
        self._fault(f"{shown(name)} is set twice", offset, f"it is set on line {line} already; remove one of the two")

    def _deeper(self, offset: int) -> None:
        self.depth += 1
        if self.depth > DEPTH:
            self._fault(f"nested deeper than {DEPTH} levels", offset, "an inventory needs a few levels only")

    def _beyond(self, what: str, offset: int) -> NoReturn:
        self._fault(f"{what} is not data", offset, f"the inventory is read without Nix: {_INSTEAD}")

    def _fault(self, message: str, offset: int, hint: str = "") -> NoReturn:
        raise syntax_fault(message, *syntax.place(self.text, offset), hint=hint)


def _unix(text: str) -> str:
    """The text with lines as Nix sees them."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _is_outside(name: str, scope: Mapping[str, _Cell]) -> bool:
    """Whether a name stands for something that this file does not define."""
    cell = scope.get(name)
    if cell is None:
        return name not in _CONSTANTS
    return isinstance(cell.value, _Argument)


def _is_wrapper(tree: syntax.Expression | None) -> bool:
    return isinstance(tree, syntax.Apply) and _called(tree.function) in _WRAPPERS


def _called(function: syntax.Expression) -> str:
    """The last name of what is called: `mkFlake` of `flake-parts.lib.mkFlake { … }`."""
    while isinstance(function, syntax.Apply):
        function = function.function
    if isinstance(function, syntax.Select):
        return "".join(part for part in function.path[-1].parts if isinstance(part, str))
    return function.name if isinstance(function, syntax.Variable) else ""
