"""Names that differ only in case, which host names and some file systems do not tell apart; data of two instances."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolecall.errors import Fault, Where

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolecall.inventory.data import Keys
    from rolecall.model.inventory import Inventory


def alike(inventory: Inventory) -> Iterator[Fault]:
    """Yield a fault for each name that also exists in another spelling."""
    first: dict[tuple[str, str], str] = {}
    reported: set[tuple[str, str]] = set()
    for what, name, keys in _names(inventory):
        other = first.setdefault((what, name.lower()), name)
        if other != name and (what, name) not in reported:
            reported.add((what, name))
            message = f"the {what} {other!r} and {name!r} differ only in case"
            yield Fault(message, Where(keys=keys), "rename one of them; if they are the same, use one spelling")


def sharing_data(inventory: Inventory) -> Iterator[Fault]:
    """Yield a fault for each instance that keeps data under the name under which another one does."""
    keepers = {name: name for name, instance in inventory.instances.items() if instance.data_name is None}
    for name, instance in inventory.instances.items():
        if instance.data_name is not None:
            other = keepers.setdefault(instance.data_name, name)
            if other != name:
                message = f"the instances {other!r} and {name!r} both keep data under {instance.data_name!r}"
                hint = "rename the new one, or remove `dataName` to keep data under its own name"
                yield Fault(message, Where(keys=("instances", name, "dataName")), hint)


def _names(inventory: Inventory) -> Iterator[tuple[str, str, Keys]]:
    """Yield each name, what it names, and a place where it stands."""
    for name in inventory.machines:
        yield "machines", name, ("machines", name)
    for name in inventory.instances:
        yield "instances", name, ("instances", name)
    for name in inventory.vars:
        yield "vars", name, ("vars", name)
    yield "tags", "all", ()
    for name, machine in inventory.machines.items():
        yield "tags", machine.machine_class, ("machines", name, "machineClass")
    for tag in inventory.tags:
        yield "tags", tag, ("tags", tag)
    for name, machine in inventory.machines.items():
        for index, tag in enumerate(machine.tags):
            yield "tags", tag, ("machines", name, "tags", index)
