"""From the modules of a Clan, in one file or in many, to one inventory.

A Clan's module has `inventory`, `meta`, `machines` (of which the names count) and `imports`. It is the file's value,
the argument of `lib.clan`, or stands under `clan` or `flake.clan` of a flake or of a module of flake-parts. As in the
module system of nixpkgs, tables merge and lists are joined, the best priority wins, and two values that differ are a
fault.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal

from rolecall.errors import Fault, Faults, Where, dotted
from rolecall.inventory import content
from rolecall.inventory.data import VALUES, check, code, shown
from rolecall.inventory.notations import nix_syntax as syntax
from rolecall.inventory.notations.nix_functions import BUILTINS, LIB
from rolecall.inventory.notations.nix_values import (
    WRAPPERS,
    Cell,
    Items,
    Lambda,
    Module,
    Outside,
    PathText,
    Reader,
    Table,
    ToldError,
    Value,
    called_name,
)
from rolecall.model.inventory import Clan, Source
from rolecall.project import TOOL_FILE, Project

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from rolecall.inventory.data import Data, Keys

_OWN: Final = frozenset({"machines", "instances", "tags", "meta"})  # where priorities outside of settings are resolved
_LONG: Final = frozenset({"config", "imports", "options"})  # the keys of a module in its long form
_INSIDE: Final = "put it around the values inside the module"
_NAMES: Final = ("machines of the Clan",)  # a key path for these, beside those of the inventory
_NOWHERE: Final = -1  # the offset of what Nix has evaluated
_PLAIN: Final = 100  # the priority of what has none
_IN_PLACE: Final = 1000  # the order of an item that has none
_OF_CLAN: Final = frozenset({"inventory", "meta", "machines", "imports"})
_Level = Literal["flake", "clan", "inventory"]  # what a module is one of


def reader(text: str, file: Path) -> Reader:
    """A file under evaluation, with the functions that are known."""
    return Reader(text, file, BUILTINS, LIB)


def source(values: Reader) -> Source:
    """The inventory that a file says, with the files that it names.

    Raises:
        Faults: All that is wrong with it.
    """
    clan = Modules(values)
    try:
        table, prefix = clan.inventory()
        data = values.plain(table)
    except ToldError:
        raise Faults(values.faults) from None
    if faults := [*values.faults, *check(data)]:
        raise Faults(faults)
    return Source(
        values.files[0],
        data,
        prefix,
        clan.inputs,
        files=tuple(values.files),
        notes=tuple(clan.notes()),
        clan=clan.told if clan.is_clan else None,
    )


def joined(parts: list[Data], machines: list[Data], file: Path) -> Data:
    """What several modules say of the inventory together, as Nix has evaluated them.

    Args:
        parts: What each says of the inventory.
        machines: Names of machines that each configures beside it.
        file: The file that leads to them.

    Raises:
        Faults: What contradicts itself, or is no data.
    """
    values = reader("{ }", file)
    modules = Modules(values, [_as_table(part) for part in parts])
    for each in machines:
        modules.read_machines(Cell(_NOWHERE, value=_as_value(each)))
    data = values.plain(modules.whole())
    if faults := [fault.at(Where(file)) for fault in values.faults] or check(data):
        raise Faults(faults)
    return data


def _as_table(data: Data) -> Table:
    return Table({name: Cell(_NOWHERE, value=_as_value(each)) for name, each in data.items()})


def _as_value(data: Any) -> Value:  # noqa: ANN401 - any data
    if isinstance(data, dict):
        return _as_table(data)
    if isinstance(data, list):
        return Items(tuple(Cell(_NOWHERE, value=_as_value(each)) for each in data))
    value: Value = data
    return value


def _tools_machines(root: Path) -> Data:
    """The machines that commands have declared."""
    try:
        found = json.loads(content.text(root / TOOL_FILE))["machines"]
    except (Faults, ValueError, LookupError, TypeError):
        return {}  # what is wrong with it is told when it is read
    return found if isinstance(found, dict) else {}


class Modules:
    """The modules that a file leads to.

    Args:
        reader: The file.

    Attributes:
        inputs: What a flake says of where its inputs come from.
        is_clan: Whether it is a Clan rather than an inventory alone.
    """

    def __init__(self, reader: Reader, parts: Iterable[Table] = ()) -> None:
        self.reader = reader
        self.inputs: dict[str, str] = {}
        self.is_clan = False
        self._skipped: list[Outside] = []  # modules of other flakes, in a Clan
        self._foreign: list[Outside] = []  # and in a flake, where they bring other things
        self._ignored: list[Fault] = []
        self._modules = False
        self._parts = [*parts]
        self._machines: Cell | None = None  # the names of those that the Clan configures
        self._tags: list[Lambda] = []  # functions that compute tags
        self._seen: set[tuple[Path, _Level]] = set()
        self._within: list[Path] = []  # files whose imports are being followed
        self._left = VALUES
        self._found = False

    @property
    def told(self) -> Clan:
        """What was taken, and what was not."""
        names = tuple(
            dict.fromkeys(each.path for each in (*self._skipped, *self._foreign) if "clan-core" not in each.path)
        )
        return Clan(tuple(self.reader.files), self._modules, names)

    def notes(self) -> Iterator[Fault]:
        """What was left out, as warnings."""
        if names := list(dict.fromkeys(each.path for each in self._skipped)):
            what = ", ".join(code(name) for name in names)
            message = f"modules of other flakes are not read: {what}"
            hint = "copy their parts of the inventory into this project"
            yield Fault(message, self.reader.where(self._skipped[0].offset), hint, warning=True)
        yield from self._ignored

    def inventory(self) -> tuple[Table, tuple[str, ...]]:
        """The inventory's table and the keys under which it stands in the file.

        Raises:
            ToldError: When there is none.
        """
        prefix = self._enter(self.reader.main)
        if prefix and not self._found and not self.reader.faults:
            raise Faults([Fault("`clan` has no `inventory`", Where(), "write the inventory as `clan.inventory`")])
        return self.whole(), prefix

    def whole(self) -> Table:
        """The inventory that its parts make together."""
        whole = Table()
        for part in self._parts:
            whole = self._joined(whole, self._settled(part, ()), ())
        if self._machines:  # whatever their priority among themselves, Clan adds their names with none
            whole = self._joined(whole, Table({"machines": replace(self._machines, priority=_PLAIN)}), ())
        for function in self._tags:
            tags = Cell(function.tree.offset, value=self._computed_tags(function, whole))
            whole = self._joined(whole, self._settled(Table({"tags": tags}), ()), ())
        return whole

    def _computed_tags(self, function: Lambda, whole: Table) -> Value:
        """What Clan's `tags = { config, machines, ... }: …` gives: `config` are all tags, `machines` all machines.

        Machines are declared by folders and in the tools' layer too, and these count.
        """
        offset = function.tree.offset
        machines = {name: Table() for name in Project(self.reader.root).machine_folders} | {
            name: _as_value(each) for name, each in _tools_machines(self.reader.root).items()
        }
        if declared := whole.cells.get("machines"):
            machines |= {name: self.reader.force(cell) for name, cell in self.reader.cells(declared).items()}
        named: dict[str, list[Cell]] = {"all": [], "nixos": [], "linux": [], "darwin": []}
        for name, machine in sorted(machines.items()):
            said = self._constant(machine, "machineClass") if isinstance(machine, Table) else None
            for tag in ("all", *(("nixos", "linux") if said in {None, "nixos", "linux"} else (str(said),))):
                named.setdefault(tag, []).append(Cell(offset, value=name))
        config = Table({tag: Cell(offset, value=Items(tuple(each))) for tag, each in named.items()})
        given = {
            "config": config,
            "machines": Table({name: Cell(offset, value=each) for name, each in machines.items()}),
        }
        argument = Table({name: Cell(offset, value=each) for name, each in given.items()})
        value = self.reader.call(function, Cell(offset, value=argument))
        config.cells.update(value.cells if isinstance(value, Table) else {})  # tags may name one another
        return value

    # From the file's value to the parts of its inventory

    def _enter(self, main: Cell) -> tuple[str, ...]:
        value, candidates = self._opened(self.reader.force(main))
        flake = isinstance(value, Table) and "outputs" in value.cells
        if isinstance(value, Table):
            self._read_inputs(value)
        if isinstance(value, Table) and flake:
            value, candidates = self._opened(self.reader.force(value.cells["outputs"]))
        if isinstance(value, Module):
            self.is_clan = True
            if value.maker == "mkFlake":
                return self._enter_flake(value.cell)
            self._read_clan(value.cell)
            return ("inventory",)
        if not isinstance(value, Table):
            if isinstance(value, Outside):
                self.reader.beyond_outside(value)
            offset = main.offset if not isinstance(value, Lambda) else value.tree.offset
            self.reader.fault("expected a table: the inventory, or `{ inventory = …; }`", offset, "write `{ … }`")
        return self._enter_table(value, main, candidates, flake=flake)

    def _enter_table(self, table: Table, main: Cell, candidates: list[Cell], *, flake: bool) -> tuple[str, ...]:
        keys = table.cells.keys()
        whole = Cell(main.offset, value=table)
        if not {"instances", "tags"} & keys:
            if {"clan", "flake"} & keys:
                return self._enter_flake(whole)
            if flake and len(candidates) == 1 and not _OF_CLAN & keys:
                # a flake that gives what comes of the module, but not the module
                self._read_clan(Cell(candidates[0].offset, value=self.reader.force(candidates[0])))
                self.is_clan = True
                return ("clan", "inventory")
            if "inventory" in keys or self.reader.files[0].name == "clan.nix":
                self.is_clan = bool(keys - {"inventory"})
                self._read_clan(whole)
                return ("inventory",)
            if flake and not {"machines", "meta"} & keys:
                return self._enter_flake(whole)
        self._parts += self._flat(whole, "inventory")
        return ()

    def _enter_flake(self, cell: Cell) -> tuple[str, ...]:
        """Reads the Clans of a flake, or of a module of flake-parts and of those that it imports."""
        prefix: tuple[str, ...] = ()
        self.is_clan = True
        for table in self._flat(cell, "flake"):
            for found, keys in self._clans(table):
                self._read_clan(found)
                prefix = prefix or (*keys, "inventory")
        if not prefix:
            hint = "write the inventory in inventory.nix or clan.nix, or add its file to the `imports` of the flake"
            self.reader.fault("this flake has no inventory", cell.offset, hint)
        return prefix

    def _clans(self, table: Table) -> Iterator[tuple[Cell, tuple[str, ...]]]:
        if "clan" in table.cells:
            yield table.cells["clan"], ("clan",)
        if "flake" in table.cells:
            try:
                flake = self.reader.force(table.cells["flake"])
            except ToldError:
                return
            if isinstance(flake, Table) and "clan" in flake.cells:
                yield flake.cells["clan"], ("flake", "clan")

    def _opened(self, value: Value) -> tuple[Value, list[Cell]]:
        """What a file's functions and `let` lead to, and the Clans that these name by the way."""
        candidates: list[Cell] = []
        while isinstance(value, Lambda):
            tree, scope = value.tree.body, self.reader.bound(value)
            while isinstance(tree, syntax.Let):
                scope, tree = self.reader.let(tree, scope), tree.body
                candidates += (
                    cell for cell in scope.maps[0].values() if called_name(cell.expression) in WRAPPERS - {"mkFlake"}
                )
            value = self.reader.force(Cell(tree.offset, tree, scope))
        return value, candidates

    def _read_inputs(self, flake: Table) -> None:
        if "inputs" not in flake.cells or not {"outputs", "inventory", "clan"} & flake.cells.keys():
            return
        for name, each in self.reader.cells(flake.cells["inputs"]).items():
            value = self.reader.force(each)
            if isinstance(value, Table) and "url" in value.cells:
                value = self.reader.force(value.cells["url"])
            if isinstance(value, str):
                self.inputs[name] = str(value)

    def _read_clan(self, cell: Cell) -> None:
        """Adds the parts of a Clan's module, and of those that it imports."""
        tables = [*self._flat(cell, "clan")]
        for table in tables:
            if "inventory" in table.cells:
                self._parts += self._flat(table.cells["inventory"], "inventory")
            elif "instances" in table.cells:
                at, hint = table.cells["instances"].offset, "move it to `inventory.instances`"
                with contextlib.suppress(ToldError):
                    self.reader.fault("`instances` is not allowed beside the inventory", at, hint)
            if "meta" in table.cells:
                self._parts.append(Table({"meta": table.cells["meta"]}))
            if "machines" in table.cells:
                self._modules = True
                self.read_machines(table.cells["machines"])
        self._found |= any(_OF_CLAN & table.cells.keys() for table in tables)

    def read_machines(self, cell: Cell) -> None:
        """Adds the names of the machines that a Clan configures; how it configures them is the concern of NixOS."""
        before = len(self.reader.faults)
        try:
            if names := self._stripped(cell, _NAMES):
                self.reader.cells(names)
                self._machines = self._both(self._machines, names, _NAMES) if self._machines else names
        except ToldError:
            hint = "declare each machine in the inventory: `inventory.machines.NAME = { };`"
            self._ignore(before, "the machine names in the Clan's `machines` are ignored", hint)

    def _ignore(self, before: int, what: str, hint: str) -> None:
        """Makes one warning of the faults since there were so many."""
        why = self.reader.faults[before:]
        del self.reader.faults[before:]
        self._ignored += [Fault(f"{what}: {each.message}", each.where, hint, warning=True) for each in why[:1]]

    def _unwrapped(self, cell: Cell) -> Iterator[Cell]:
        """The values inside of `mkMerge` and `mkIf`."""
        value = self.reader.force(cell)
        kind = self._constant(value, "_type") if isinstance(value, Table) else None
        if not isinstance(value, Table) or kind not in ("merge", "if", "override", "order"):
            yield cell
        elif kind == "merge":
            for each in self.reader.items(self._part(value, "contents", cell)):
                yield from self._unwrapped(each)
        elif kind != "if":
            self.reader.fault("a priority around a whole module is not supported", cell.offset, _INSIDE)
        elif self.reader.is_true(self._part(value, "condition", cell)):
            yield from self._unwrapped(self._part(value, "content", cell))

    def _flat(self, cell: Cell, level: _Level) -> Iterator[Table]:
        """A module and those that it imports, one after the other."""
        try:
            value = self._called(cell, level)
        except ToldError:
            return
        match value:
            case Module():
                yield from self._flat(value.cell, level)
            case PathText():
                yield from self._flat_file(value, cell.offset, level)
            case Table(cells) if "_type" in cells:
                with contextlib.suppress(ToldError):
                    for each in self._unwrapped(cell):
                        yield from self._flat(each, level) if each is not cell else (value,)
            case Outside() if not _is_own(value):
                (self._foreign if level == "flake" else self._skipped).append(value)
            case Table(cells):
                imports = cells.get("imports")
                if "config" in cells and cells.keys() <= _LONG:
                    yield from self._flat(cells["config"], level)
                else:
                    yield Table({key: each for key, each in cells.items() if key != "imports"}) if imports else value
                yield from self._imported(imports, level) if imports else ()
            case _:
                with contextlib.suppress(ToldError):
                    self.reader.known(cell)
                    self.reader.fault("expected a table here", cell.offset, "write `{ … }`")

    def _called(self, cell: Cell, level: _Level) -> Value:
        before = len(self.reader.faults)
        value: Value = None
        try:
            value = self.reader.force(cell)
            while isinstance(value, Lambda):
                value = self.reader.call(value)
        finally:
            if level == "flake" and not (isinstance(value, Table) and {"clan", "flake"} & value.cells.keys()):
                hint = "write its `clan` as plain data"
                self._ignore(before, "a module of the flake is read only in part", hint)
        return value

    def _imported(self, cell: Cell, level: _Level) -> Iterator[Table]:
        try:
            value = self.reader.force(cell)
            if not isinstance(value, Items):
                self.reader.fault("expected a list here", cell.offset, "write `[ … ]`")
        except ToldError:
            return
        for each in value.cells:
            yield from self._flat(each, level)

    def _flat_file(self, path: PathText, offset: int, level: _Level) -> Iterator[Table]:
        try:
            file = self.reader.find(path, offset)
            if file in self._within or file == self.reader.files[0]:
                self.reader.fault(f"the file {shown(path)} imports itself", offset, "remove the circular import")
            if (file, level) in self._seen:
                return
            self._seen.add((file, level))
            value = self.reader.parse(path, offset)
        except ToldError:
            return
        self._within.append(file)
        yield from self._flat(value, level)
        self._within.pop()

    # From parts to a whole

    def _settled(self, table: Table, keys: Keys) -> Table:
        """A part of the inventory without priorities outside of settings, and without the modules of NixOS."""
        found: dict[str, Cell] = {}
        for name, cell in table.cells.items():
            path = (*keys, name)
            self._left -= 1
            if self._left < 0:
                hint = "check for references that multiply each other"
                raise Faults([Fault(f"more than {VALUES:,} values", Where(), hint)])
            if _is_role(keys) and name == "extraModules":
                self._modules = True
                found[name] = Cell(cell.offset, value=Items(()))
                continue
            try:
                settled = cell if name == "settings" else self._stripped(cell, path)
            except ToldError:
                continue
            if settled:
                found[name] = settled
        return Table(found)

    def _stripped(self, cell: Cell, path: Keys) -> Cell | None:
        """A value outside of settings without its priorities; None where a condition takes it away."""
        value = self.reader.force(cell)
        if isinstance(value, Lambda) and path == ("tags",):
            self._tags.append(value)
            return None
        if not isinstance(value, Table) or len(path) > 6 or path[0] not in {*_OWN, *_NAMES}:  # noqa: PLR2004 - instances.I.roles.R.machines.M
            return cell
        kind = self._constant(value, "_type")
        if kind == "merge":
            return self._merged(self._part(value, "contents", cell), path)
        if kind not in ("override", "order", "if"):  # a tuple, since it may be a table
            inside = _names(value) if path == _NAMES else self._settled(value, path)
            return replace(cell, value=inside, expression=None)
        holds = kind != "if" or self.reader.is_true(self._part(value, "condition", cell))
        inner = self._stripped(self._part(value, "content", cell), path) if holds else None
        if inner and kind == "order":
            return self._ordered(inner, self._number(value, cell))
        return self._prior(inner, value, cell, path) if inner and kind == "override" else inner

    def _ordered(self, cell: Cell, order: int) -> Cell:
        """A value outside of settings with this order for the items of its lists that have none."""
        value = self.reader.force(cell)
        if isinstance(value, Items):
            items = (replace(each, order=order) if each.order == _IN_PLACE else each for each in value.cells)
            return replace(cell, value=Items(tuple(items)), expression=None)
        if isinstance(value, Table):
            inside = {
                name: each if name == "settings" else self._ordered(each, order) for name, each in value.cells.items()
            }
            return replace(cell, value=Table(inside), expression=None)
        return cell

    def _number(self, wrapper: Table, cell: Cell) -> int:
        number = self._constant(wrapper, "priority")
        if type(number) is not int:  # true is no number here
            self.reader.fault("a priority must be a whole number", cell.offset)
        return number

    def _prior(self, inner: Cell, override: Table, cell: Cell, path: Keys) -> Cell:
        """A value outside of settings with its priority, unless it has one of its own."""
        priority = self._number(override, cell)

        def prior(each: Cell) -> Cell:
            return replace(each, priority=priority) if each.priority == _PLAIN else each

        said = self.reader.force(inner)
        if path[2:] == ("deploy",) and isinstance(said, Table):  # its values are options, unlike the table around them
            return replace(
                inner, value=Table({name: prior(each) for name, each in said.cells.items()}), expression=None
            )
        return prior(replace(inner, offset=cell.offset))

    def _part(self, wrapper: Table, name: str, cell: Cell) -> Cell:
        """A field of what `mkForce` and the like give."""
        if name not in wrapper.cells:
            kind = str(self._constant(wrapper, "_type"))
            self.reader.fault(f"{code(kind)} has no {code(name)}", cell.offset)
        return wrapper.cells[name]

    def _merged(self, contents: Cell, path: Keys) -> Cell | None:
        """What `mkMerge` makes of several values outside of settings."""
        whole: Cell | None = None
        for each in self.reader.items(contents):
            one = self._stripped(each, path)
            whole = self._both(whole, one, path) if whole and one else whole or one
        return whole

    def _constant(self, table: Table, name: str) -> Value:
        return self.reader.force(table.cells[name]) if name in table.cells else None

    def _joined(self, one: Table, other: Table, keys: Keys) -> Table:
        cells = dict(one.cells)
        for name, cell in other.cells.items():
            try:
                cells[name] = self._both(cells[name], cell, (*keys, name)) if name in cells else cell
            except ToldError:
                continue
        return Table(cells)

    def _both(self, one: Cell, other: Cell, keys: Keys) -> Cell:
        """What two modules say at one place."""
        if one.priority != other.priority:
            return min(one, other, key=lambda cell: cell.priority)
        mine, theirs = self.reader.force(one), self.reader.force(other)
        if keys[-1] == "tags" and _is_role(keys[:-1]):  # `tags = [ "a" ]` is short for `tags.a = { }`
            mine, theirs = self._as_table(mine), self._as_table(theirs)
        both = self._combined(one, other, mine, theirs, keys)
        if both is not None:
            return replace(one, value=both, expression=None)
        if type(mine) is type(theirs) and mine == theirs:
            return one
        if (mine is None or theirs is None) and "settings" not in keys:  # null says nothing there
            return other if mine is None else one
        first = self.reader.where(one.offset)
        where = f"at {first.file.name}:{first.line}" if first.file and first.line else "in another module"
        hint = f"remove one of the two; the other is {where}"
        return self.reader.fault(f"conflicting values for `{dotted(keys)}`", other.offset, hint)

    def _combined(self, one: Cell, other: Cell, mine: Value, theirs: Value, keys: Keys) -> Value:
        """What two modules say together, where that can be: two tables, two lists, or settings with a priority."""
        marked = [each for each in (mine, theirs) if isinstance(each, Table) and "_type" in each.cells]
        if marked and "settings" in keys:  # the priorities of settings are resolved later
            return _table_of(one.offset, {"_type": "merge", "contents": Items((one, other))})
        if isinstance(mine, Table) and isinstance(theirs, Table):
            return self._joined(mine, theirs, keys)
        if isinstance(mine, Items) and isinstance(theirs, Items):
            return Items(tuple(sorted((*mine.cells, *theirs.cells), key=lambda cell: cell.order)))
        return None

    def _as_table(self, value: Value) -> Value:
        if not isinstance(value, Items):
            return value
        return Table({str(self.reader.force(cell)): Cell(cell.offset, value=Table()) for cell in value.cells})


def _names(table: Table) -> Table:
    """The names of a table, without their values, which are not evaluated."""
    return Table({name: Cell(cell.offset, value=Table()) for name, cell in table.cells.items()})


def _table_of(offset: int, values: Mapping[str, Value]) -> Table:
    return Table({name: Cell(offset, value=value) for name, value in values.items()})


def _is_own(value: Outside) -> bool:
    """Whether something outside of the files is the project's own: the flake itself, or what its modules compute."""
    parts = value.path.removeprefix("inputs.").split(".")
    return parts[0] in {"config", "self"} and parts[1:2] != ["inputs"]


def _is_role(keys: Keys) -> bool:
    return len(keys) == 4 and keys[0] == "instances" and keys[2] == "roles"  # noqa: PLR2004 - instances.I.roles.R
