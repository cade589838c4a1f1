"""Join parts of an inventory in Nix, as the module system of nixpkgs does.

Tables merge and lists are concatenated, the best priority wins, and two values that differ are a fault. The priorities
of settings are left to `rolecall.evaluate`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from rolecall.errors import Fault, Faults, Where, dotted
from rolecall.inventory.data import VALUES, code
from rolecall.inventory.notations.nix_files import RecordedError
from rolecall.inventory.notations.nix_values import Cell, Items, Lambda, Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolecall.inventory.data import Keys
    from rolecall.inventory.notations.nix_evaluation import Evaluator
    from rolecall.inventory.notations.nix_values import Value

CLAN_MACHINES: Final = ("machines of the Clan",)  # a key path for these, beside those of the inventory
NO_PRIORITY: Final = 100  # the priority of a value that has none
_OWN: Final = frozenset({"machines", "instances", "tags", "meta"})  # where priorities outside of settings are resolved
_NO_ORDER: Final = 1000  # the order of an item that has none


class Joiner:
    """Joins parts of an inventory.

    Args:
        nix: The evaluated file.

    Attributes:
        tags: Functions that compute tags, which were left out of the parts.
        has_nixos_modules: Whether NixOS modules were left out of the parts.
    """

    def __init__(self, nix: Evaluator) -> None:
        self.nix = nix
        self.tags: list[Lambda] = []
        self.has_nixos_modules = False
        self._left = VALUES

    def settled(self, table: Table, keys: Keys) -> Table:
        """Return a part of the inventory without priorities outside of settings, and without NixOS modules."""
        found: dict[str, Cell] = {}
        for name, cell in table.cells.items():
            path = (*keys, name)
            self._left -= 1
            if self._left < 0:
                hint = "check for references that multiply each other"
                raise Faults([Fault(f"more than {VALUES:,} values", Where(), hint)])
            if _is_role(keys) and name == "extraModules":
                self.has_nixos_modules = True
                found[name] = Cell(cell.offset, value=Items(()))
                continue
            try:
                settled = cell if name == "settings" else self.stripped(cell, path)
            except RecordedError:
                continue
            if settled:
                found[name] = settled
        return Table(found)

    def stripped(self, cell: Cell, path: Keys) -> Cell | None:
        """Return a value outside of settings without its priorities; None if its condition is false."""
        value = self.nix.force(cell)
        if isinstance(value, Lambda) and path == ("tags",):
            self.tags.append(value)
            return None
        if not isinstance(value, Table) or len(path) > 6 or path[0] not in {*_OWN, *CLAN_MACHINES}:  # noqa: PLR2004 - instances.I.roles.R.machines.M
            return cell
        kind = self.constant(value, "_type")
        if kind == "merge":
            return self._merged(self.part(value, "contents", cell), path)
        if kind not in ("override", "order", "if"):  # a tuple, since it may be a table
            inside = _names(value) if path == CLAN_MACHINES else self.settled(value, path)
            return replace(cell, value=inside, expression=None)
        holds = kind != "if" or self.nix.is_true(self.part(value, "condition", cell))
        inner = self.stripped(self.part(value, "content", cell), path) if holds else None
        if inner and kind == "order":
            return self._ordered(inner, self._number(value, cell))
        return self._with_priority(inner, value, cell, path) if inner and kind == "override" else inner

    def _ordered(self, cell: Cell, order: int) -> Cell:
        """Return a value outside of settings with an order for the items of its lists that have none."""
        value = self.nix.force(cell)
        if isinstance(value, Items):
            items = (replace(each, order=order) if each.order == _NO_ORDER else each for each in value.cells)
            return replace(cell, value=Items(tuple(items)), expression=None)
        if isinstance(value, Table):
            inside = {
                name: each if name == "settings" else self._ordered(each, order) for name, each in value.cells.items()
            }
            return replace(cell, value=Table(inside), expression=None)
        return cell

    def _number(self, wrapper: Table, cell: Cell) -> int:
        number = self.constant(wrapper, "priority")
        if type(number) is not int:  # in Python, a boolean is an int too
            self.nix.fault("a priority must be a whole number", cell.offset)
        return number

    def _with_priority(self, inner: Cell, override: Table, cell: Cell, path: Keys) -> Cell:
        """Return a value outside of settings with its priority, unless it has one already."""
        priority = self._number(override, cell)

        def with_priority(each: Cell) -> Cell:
            return replace(each, priority=priority) if each.priority == NO_PRIORITY else each

        value = self.nix.force(inner)
        if path[2:] == ("deploy",) and isinstance(value, Table):  # its values are options, unlike the table around them
            return replace(
                inner, value=Table({name: with_priority(each) for name, each in value.cells.items()}), expression=None
            )
        return with_priority(replace(inner, offset=cell.offset))

    def part(self, wrapper: Table, name: str, cell: Cell) -> Cell:
        """Return a field of the result of `mkForce`, `mkIf` and the like."""
        if name not in wrapper.cells:
            kind = str(self.constant(wrapper, "_type"))
            self.nix.fault(f"{code(kind)} has no {code(name)}", cell.offset)
        return wrapper.cells[name]

    def _merged(self, contents: Cell, path: Keys) -> Cell | None:
        """Return the result of `mkMerge` for several values outside of settings."""
        whole: Cell | None = None
        for each in self.nix.items(contents):
            one = self.stripped(each, path)
            whole = self.both(whole, one, path) if whole and one else whole or one
        return whole

    def constant(self, table: Table, name: str) -> Value:
        """Return a value of a table, or None if it has none of that name."""
        return self.nix.force(table.cells[name]) if name in table.cells else None

    def joined(self, one: Table, other: Table, keys: Keys) -> Table:
        """Join two tables at a key path."""
        cells = dict(one.cells)
        for name, cell in other.cells.items():
            try:
                cells[name] = self.both(cells[name], cell, (*keys, name)) if name in cells else cell
            except RecordedError:
                continue
        return Table(cells)

    def both(self, one: Cell, other: Cell, keys: Keys) -> Cell:
        """Join the values of two modules at one key path."""
        if one.priority != other.priority:
            return min(one, other, key=lambda cell: cell.priority)
        mine, theirs = self.nix.force(one), self.nix.force(other)
        if keys[-1] == "tags" and _is_role(keys[:-1]):  # `tags = [ "a" ]` is short for `tags.a = { }`
            mine, theirs = self._as_table(mine), self._as_table(theirs)
        both = self._combined(one, other, mine, theirs, keys)
        if both is not None:
            return replace(one, value=both, expression=None)
        if type(mine) is type(theirs) and mine == theirs:
            return one
        if (mine is None or theirs is None) and "settings" not in keys:  # null stands for nothing there
            return other if mine is None else one
        first = self.nix.files.where(one.offset)
        where = f"at {first.file.name}:{first.line}" if first.file and first.line else "in another module"
        hint = f"remove one of the two; the other is {where}"
        return self.nix.fault(f"conflicting values for `{dotted(keys)}`", other.offset, hint)

    def _combined(self, one: Cell, other: Cell, mine: Value, theirs: Value, keys: Keys) -> Value:
        """Join two tables, two lists, or settings with a priority; return None for anything else."""
        marked = [each for each in (mine, theirs) if isinstance(each, Table) and "_type" in each.cells]
        if marked and "settings" in keys:  # the priorities of settings are resolved later
            return table_of(one.offset, {"_type": "merge", "contents": Items((one, other))})
        if isinstance(mine, Table) and isinstance(theirs, Table):
            return self.joined(mine, theirs, keys)
        if isinstance(mine, Items) and isinstance(theirs, Items):
            return Items(tuple(sorted((*mine.cells, *theirs.cells), key=lambda cell: cell.order)))
        return None

    def _as_table(self, value: Value) -> Value:
        if not isinstance(value, Items):
            return value
        return Table({str(self.nix.force(cell)): Cell(cell.offset, value=Table()) for cell in value.cells})


def _names(table: Table) -> Table:
    """Return the names of a table, without their values, which are not evaluated."""
    return Table({name: Cell(cell.offset, value=Table()) for name, cell in table.cells.items()})


def table_of(offset: int, values: Mapping[str, Value]) -> Table:
    """Return a table of values that stand at one offset."""
    return Table({name: Cell(offset, value=value) for name, value in values.items()})


def _is_role(keys: Keys) -> bool:
    return len(keys) == 4 and keys[0] == "instances" and keys[2] == "roles"  # noqa: PLR2004 - instances.I.roles.R
