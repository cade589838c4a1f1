"""Changes of the inventory by command."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rolecall import files, inventory
from rolecall import vars as var_store
from rolecall.deploy import pins
from rolecall.deploy.target import pinned_keys
from rolecall.documents import as_text
from rolecall.errors import Fault, Faults, Where, fault
from rolecall.evaluate.memory import Memory
from rolecall.pipeline.evaluation import (
    further_faults,
    members_of,
    note_recipes,
    registry_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rolecall.inventory.changes import Change
    from rolecall.inventory.edit import Edited
    from rolecall.model.inventory import Loaded
    from rolecall.project import Project
    from rolecall.service.contract import Service


def edit(project: Project, changes: Sequence[Change], *, own: bool = False, expect: str = "") -> Edited:
    """Changes the inventory; see `rolecall.inventory.edit`.

    Args:
        project: The project.
        changes: What to change.
        own: Whether to write the person's own file rather than `inventory.json`.
        expect: The digest that the inventory must have (`rolecall.inventory.edit.get` tells it); "" for any.

    Raises:
        Faults: When it has another one, a change cannot be made there, or the inventory would have faults that it has
            not now. Nothing is written then.
    """
    from rolecall.inventory.edit import edit as edited  # noqa: PLC0415 - few commands write

    _note_recipes(project)
    return edited(project, lambda _: changes, own=own, expect=expect, judge=_judge(project))


def add_machine(project: Project, name: str, values: Mapping[str, Any]) -> Edited:
    """Declares a machine in `inventory.json`.

    Raises:
        Faults: When the name is none or declared already, or as `edit`.
    """
    from rolecall.inventory import machines  # noqa: PLC0415 - few commands write

    return machines.add(project, name, values, _judge(project))


def remove_machine(project: Project, name: str, *, own: bool = False) -> Edited:
    """Takes a machine out of the inventory, wherever that names it.

    Args:
        project: The project.
        name: The machine's name.
        own: Whether the person's own file may be written too.

    Raises:
        Faults: When there is none, or as `edit`.
    """
    from rolecall.inventory import machines  # noqa: PLC0415 - few commands write

    _note_recipes(project)
    return machines.remove(project, name, own=own, judge=_judge(project))


def rename_machine(project: Project, old: str, new: str) -> None:
    """Gives a machine another name, wherever the project knows it by its name: inventory, folder, vars and pins.

    When it is interrupted, no inventory is read until the same is done again and completes it.

    Raises:
        Faults: When that cannot be done; nothing has changed then.
    """
    from rolecall.inventory import machines  # noqa: PLC0415 - few commands write

    pinned = pinned_keys(project.known_hosts)
    if not project.renaming.exists() and (new in pinned or var_store.knows(project, new)):
        what = "vars" if var_store.knows(project, new) else "pinned host keys"
        hint = "they are of a machine that had that name; choose another one, or remove them first: "
        hint += f"`rolecall vars prune`, `rolecall machines forget {new}`"
        raise fault(f"there are {what} of {new!r} already", hint=hint)
    known = old in pinned or var_store.knows(project, old)
    with machines.renaming(project, old, new, _judge(project), known=known):
        var_store.rename(project, old, new)
        pins.rename(project, old, new)


def forget_machine(project: Project, name: str) -> None:
    """Lets go of a machine that is no longer declared: its pinned host keys go, and with them the word of it in plans.

    Raises:
        Faults: When it is declared, or no keys of it are pinned.
    """
    if name in inventory.load(project).inventory.machines:
        raise fault(f"the machine {name!r} is declared", hint=f"`rolecall machines remove {name}` comes first")
    pins.forget(project, name)


def _note_recipes(project: Project) -> None:
    """Notes what stored vars bind before their recipes may go, as far as the inventory tells it."""
    try:
        found = members_of(project, *inventory.read(project), Memory())
    except Faults:
        return  # what is wrong with it is told by whoever changes it
    note_recipes(project, found)


def _judge(project: Project) -> Callable[[Loaded, Sequence[Fault]], list[Sequence[Fault]]]:
    """All faults of an inventory: first of its members, then, where there are none, what `check` finds and warns of."""
    memory = Memory()

    def judge(loaded: Loaded, faults: Sequence[Fault]) -> list[Sequence[Fault]]:
        try:
            found = members_of(project, loaded, faults, memory)
        except Faults as error:
            return [error.faults]
        return [(), [*further_faults(project, found), *found.warnings]]

    return judge


def schema(project: Project) -> tuple[str, tuple[Fault, ...]]:
    """The JSON Schema of the project's inventory, as text, and a warning for each module that does not load.

    Raises:
        Faults: When a file of the inventory cannot be read.
    """
    from rolecall.inventory.schema import schema as schema_of  # noqa: PLC0415 - as above

    loaded, _ = inventory.read(project)
    registry = registry_of(project, loaded, Memory())
    # Where each module is named first; None for those that no instance names.
    named: dict[tuple[str | None, str], Where | None] = {}
    used = {}
    for name, instance in loaded.inventory.instances.items():
        used[name] = (instance.module.input, instance.module.name or name)
        named.setdefault(used[name], Where(keys=("instances", name, "module")))
    for source in (None, "self"):
        named |= {(source, name): named.get((source, name)) for name in registry.names(source)}
    found: dict[tuple[str | None, str], Service] = {}
    warnings: list[Fault] = []
    for (source, name), where in named.items():
        try:
            found[source, name] = registry.find(source, name, where or Where(project.modules)).service
        except Faults as error:
            warnings += [replace(fault, warning=True) for fault in error.faults]
    services = {name: found[module] for name, module in used.items() if module in found}
    modules = {(source, name): service for (source, name), service in found.items() if source in {None, "self"}}
    located = tuple(inventory.locate(warning, loaded.sources) for warning in warnings)
    return as_text(schema_of(loaded, services, modules)) + "\n", located


def write_schema(project: Project) -> tuple[Fault, ...]:
    """Writes the schema to where `rolecall init` tells editors of it; the warnings.

    Raises:
        Faults: As `schema`.
    """
    text, warnings = schema(project)
    files.replace(project.schema, text)
    return warnings
