"""The machines of each tag: by their `tags`, by `tags.T` lists, computed, or selected by a `tags.T` table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rolecall.errors import Fault, Where, nearest, plural
from rolecall.inventory.data import shown
from rolecall.model.inventory import Selection

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rolecall.inventory.data import Keys
    from rolecall.model.inventory import Inventory

ALL: Final = "all"
_LINUX: Final = "linux"
_NIXOS: Final = "nixos"  # what Clan calls that class


def members(inventory: Inventory) -> tuple[Mapping[str, tuple[str, ...]], list[Fault]]:
    """Return every tag with its machines, sorted, and faults and warnings about the tags.

    ``all`` is every machine, and each machine class is a tag of its machines. Clan's class ``nixos`` is another name
    for ``linux``: if an inventory names it, both are tags of all machines of either class.
    """
    faults: list[Fault] = []
    computed = _classes(inventory)
    listed: list[tuple[str, Keys]] = []  # computed tags that are listed without need
    declared: dict[str, set[str]] = {}
    selecting: dict[str, Selection] = {}
    for tag, value in inventory.tags.items():
        if tag in computed:
            if isinstance(value, list) and computed[tag] == set(value):
                listed.append((tag, ("tags", tag)))
            else:
                faults.append(_computed_fault(tag, ("tags", tag)))
            continue
        if isinstance(value, Selection):
            selecting[tag] = value
            declared[tag] = _existing(inventory, value.machines, ("tags", tag, "machines"), faults)
        else:
            declared[tag] = _existing(inventory, value, ("tags", tag), faults)
    for name, tag, keys in _listed(inventory):
        if tag not in computed:
            declared.setdefault(tag, set()).add(name)
        elif name in computed[tag]:
            listed.append((tag, keys))
        else:
            faults.append(_computed_fault(tag, keys))
    faults += _redundant(listed)
    plain = {tag: names for tag, names in (computed | declared).items() if tag not in selecting}
    for tag, selection in selecting.items():
        faults += _misnamed(tag, selection, plain, selecting)
        declared[tag] |= _selected(selection, plain)
    return {tag: tuple(sorted(names)) for tag, names in (computed | declared).items()}, faults


def _classes(inventory: Inventory) -> dict[str, set[str]]:
    """Return the computed tags with their machines."""
    computed: dict[str, set[str]] = {ALL: set(inventory.machines)}
    for name, machine in inventory.machines.items():
        computed.setdefault(machine.machine_class, set()).add(name)
    if _NIXOS in _named(inventory) and (either := {*computed.get(_LINUX, ()), *computed.get(_NIXOS, ())}):
        computed |= {_LINUX: either, _NIXOS: either}
    return computed


def _listed(inventory: Inventory) -> Iterable[tuple[str, str, Keys]]:
    """Yield each tag in the `tags` of a machine: the machine, the tag, and its key path."""
    for name, machine in inventory.machines.items():
        for index, tag in enumerate(machine.tags):
            yield name, tag, ("machines", name, "tags", index)


def _existing(inventory: Inventory, names: Iterable[str], keys: Keys, faults: list[Fault]) -> set[str]:
    """Return those of the machines at a key path that exist."""
    for index, name in enumerate(names):
        if name not in inventory.machines:
            hint = nearest(name, inventory.machines, what="machines")
            faults.append(Fault(f"machine {shown(name)} does not exist", Where(keys=(*keys, index)), hint))
    return inventory.machines.keys() & names


def _selected(selection: Selection, plain: Mapping[str, set[str]]) -> set[str]:
    if not (selection.any or selection.all or selection.none):
        return set()
    no_machines: set[str] = set()
    selected = set(plain[ALL])
    if selection.any:
        selected &= no_machines.union(*(plain.get(tag, no_machines) for tag in selection.any))
    for tag in selection.all:
        selected &= plain.get(tag, no_machines)
    for tag in selection.none:
        selected -= plain.get(tag, no_machines)
    return selected


def _misnamed(
    tag: str, selection: Selection, plain: Mapping[str, set[str]], selecting: Mapping[str, Selection]
) -> Iterable[Fault]:
    """Yield a fault for each selection that a selection uses, and a warning for each tag without machines."""
    for key in ("any", "all", "none"):
        names: list[str] = getattr(selection, key)
        for index, name in enumerate(names):
            where = Where(keys=("tags", tag, key, index))
            if name in selecting:
                hint = f"name the tags of {shown(name)} instead, or its machines"
                yield Fault(f"a selection cannot use {shown(name)}, because that is a selection too", where, hint)
            elif not plain.get(name):
                hint = nearest(name, (each for each, machines in plain.items() if machines), what="tags")
                yield Fault(f"no machine has the tag {name!r}", where, hint, warning=True)


def _named(inventory: Inventory) -> set[str]:
    """Return all tags and machine classes that an inventory names."""
    names = set(inventory.tags)
    for machine in inventory.machines.values():
        names |= {machine.machine_class, *machine.tags}
    for value in inventory.tags.values():
        if isinstance(value, Selection):
            names |= {*value.any, *value.all, *value.none}
    return names.union(*(role.tags for instance in inventory.instances.values() for role in instance.roles.values()))


def _redundant(listed: Sequence[tuple[str, Keys]]) -> Iterable[Fault]:
    """Yield one warning for each computed tag that is also listed."""
    for tag in dict.fromkeys(tag for tag, _ in listed):
        places = [keys for each, keys in listed if each == tag]
        more = f" (also in {plural(len(places) - 1, 'other place')})" if len(places) > 1 else ""
        message = f"the tag {shown(tag)} is computed, so listing it has no effect{more}"
        yield Fault(message, Where(keys=places[0]), f"remove it: {_holders(tag)} already", warning=True)


def _computed_fault(tag: str, keys: Keys) -> Fault:
    return Fault(f"the tag {shown(tag)} is computed and cannot be set", Where(keys=keys), f"remove it: {_holders(tag)}")


def _holders(tag: str) -> str:
    if tag == _NIXOS:
        return f"every machine of the class {shown(_LINUX)} has it"
    return "every machine has it" if tag == ALL else f"every machine of the class {shown(tag)} has it"
