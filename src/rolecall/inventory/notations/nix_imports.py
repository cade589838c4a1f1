"""Follow the `imports` of modules in Nix."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final, Literal

from rolecall.errors import Fault
from rolecall.inventory.data import shown
from rolecall.inventory.notations.nix_files import RecordedError
from rolecall.inventory.notations.nix_values import Lambda, Module, Outside, PathText, Table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rolecall.inventory.notations.nix_evaluation import Evaluator
    from rolecall.inventory.notations.nix_joining import Joiner
    from rolecall.inventory.notations.nix_values import Cell, Value

_LONG: Final = frozenset({"config", "imports", "options"})  # the keys of a module in its long form
Level = Literal["flake", "clan", "inventory"]  # what a module configures


class Imports:
    """Modules with those that they import.

    Args:
        nix: The evaluated file.
        joiner: Joins their parts.

    Attributes:
        skipped: Modules of other flakes that a Clan imports; they cannot be read.
        foreign: Modules of other flakes that a flake imports, where they add things other than inventories.
        warnings: What was ignored of the others.
    """

    def __init__(self, nix: Evaluator, joiner: Joiner) -> None:
        self.nix = nix
        self.joiner = joiner
        self.skipped: list[Outside] = []
        self.foreign: list[Outside] = []
        self.warnings: list[Fault] = []
        self._seen: set[tuple[Path, Level]] = set()
        self._within: list[Path] = []  # files whose imports are being followed

    def modules(self, cell: Cell, level: Level) -> Iterator[Table]:
        """Yield a module and those that it imports."""
        try:
            value = self._called(cell, level)
        except RecordedError:
            return
        match value:
            case Module():
                yield from self.modules(value.cell, level)
            case PathText():
                yield from self._file(value, cell.offset, level)
            case Table(cells) if "_type" in cells:
                with contextlib.suppress(RecordedError):
                    for each in self._unwrapped(cell):
                        yield from self.modules(each, level) if each is not cell else (value,)
            case Outside() if not _is_own(value):
                (self.foreign if level == "flake" else self.skipped).append(value)
            case Table(cells):
                imports = cells.get("imports")
                if "config" in cells and cells.keys() <= _LONG:
                    yield from self.modules(cells["config"], level)
                else:
                    yield Table({key: each for key, each in cells.items() if key != "imports"}) if imports else value
                yield from self._imported(imports, level) if imports else ()
            case _:
                with contextlib.suppress(RecordedError):
                    self.nix.known(cell)
                    self.nix.fault("expected a table here", cell.offset, "write `{ … }`")

    def ignore_faults(self, before: int, what: str, hint: str) -> None:
        """Replace the faults after the first `before` by one warning."""
        faults = self.nix.files.faults[before:]
        del self.nix.files.faults[before:]
        self.warnings += [Fault(f"{what}: {each.message}", each.where, hint, warning=True) for each in faults[:1]]

    def _unwrapped(self, cell: Cell) -> Iterator[Cell]:
        """Yield the values inside `mkMerge` and `mkIf`."""
        value = self.nix.force(cell)
        kind = self.joiner.constant(value, "_type") if isinstance(value, Table) else None
        if not isinstance(value, Table) or kind not in ("merge", "if", "override", "order"):
            yield cell
        elif kind == "merge":
            for each in self.nix.items(self.joiner.part(value, "contents", cell)):
                yield from self._unwrapped(each)
        elif kind != "if":
            hint = "put it around the values inside the module"
            self.nix.fault("a priority around a whole module is not supported", cell.offset, hint)
        elif self.nix.is_true(self.joiner.part(value, "condition", cell)):
            yield from self._unwrapped(self.joiner.part(value, "content", cell))

    def _called(self, cell: Cell, level: Level) -> Value:
        """Return the value of a module, which may be a function."""
        before = len(self.nix.files.faults)
        value: Value = None
        try:
            value = self.nix.force(cell)
            while isinstance(value, Lambda):
                value = self.nix.call(value)
        finally:
            if level == "flake" and not (isinstance(value, Table) and {"clan", "flake"} & value.cells.keys()):
                hint = "write its `clan` as plain data"
                self.ignore_faults(before, "a module of the flake is read only in part", hint)
        return value

    def _imported(self, cell: Cell, level: Level) -> Iterator[Table]:
        try:
            items = self.nix.items(cell)
        except RecordedError:
            return
        for each in items:
            yield from self.modules(each, level)

    def _file(self, path: PathText, offset: int, level: Level) -> Iterator[Table]:
        try:
            file = self.nix.files.find(path, offset)
            if file in self._within or file == self.nix.files.read[0]:
                self.nix.fault(f"the file {shown(path)} imports itself", offset, "remove the circular import")
            if (file, level) in self._seen:
                return
            self._seen.add((file, level))
            value = self.nix.parse(path, offset)
        except RecordedError:
            return
        self._within.append(file)
        yield from self.modules(value, level)
        self._within.pop()


def _is_own(value: Outside) -> bool:
    """Return whether an outside value is the project's own: the flake itself, or what its modules compute."""
    parts = value.path.removeprefix("inputs.").split(".")
    return parts[0] in {"config", "self"} and parts[1:2] != ["inputs"]
