"""Find the inventory that a Nix file holds, alone or in a Clan, in one file or in many.

A Clan's module has `inventory`, `meta`, `machines` (of which only the names count) and `imports`. It is the file's
value, the argument of `lib.clan`, or stands under `clan` or `flake.clan` of a flake or of a module of flake-parts.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from rolecall.errors import Fault, Faults, Where
from rolecall.inventory.data import check, code
from rolecall.inventory.notations import nix_syntax as syntax
from rolecall.inventory.notations.nix_evaluation import Evaluator
from rolecall.inventory.notations.nix_files import RecordedError
from rolecall.inventory.notations.nix_functions import BUILTINS, LIB
from rolecall.inventory.notations.nix_imports import Imports
from rolecall.inventory.notations.nix_joining import CLAN_MACHINES, NO_PRIORITY, Joiner
from rolecall.inventory.notations.nix_tags import computed_tags
from rolecall.inventory.notations.nix_values import (
    NOWHERE,
    WRAPPERS,
    Cell,
    Lambda,
    Module,
    Outside,
    Table,
    called_name,
    table_from,
    value_of,
)
from rolecall.model.source import Clan, Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from rolecall.inventory.data import Data
    from rolecall.inventory.notations.nix_values import Value

_OF_CLAN: Final = frozenset({"inventory", "meta", "machines", "imports"})


def evaluator(text: str, file: Path) -> Evaluator:
    """Return a file's evaluator, with all functions that are known."""
    return Evaluator(text, file, BUILTINS, LIB)


def source(nix: Evaluator) -> Source:
    """Return the inventory in a file and in the files that it names.

    Raises:
        Faults: All that is wrong with it.
    """
    modules = Modules(nix)
    try:
        table, prefix = modules.inventory()
        data = nix.plain(table)
    except RecordedError:
        raise Faults(nix.files.faults) from None
    if faults := [*nix.files.faults, *check(data)]:
        raise Faults(faults)
    return Source(
        nix.files.read[0],
        data,
        prefix,
        modules.inputs,
        files=tuple(nix.files.read),
        notes=tuple(modules.warnings()),
        clan=modules.clan if modules.is_clan else None,
    )


def joined(parts: list[Data], machines: list[Data], file: Path) -> Data:
    """Join the parts of an inventory that Nix has evaluated, one for each module.

    Args:
        parts: The parts.
        machines: The machines that modules of a Clan configure beside the inventory; only their names count.
        file: The file that the modules come from.

    Raises:
        Faults: When values conflict, or something is not data.
    """
    nix = evaluator("{ }", file)
    modules = Modules(nix, [table_from(part) for part in parts])
    for each in machines:
        modules.read_machines(Cell(NOWHERE, value=value_of(each)))
    data = nix.plain(modules.whole())
    if faults := [fault.at(Where(file)) for fault in nix.files.faults] or check(data):
        raise Faults(faults)
    return data


class Modules:
    """The modules of a file and of those that it imports.

    Args:
        nix: The evaluated file.
        parts: Parts of the inventory that are known already.

    Attributes:
        inputs: The URLs of a flake's inputs, by name.
        is_clan: Whether it is a Clan rather than an inventory alone.
    """

    def __init__(self, nix: Evaluator, parts: Iterable[Table] = ()) -> None:
        self.nix = nix
        self.inputs: dict[str, str] = {}
        self.is_clan = False
        self._joiner = Joiner(nix)
        self._imports = Imports(nix, self._joiner)
        self._parts = [*parts]
        self._machines: Cell | None = None  # the names of those that the Clan configures
        self._configures_machines = False
        self._found = False

    @property
    def clan(self) -> Clan:
        """Which parts of the Clan were read, and which were not."""
        outside = (*self._imports.skipped, *self._imports.foreign)
        names = dict.fromkeys(each.path for each in outside if "clan-core" not in each.path)
        nixos = self._configures_machines or self._joiner.has_nixos_modules
        return Clan(tuple(self.nix.files.read), nixos, tuple(names))

    def warnings(self) -> Iterator[Fault]:
        """Yield a warning for each part that was left out."""
        skipped = self._imports.skipped
        if names := list(dict.fromkeys(each.path for each in skipped)):
            message = f"modules of other flakes are not read: {', '.join(map(code, names))}"
            hint = "copy their parts of the inventory into this project"
            yield Fault(message, self.nix.files.where(skipped[0].offset), hint, warning=True)
        yield from self._imports.warnings

    def inventory(self) -> tuple[Table, tuple[str, ...]]:
        """Return the inventory's table and the keys under which it stands in the file.

        Raises:
            RecordedError: When there is none.
        """
        prefix = self._enter(self.nix.main)
        if prefix and not self._found and not self.nix.files.faults:
            raise Faults([Fault("`clan` has no `inventory`", Where(), "write the inventory as `clan.inventory`")])
        return self.whole(), prefix

    def whole(self) -> Table:
        """Return the inventory that its parts make together."""
        whole = Table()
        for part in self._parts:
            whole = self._joiner.joined(whole, self._joiner.settled(part, ()), ())
        if self._machines:  # Clan adds their names without a priority
            whole = self._joiner.joined(whole, Table({"machines": replace(self._machines, priority=NO_PRIORITY)}), ())
        for function in self._joiner.tags:
            tags = Cell(function.tree.offset, value=computed_tags(self.nix, function, whole))
            whole = self._joiner.joined(whole, self._joiner.settled(Table({"tags": tags}), ()), ())
        return whole

    # From the file's value to the parts of its inventory

    def _enter(self, main: Cell) -> tuple[str, ...]:
        value, candidates = self._opened(self.nix.force(main))
        flake = isinstance(value, Table) and "outputs" in value.cells
        if isinstance(value, Table):
            self._read_inputs(value)
        if isinstance(value, Table) and flake:
            value, candidates = self._opened(self.nix.force(value.cells["outputs"]))
        if isinstance(value, Module):
            self.is_clan = True
            if value.maker == "mkFlake":
                return self._enter_flake(value.cell)
            self._read_clan(value.cell)
            return ("inventory",)
        if not isinstance(value, Table):
            if isinstance(value, Outside):
                self.nix.beyond_outside(value)
            offset = main.offset if not isinstance(value, Lambda) else value.tree.offset
            self.nix.fault("expected a table: the inventory, or `{ inventory = …; }`", offset, "write `{ … }`")
        return self._enter_table(value, main, candidates, flake=flake)

    def _enter_table(self, table: Table, main: Cell, candidates: list[Cell], *, flake: bool) -> tuple[str, ...]:
        keys = table.cells.keys()
        whole = Cell(main.offset, value=table)
        if not {"instances", "tags"} & keys:
            if {"clan", "flake"} & keys:
                return self._enter_flake(whole)
            if flake and len(candidates) == 1 and not _OF_CLAN & keys:
                # the flake's outputs come from the module, but the module is not among them
                self._read_clan(Cell(candidates[0].offset, value=self.nix.force(candidates[0])))
                self.is_clan = True
                return ("clan", "inventory")
            if "inventory" in keys or self.nix.files.read[0].name == "clan.nix":
                self.is_clan = bool(keys - {"inventory"})
                self._read_clan(whole)
                return ("inventory",)
            if flake and not {"machines", "meta"} & keys:
                return self._enter_flake(whole)
        self._parts += self._imports.modules(whole, "inventory")
        return ()

    def _enter_flake(self, cell: Cell) -> tuple[str, ...]:
        """Read the Clans of a flake, or of a module of flake-parts and of those that it imports."""
        prefix: tuple[str, ...] = ()
        self.is_clan = True
        for table in self._imports.modules(cell, "flake"):
            for clan, keys in self._clans(table):
                self._read_clan(clan)
                prefix = prefix or (*keys, "inventory")
        if not prefix:
            hint = "write the inventory in inventory.nix or clan.nix, or add its file to the `imports` of the flake"
            self.nix.fault("this flake has no inventory", cell.offset, hint)
        return prefix

    def _clans(self, table: Table) -> Iterator[tuple[Cell, tuple[str, ...]]]:
        if "clan" in table.cells:
            yield table.cells["clan"], ("clan",)
        if "flake" in table.cells:
            try:
                flake = self.nix.force(table.cells["flake"])
            except RecordedError:
                return
            if isinstance(flake, Table) and "clan" in flake.cells:
                yield flake.cells["clan"], ("flake", "clan")

    def _opened(self, value: Value) -> tuple[Value, list[Cell]]:
        """Return what a file's functions and `let` lead to, and the Clans that its `let` names."""
        candidates: list[Cell] = []
        while isinstance(value, Lambda):
            tree, scope = value.tree.body, self.nix.bound(value)
            while isinstance(tree, syntax.Let):
                scope, tree = self.nix.let(tree, scope), tree.body
                candidates += (
                    cell for cell in scope.maps[0].values() if called_name(cell.expression) in WRAPPERS - {"mkFlake"}
                )
            value = self.nix.force(Cell(tree.offset, tree, scope))
        return value, candidates

    def _read_inputs(self, flake: Table) -> None:
        if "inputs" not in flake.cells or not {"outputs", "inventory", "clan"} & flake.cells.keys():
            return
        for name, each in self.nix.cells(flake.cells["inputs"]).items():
            value = self.nix.force(each)
            if isinstance(value, Table) and "url" in value.cells:
                value = self.nix.force(value.cells["url"])
            if isinstance(value, str):
                self.inputs[name] = str(value)

    def _read_clan(self, cell: Cell) -> None:
        """Add the parts of a Clan's module, and of those that it imports."""
        tables = [*self._imports.modules(cell, "clan")]
        for table in tables:
            if "inventory" in table.cells:
                self._parts += self._imports.modules(table.cells["inventory"], "inventory")
            elif "instances" in table.cells:
                at, hint = table.cells["instances"].offset, "move it to `inventory.instances`"
                with contextlib.suppress(RecordedError):
                    self.nix.fault("`instances` is not allowed beside the inventory", at, hint)
            if "meta" in table.cells:
                self._parts.append(Table({"meta": table.cells["meta"]}))
            if "machines" in table.cells:
                self._configures_machines = True
                self.read_machines(table.cells["machines"])
        self._found |= any(_OF_CLAN & table.cells.keys() for table in tables)

    def read_machines(self, cell: Cell) -> None:
        """Add the names of the machines that a Clan configures; their configuration is for NixOS."""
        before = len(self.nix.files.faults)
        try:
            if names := self._joiner.stripped(cell, CLAN_MACHINES):
                self.nix.cells(names)
                self._machines = self._joiner.both(self._machines, names, CLAN_MACHINES) if self._machines else names
        except RecordedError:
            hint = "declare each machine in the inventory: `inventory.machines.NAME = { };`"
            self._imports.ignore_faults(before, "the machine names in the Clan's `machines` are ignored", hint)
