"""Evaluate Nix without Nix, as far as that is possible; each value when it is first needed."""

from __future__ import annotations

import posixpath
from collections import ChainMap
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NoReturn

from rolecall.errors import Fault, Faults, Where, nearest
from rolecall.inventory import content
from rolecall.inventory.data import BYTES, DEPTH, VALUES, Data, code, shown
from rolecall.inventory.notations import nix_parser
from rolecall.inventory.notations import nix_syntax as syntax
from rolecall.inventory.notations.nix_files import Files, RecordedError
from rolecall.inventory.notations.nix_values import (
    WRAPPERS,
    Cell,
    Items,
    Known,
    Lambda,
    Module,
    Outside,
    PathText,
    Priority,
    Table,
    called_name,
    computed_by_nix,
    of_nix,
    same,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from rolecall.inventory.notations.nix_values import Functions, Scope, Value

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
CONSTANTS: Final[Mapping[str, bool | None]] = {"true": True, "false": False, "null": None}
_READERS: Final = frozenset({"import", "pathExists", "readDir", "readFile", "fileContents"})  # of files in the project
_GLOBAL: Final = frozenset(  # what Nix defines everywhere
    [
        "builtins",
        "import",
        "map",
        "toString",
        "removeAttrs",
        "throw",
        "abort",
        "baseNameOf",
        "dirOf",
        "isNull",
        "scopedImport",
        "fetchTarball",
        "fetchGit",
        "fetchTree",
        "fetchMercurial",
        "derivation",
        "placeholder",
        "fromTOML",
    ]
)
_WITH: Final = "with"  # no name can be this word
_CALLS: Final = 10_000  # of functions in files of their own, which can double at every step


class Evaluator:
    """A Nix file under evaluation, with the files of the project that it names.

    Args:
        text: The file's content.
        file: The file; the project is its folder.
        builtins: The functions of Nix that are known.
        lib: Those of nixpkgs' lib.

    Attributes:
        files: The files that were read, and their faults.
        main: The file's value.
    """

    def __init__(self, text: str, file: Path, builtins: Functions, lib: Functions) -> None:
        self._builtins, self._lib = builtins, lib
        self.files = Files(file.parent)
        self._imported: dict[Path, Cell] = {}
        self._calls = 0
        self._depth = 0
        self._values = 0  # in lists and tables that are put together, which can double at every step
        self._characters = 0  # in texts that are
        self.main = self._parsed(file, text)

    # Files

    def _parsed(self, file: Path, text: str) -> Cell:
        start, text = self.files.add(file, text)
        self._imported[file] = Cell(start, nix_parser.parse(text, start), ChainMap())
        return self._imported[file]

    def parse(self, path: PathText, offset: int) -> Cell:
        """Return the value of a Nix file of the project, not evaluated yet."""
        file = self.files.find(path, offset)
        if file not in self._imported:
            try:
                self._parsed(file, content.text(file))
            except Faults as error:
                where = replace(error.faults[0].where or Where(), file=file)
                self._imported[file] = Cell(offset, broken=error.faults[0].at(where))
                self.files.fault_in(file, error)
        return self._imported[file]

    def load(self, path: PathText, offset: int) -> Value:
        """Return the value of a Nix file of the project."""
        cell = self.parse(path, offset)
        if cell.busy:
            self.fault(f"the file {shown(path)} imports itself", offset, "remove the circular import")
        return self.force(cell)

    # Values

    def force(self, cell: Cell) -> Value:
        """Return the value of a cell.

        Raises:
            RecordedError: When it has none.
        """
        if cell.broken:
            if cell.broken not in self.files.faults:  # it was only a warning where the value was not needed
                self.files.faults.append(cell.broken)
            raise RecordedError(cell.broken)
        if cell.busy:
            self.fault("this value refers to itself", cell.offset, "remove the circular reference")
        if cell.expression is not None and cell.scope is not None:
            cell.busy, depth = True, self._depth
            try:
                cell.value = self._evaluate(cell.expression, cell.scope)
            except RecordedError as error:
                cell.broken, self._depth = error.fault, depth
                raise
            finally:
                cell.busy = False
            cell.expression = None
        return cell.value

    def plain(self, table: Table) -> Data:
        """Return a table as plain data, without faulty values; each shared part is converted once."""
        if table.plain is None:
            if table.busy:
                first = next(iter(table.cells.values()))
                self.fault("this table contains itself", first.offset, "remove the circular reference")
            table.busy = True
            data = {}
            for name, cell in table.cells.items():
                depth = self._depth
                try:
                    data[name] = self._plain(self.force(cell), cell.offset)
                except RecordedError:
                    self._depth = depth
            table.busy, table.plain = False, data
        return table.plain

    def _plain(self, value: Value, offset: int) -> Any:  # noqa: ANN401 - data is what it is
        self.deeper(offset)
        result: object = value
        match value:
            case Table():
                result = self.plain(value)
            case Items(cells):
                result = [self._plain(self.force(cell), cell.offset) for cell in cells]
            case PathText():
                result = str(value)
            case Priority(name):
                self.fault(f"`lib.{name}` has no value", offset, f"add its value: `lib.{name} (value)`")
            case Lambda(tree):
                self.beyond("a function", tree.offset)
            case Known(_, at):
                self.beyond("a function", at)
            case Outside():
                self.beyond_outside(value)
            case Module(maker):
                self.beyond(f"the result of `{maker}`", offset)
        self._depth -= 1
        return result

    def _evaluate(self, tree: syntax.Expression, scope: Scope) -> Value:  # noqa: C901, PLR0912 - a case per kind of tree
        self.deeper(tree.offset)
        result: Value
        match tree:
            case syntax.Constant(_, value):
                result = value
            case syntax.Path(offset, text):
                result = self._path(text, offset)
            case syntax.Text():
                result = self._text_of(tree, scope)
            case syntax.Items(_, items):
                result = Items(tuple(Cell(item.offset, item, scope) for item in items))
            case syntax.Set():
                result = self._table(tree, scope)
            case syntax.Let(_, bindings, body):
                result = self._evaluate(body, self._let(bindings, scope))
            case syntax.With(offset, among, body):
                result = self._evaluate(body, scope.new_child({_WITH: Cell(offset, among, scope)}))
            case syntax.Variable(offset, name):
                result = self._variable(name, offset, scope)
            case syntax.Select(offset, base, path, default):
                names = [self._text_of(name, scope) for name in path]
                result = self._selected(
                    self._evaluate(base, scope), names, offset, Cell(0, default, scope) if default else None
                )
            case syntax.If(offset, condition, yes, no):
                result = self._evaluate(yes if self.is_true(Cell(offset, condition, scope)) else no, scope)
            case syntax.Assert(offset, condition, body):
                if not self.is_true(Cell(offset, condition, scope)):
                    self.fault("this assertion failed", offset)
                result = self._evaluate(body, scope)
            case syntax.Not(offset, operand):
                result = not self.is_true(Cell(offset, operand, scope))
            case syntax.Apply():
                result = self._apply(tree, scope)
            case syntax.Function():
                result = Lambda(tree, scope)
            case syntax.Join():
                result = self._join(tree, scope)
            case syntax.Beyond(offset, what):
                self.beyond(what, offset, nix="the path" not in what)
        self._depth -= 1
        return result

    def _path(self, text: str, offset: int) -> PathText:
        """Return a path as text: normalized as in Nix, and relative to the project unless it is absolute."""
        if text[0] in "<~":
            self.beyond(f"the path {shown(text)}, which differs between computers,", offset)
        folder = self.files.where(offset).file.parent.relative_to(self.files.root).as_posix()  # type: ignore[union-attr]
        return self._normalized(posixpath.join(folder, text), text, offset)

    def _normalized(self, path: str, text: str, offset: int) -> PathText:
        path = posixpath.normpath(path)
        if path.split("/")[0] == "..":
            self.beyond(f"the path {shown(text)}, which leads out of the project,", offset)
        return PathText(path if path[0] == "/" else "." if path == "." else f"./{path}")

    def _text_of(self, tree: syntax.Text, scope: Scope) -> str:
        if len(tree.parts) == 1 and isinstance(tree.parts[0], str):
            return tree.parts[0]
        values = [part if isinstance(part, str) else self._evaluate(part, scope) for part in tree.parts]
        return self._concatenated(values, tree.offset)

    def _concatenated(self, values: list[Value], offset: int) -> str:
        """Join texts. With a path first the result is a path; `"${self}/x"` is the project's `./x`."""
        parts: list[str] = []
        is_path = False
        for value in values:
            if isinstance(value, Outside) and value.name in {"self", "outPath"} and not parts:
                value = PathText(".")  # noqa: PLW2901 - the folder of the flake
            if isinstance(value, Outside):
                self.beyond_outside(value)
            if not isinstance(value, str):
                self.fault("the value in `${…}` must be a string", offset, "put the value in quotes where it is set")
            is_path |= isinstance(value, PathText) and not parts
            parts.append(self.counted(value, offset))
        text = "".join(parts)
        return self._normalized(text, text, offset) if is_path else text

    def counted(self, text: str, offset: int) -> str:
        """Return a joined text, unless all of these are too long together."""
        self._characters += len(text)
        if self._characters > BYTES:
            raise Faults(
                [Fault("the strings in this file multiply each other without limit", self.files.where(offset))]
            )
        return text

    def _variable(self, name: str, offset: int, scope: Scope) -> Value:
        if cell := scope.get(name):
            value = self.force(cell)
            return Outside(value.path, offset, value.argument) if isinstance(value, Outside) else value
        if name in CONSTANTS:
            return CONSTANTS[name]
        if name in _GLOBAL:
            return self._known(Outside(name, offset))
        for names in scope.maps:
            if _WITH in names:
                among = self.force(names[_WITH])
                if isinstance(among, Outside) or (isinstance(among, Table) and name in among.cells):
                    return self._selected(among, [name], offset)
        if name in _PRIORITIES:
            self.fault(f"{name!r} is not defined", offset, f"write `lib.{name}`")
        if name in {"lib", "pkgs"}:
            return Outside(name, offset)
        return self.fault(f"{shown(name)} is not defined", offset, f'put text in quotes: "{shown(name, quote="")}"')

    def is_true(self, condition: Cell) -> bool:
        """Return whether a condition holds."""
        value = self.known(condition)
        if not isinstance(value, bool):
            self.fault("a condition must be `true` or `false`", condition.offset)
        return value

    def known(self, cell: Cell) -> Value:
        """Return the value of a cell.

        Raises:
            RecordedError: When only Nix knows it.
        """
        value = self.force(cell)
        if isinstance(value, Outside):
            self.beyond_outside(value)
        return value

    def _selected(self, value: Value, path: Iterable[str], offset: int, default: Cell | None = None) -> Value:
        for name in path:
            match value:
                case Outside(above):
                    whole = f"{above}.{name}"
                    inside_lib = "lib" in above.split(".") and name in _PRIORITIES
                    value = Priority(name) if inside_lib else self._known(Outside(whole, offset))
                case Module() if name == "config":
                    pass
                case Module(maker):
                    value = Outside(f"{maker}.{name}", offset)
                case Table(cells) if name in cells:
                    value = self.force(cells[name])
                case _ if default:
                    return self.force(default)
                case _:
                    self.fault(f"this value has no {shown(name)}", offset)
        return value

    def _apply(self, tree: syntax.Apply, scope: Scope) -> Value:
        argument = Cell(tree.argument.offset, tree.argument, scope)
        called = self._called(tree, scope)
        maker = called.name if isinstance(called, Outside) else called.maker if isinstance(called, Module) else ""
        if maker in WRAPPERS:  # whose it is does not matter
            return Module(maker, argument)
        match called:
            case Lambda():
                return self.call(called, argument)
            case Outside():
                return self._apply_outside(called, argument)
            case Known():
                return self._apply_known(called, argument)
            case Priority():
                return self._apply_priority(called, argument)
        hint = "end the entry with `;`, or write a list in `[ ]`"
        return self.fault("two values next to each other", tree.argument.offset, hint)

    def _called(self, tree: syntax.Apply, scope: Scope) -> Value:
        """Return a function; a wrapper may come from an input, which cannot be read."""
        before, depth = len(self.files.faults), self._depth
        try:
            return self._evaluate(tree.function, scope)
        except RecordedError:
            if (name := called_name(tree)) not in WRAPPERS:
                raise
            del self.files.faults[before:]
            self._depth = depth
            return Outside(name, tree.offset)

    def _apply_priority(self, called: Priority, argument: Cell) -> Value:
        constants, names = _PRIORITIES[called.name]
        arguments = (*called.arguments, argument)
        if len(arguments) < len(names):
            return Priority(called.name, arguments)
        fixed = {key: Cell(argument.offset, value=value) for key, value in constants.items()}
        return Table(fixed | dict(zip(names, arguments, strict=True)))

    def _known(self, function: Outside) -> Value:
        """Return a function of Nix or its lib as `Known`, if it is."""
        known = self._lib if "lib" in function.path.split(".")[:-1] else self._builtins
        return Known(function.name, function.offset) if function.name in known and of_nix(function) else function

    def _apply_known(self, called: Known, argument: Cell) -> Value:
        arguments = (*called.arguments, argument)
        number, function = self._lib[called.name]
        if len(arguments) < number:
            return Known(called.name, called.offset, arguments)
        return self._computed(function(self, *arguments), argument.offset)

    def _computed(self, value: Value, offset: int) -> Value:
        """Return a computed list or table, unless all of these are too large together."""
        if isinstance(value, Items | Table):
            self._values += len(value.cells)
        if self._values > VALUES:
            hint = "check for references that multiply each other"
            raise Faults([Fault(f"more than {VALUES:,} values", self.files.where(offset), hint)])
        return value

    def _apply_outside(self, called: Outside, argument: Cell) -> Value:
        if called.name != "import-tree" and not (called.name in _READERS and of_nix(called)):
            what = code(called.path)
            self.beyond(
                f"a call of {what}" if "." not in called.path else what, called.offset, nix=computed_by_nix(called)
            )
        path, offset = self.known(argument), argument.offset
        if not isinstance(path, PathText):
            self.beyond(f"{code(called.path)} of anything but a path", offset, nix=True)
        match called.name:
            case "import":
                return self.load(path, offset)
            case "import-tree":
                return Table({"imports": Cell(offset, value=self._tree(path, offset))})
            case "pathExists":
                return self.files.exists(path)
            case "readDir":
                kinds = self.files.folder(path, offset)
                return Table({name: Cell(offset, value=kind) for name, kind in kinds.items()})
        text = self.files.text(path, offset)
        return text.removesuffix("\n") if called.name == "fileContents" else text

    def _tree(self, path: PathText, offset: int) -> Items:
        """Return the Nix files in a folder, at any depth, without names in `_`, as `import-tree` does."""
        files: list[Cell] = []
        for name, kind in self.files.folder(path, offset).items():
            inside = PathText(f"{path}/{name}")
            if name.startswith("_"):
                continue
            if kind == "directory":
                files += self._tree(inside, offset).cells
            elif name.endswith(".nix"):
                files.append(Cell(offset, value=inside))
        return Items(tuple(files))

    def call(self, function: Lambda, argument: Cell | None = None) -> Value:
        """Return the result of a function; without an argument, only Nix knows what the argument holds."""
        self._calls += 1
        if self._calls > _CALLS:
            raise Faults(
                [Fault(f"more than {_CALLS:,} function calls", self.files.where(0), "write the values themselves")]
            )
        return self._evaluate(function.tree.body, self.bound(function, argument))

    def bound(self, function: Lambda, argument: Cell | None = None) -> Scope:
        """Return the scope of a function's body."""
        tree = function.tree
        offset = tree.offset
        names = {name: Cell(offset, value=Outside(name, offset, argument=True)) for name in (*tree.names, tree.whole)}
        if argument is not None:
            names[tree.whole] = argument
            given = self.force(argument) if tree.names or tree.exact or not tree.whole else Table()
            if given is None or isinstance(given, str | int | float | Items):
                self.fault("this function needs a table", argument.offset, "write `{ … }`")
            if isinstance(given, Table):
                for name in sorted(given.cells.keys() - tree.names) if tree.exact else ():
                    hint = nearest(name, tree.names, what="arguments")
                    self.fault(f"the function takes no argument {shown(name)}", given.cells[name].offset, hint)
                names |= {name: given.cells[name] for name in tree.names if name in given.cells}
                missing = {name: each for name, each in tree.defaults if name not in given.cells}
                for name in (each for each in tree.names if each not in given.cells and each not in missing):
                    hint = nearest(name, given.cells.keys() - tree.names, what="arguments")
                    what = f"the function is called without its argument {shown(name)}"
                    self.fault(what, argument.offset, hint or "add it, or give it a default: `NAME ? VALUE`")
                scope = function.scope.new_child(names)
                names |= {name: Cell(each.offset, each, scope) for name, each in missing.items()}
        return function.scope.new_child(names)

    def _join(self, tree: syntax.Join, scope: Scope) -> Value:
        cells = [Cell(operand.offset, operand, scope) for operand in tree.operands]
        match tree.operator:
            case "&&":
                return all(self.is_true(cell) for cell in cells)
            case "||":
                return any(self.is_true(cell) for cell in cells)
            case "==" | "!=":
                return self.same(*cells) == (tree.operator == "==")
            case "+":
                values = [self.force(cell) for cell in cells]
                if not all(isinstance(each, str | Outside) for each in values):
                    self.beyond("the operator `+`", tree.offset, nix=True)
                return self._concatenated(values, tree.offset)
            case "++":
                return self._computed(Items(tuple(item for cell in cells for item in self.items(cell))), tree.offset)
        return self._computed(
            Table({name: each for cell in cells for name, each in self.cells(cell).items()}), tree.offset
        )

    def same(self, one: Cell, other: Cell) -> bool:
        """Return whether two values are equal in Nix."""
        return same(*(self._plain(self.known(cell), cell.offset) for cell in (one, other)))

    def items(self, cell: Cell) -> tuple[Cell, ...]:
        """Return the items of a list."""
        value = self.known(cell)
        if not isinstance(value, Items):
            self.fault("expected a list here", cell.offset, "write `[ … ]`")
        return value.cells

    def cells(self, cell: Cell) -> dict[str, Cell]:
        """Return the cells of a table."""
        value = self.known(cell)
        if not isinstance(value, Table):
            self.fault("expected a table here", cell.offset, "write `{ … }`")
        return value.cells

    # Tables

    def _let(self, bindings: syntax.Set, scope: Scope) -> Scope:
        table = self._table(bindings, scope)
        return scope.new_child(table.cells)

    def let(self, tree: syntax.Let, scope: Scope) -> Scope:
        """Return the scope of a `let`'s body."""
        return self._let(tree.bindings, scope)

    def _table(self, tree: syntax.Set, scope: Scope) -> Table:
        table = Table()
        self._fill(table, tree, scope)
        return table

    def _fill(self, table: Table, tree: syntax.Set, scope: Scope) -> None:
        inner = scope.new_child(table.cells) if tree.recursive else scope
        for binding in tree.bindings:
            try:
                if isinstance(binding, syntax.Inherit):
                    self._inherit(table, binding, scope, inner)
                else:
                    path = [(self._text_of(name, scope), name.offset) for name in binding.path]
                    self._set(table, path, binding.value, inner)
            except RecordedError:
                continue

    def _inherit(self, table: Table, binding: syntax.Inherit, scope: Scope, inner: Scope) -> None:
        for text in binding.names:
            name = self._text_of(text, scope)
            if binding.source:
                expression: syntax.Expression = syntax.Select(text.offset, binding.source, (text,))
                self._set(table, [(name, text.offset)], expression, inner)
            else:
                self._set(table, [(name, text.offset)], syntax.Variable(text.offset, name), scope)

    def _set(self, table: Table, path: list[tuple[str, int]], expression: syntax.Expression, scope: Scope) -> None:
        """Enter one binding; sets written in several places become one, as in Nix."""
        *parents, (last, offset) = path
        for name, place in parents:
            cell = table.cells.setdefault(name, Cell(place, value=Table()))
            table = self._opened(cell, name, place)
        if last not in table.cells:
            table.cells[last] = Cell(offset, expression, scope)
            return
        if not isinstance(expression, syntax.Set):
            self._twice(last, table.cells[last], offset)
        self.deeper(offset)
        self._fill(self._opened(table.cells[last], last, offset), expression, scope)
        self._depth -= 1

    def _opened(self, cell: Cell, name: str, offset: int) -> Table:
        if isinstance(cell.expression, syntax.Set) and cell.scope is not None:
            cell.value, cell.expression = self._table(cell.expression, cell.scope), None
        if cell.expression is not None or not isinstance(cell.value, Table):
            self._twice(name, cell, offset)
        return cell.value

    # Faults

    def _twice(self, name: str, cell: Cell, offset: int) -> NoReturn:
        line = self.files.where(cell.offset).line
        self.fault(f"{shown(name)} is set twice", offset, f"remove one of the two; the other is on line {line}")

    def deeper(self, offset: int) -> None:
        """Count a level of nesting.

        Raises:
            Faults: When there are too many.
        """
        self._depth += 1
        if self._depth > DEPTH:
            hint = "flatten it: an inventory needs only a few levels"
            raise Faults([Fault(f"nested deeper than {DEPTH} levels", self.files.where(offset), hint)])

    def higher(self) -> None:
        """Leave a level of nesting."""
        self._depth -= 1

    def beyond_outside(self, value: Outside) -> NoReturn:
        """Record the fault that only Nix knows a value."""
        whole = ", an argument of a function," if value.argument else ""
        self.beyond(f"{code(value.path)}{whole}", value.offset, nix=computed_by_nix(value))

    def beyond(self, what: str, offset: int, *, nix: bool = False) -> NoReturn:
        """Record the fault that something is not data.

        Args:
            what: What it is.
            offset: Where it stands.
            nix: Whether Nix itself can compute it.
        """
        instead = "let Nix evaluate the file: `rolecall --nix …`"
        self.fault(f"{what} is not plain data", offset, f"write the value itself{f', or {instead}' if nix else ''}")

    def fault(self, message: str, offset: int, hint: str = "") -> NoReturn:
        """Record a fault; see `Files.fault`."""
        self.files.fault(message, offset, hint)
