"""Which machines have a tag: by their own `tags`, by `tags.T` lists, and computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rolecall.errors import Fault, Where, nearest
from rolecall.inventory.data import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolecall.model.inventory import Inventory

ALL: Final = "all"


def members(inventory: Inventory) -> tuple[Mapping[str, tuple[str, ...]], list[Fault]]:
    """Every tag with its machines, sorted, and what is wrong with how they are named.

    ``all`` is every machine, and each machine class that some machine has is a tag of those machines.
    """
    faults: list[Fault] = []
    computed: dict[str, set[str]] = {ALL: set(inventory.machines)}
    for name, machine in inventory.machines.items():
        computed.setdefault(machine.machine_class, set()).add(name)
    own: dict[str, set[str]] = {}
    for tag, machines in inventory.tags.items():
        if tag in computed:
            faults.append(_computed(tag, ("tags", tag)))
            continue
        own[tag] = set()
        for index, name in enumerate(machines):
            if name in inventory.machines:
                own[tag].add(name)
            else:
                where = Where(keys=("tags", tag, index))
                hint = nearest(name, inventory.machines, what="machines")
                faults.append(Fault(f"there is no machine {shown(name)}", where, hint))
    for name, machine in inventory.machines.items():
        for index, tag in enumerate(machine.tags):
            if tag in computed:
                faults.append(_computed(tag, ("machines", name, "tags", index)))
            else:
                own.setdefault(tag, set()).add(name)
    return {tag: tuple(sorted(names)) for tag, names in (computed | own).items()}, faults


def _computed(tag: str, keys: tuple[str | int, ...]) -> Fault:
    whose = "every machine has it" if tag == ALL else f"every machine of the class {shown(tag)} has it"
    return Fault(f"the tag {shown(tag)} is computed", Where(keys=keys), f"{whose} without being listed; remove it")
