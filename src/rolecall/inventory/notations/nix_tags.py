"""Tags that a Clan's inventory computes: `tags = { config, machines, ... }: …`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rolecall.errors import Faults
from rolecall.inventory import content
from rolecall.inventory.notations.nix_joining import table_of
from rolecall.inventory.notations.nix_values import Cell, Items, Outside, Table, value_of
from rolecall.project import TOOL_FILE, machine_folders

if TYPE_CHECKING:
    from pathlib import Path

    from rolecall.inventory.data import Data
    from rolecall.inventory.notations.nix_evaluation import Evaluator
    from rolecall.inventory.notations.nix_values import Lambda, Value


def computed_tags(nix: Evaluator, function: Lambda, inventory: Table) -> Value:
    """Return the result of such a function, given all tags as `config`, and all machines.

    Folders and inventory.json declare machines too.
    """
    offset = function.tree.offset
    root = nix.files.root
    machines: dict[str, Value] = {name: Table() for name in machine_folders(root)}
    machines |= {name: value_of(each) for name, each in _tool_written_machines(root).items()}
    if declared := inventory.cells.get("machines"):
        machines |= {name: nix.force(cell) for name, cell in nix.cells(declared).items()}
    names: dict[str, list[Cell]] = {"all": [], "nixos": [], "linux": [], "darwin": []}
    for name, machine in sorted(machines.items()):
        cell = machine.cells.get("machineClass") if isinstance(machine, Table) else None
        machine_class = nix.force(cell) if cell else None
        classes = ("nixos", "linux") if machine_class in {None, "nixos", "linux"} else (str(machine_class),)
        for tag in ("all", *classes):
            names.setdefault(tag, []).append(Cell(offset, value=name))
    config = table_of(offset, {tag: Items(tuple(each)) for tag, each in names.items()})
    known: dict[str, Value] = {"config": config, "machines": table_of(offset, machines)}
    others = {*function.tree.names} - known.keys() - {name for name, _ in function.tree.defaults}
    outside = {name: Outside(name, offset, argument=True) for name in others}
    argument = table_of(offset, {**known, **outside})
    value = nix.call(function, Cell(offset, value=argument))
    config.cells.update(value.cells if isinstance(value, Table) else {})  # tags may name one another
    return value


def _tool_written_machines(root: Path) -> Data:
    try:
        machines = json.loads(content.text(root / TOOL_FILE))["machines"]
    except (Faults, ValueError, LookupError, TypeError):
        return {}  # its faults are reported when it is read itself
    return machines if isinstance(machines, dict) else {}
