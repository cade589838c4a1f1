"""Which machines have a tag: by their own `tags`, by `tags.T` lists, computed, and by what a `tags.T` table selects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rolecall.errors import Fault, Where, nearest
from rolecall.inventory.data import shown
from rolecall.model.inventory import Selection

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rolecall.inventory.data import Keys
    from rolecall.model.inventory import Inventory

ALL: Final = "all"


def members(inventory: Inventory) -> tuple[Mapping[str, tuple[str, ...]], list[Fault]]:
    """Every tag with its machines, sorted, and what is wrong or (as warnings) odd about how they are named.

    ``all`` is every machine, and each machine class that some machine has is a tag of those machines.
    """
    faults: list[Fault] = []
    computed: dict[str, set[str]] = {ALL: set(inventory.machines)}
    for name, machine in inventory.machines.items():
        computed.setdefault(machine.machine_class, set()).add(name)
    own: dict[str, set[str]] = {}
    selecting: dict[str, Selection] = {}
    for tag, said in inventory.tags.items():
        if tag in computed:
            faults.append(_computed(tag, ("tags", tag)))
            continue
        if isinstance(said, Selection):
            selecting[tag] = said
            own[tag] = _declared(inventory, said.machines, ("tags", tag, "machines"), faults)
        else:
            own[tag] = _declared(inventory, said, ("tags", tag), faults)
    for name, machine in inventory.machines.items():
        for index, tag in enumerate(machine.tags):
            if tag in computed:
                faults.append(_computed(tag, ("machines", name, "tags", index)))
            else:
                own.setdefault(tag, set()).add(name)
    plain = {tag: names for tag, names in (computed | own).items() if tag not in selecting}
    for tag, selection in selecting.items():
        faults += _misnamed(tag, selection, plain, selecting)
        own[tag] |= _selected(selection, plain)
    return {tag: tuple(sorted(names)) for tag, names in (computed | own).items()}, faults


def _declared(inventory: Inventory, names: Iterable[str], keys: Keys, faults: list[Fault]) -> set[str]:
    """Those of the machines at a key path that there are."""
    for index, name in enumerate(names):
        if name not in inventory.machines:
            hint = nearest(name, inventory.machines, what="machines")
            faults.append(Fault(f"there is no machine {shown(name)}", Where(keys=(*keys, index)), hint))
    return inventory.machines.keys() & names


def _selected(selection: Selection, plain: Mapping[str, set[str]]) -> set[str]:
    if not (selection.any or selection.all or selection.none):
        return set()
    nobody: set[str] = set()
    found = set(plain[ALL])
    if selection.any:
        found &= nobody.union(*(plain.get(tag, nobody) for tag in selection.any))
    for tag in selection.all:
        found &= plain.get(tag, nobody)
    for tag in selection.none:
        found -= plain.get(tag, nobody)
    return found


def _misnamed(
    tag: str, selection: Selection, plain: Mapping[str, set[str]], selecting: Mapping[str, Selection]
) -> Iterable[Fault]:
    """Tags that a selection cannot name, for they select themselves; and, as warnings, those that nobody has."""
    for key in ("any", "all", "none"):
        names: list[str] = getattr(selection, key)
        for index, name in enumerate(names):
            where = Where(keys=("tags", tag, key, index))
            if name in selecting:
                hint = f"name the tags that {shown(name)} selects by, or the machines"
                yield Fault(f"{shown(name)} selects machines itself; a selection names plain tags", where, hint)
            elif not plain.get(name):
                hint = nearest(name, (each for each, machines in plain.items() if machines), what="tags")
                yield Fault(f"no machine has the tag {name!r}", where, hint, warning=True)


def _computed(tag: str, keys: Keys) -> Fault:
    whose = "every machine has it" if tag == ALL else f"every machine of the class {shown(tag)} has it"
    return Fault(f"the tag {shown(tag)} is computed", Where(keys=keys), f"{whose} without being listed; remove it")
