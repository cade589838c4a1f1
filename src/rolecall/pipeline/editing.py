"""Read and change the inventory by command."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rolecall import files, inventory
from rolecall import vars as var_store
from rolecall.deploy import pins
from rolecall.deploy.target import find_target, pinned_keys
from rolecall.documents import as_text
from rolecall.errors import Fault, Faults, Where, fault, undotted
from rolecall.evaluate.memory import Memory
from rolecall.evaluate.merge import combined
from rolecall.pipeline.access import known_to
from rolecall.pipeline.evaluation import further_faults, members_of, note_recipes, registry_of
from rolecall.pipeline.vars import unwanted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rolecall.inventory.changes import Change
    from rolecall.inventory.edit import Edited
    from rolecall.model.inventory import Loaded
    from rolecall.pipeline.workspace import Workspace
    from rolecall.project import Project
    from rolecall.service.contract import Service
    from rolecall.vars import Bound


@dataclass(frozen=True, slots=True)
class Entry:
    """What an inventory says at one key path.

    Attributes:
        path: The key path.
        value: The value there, of all files together.
        digest: The digest of the inventory.
    """

    path: tuple[str | int, ...]
    value: Any
    digest: str


def get(workspace: Workspace, path: str) -> Entry:
    """Return what the inventory says at a dotted key path.

    Raises:
        Faults: When a file cannot be read, or the path does not exist.
    """
    from rolecall.inventory import edit

    keys = undotted(path)
    return Entry(keys, *edit.get(workspace.project, keys, combined))


def set_value(
    workspace: Workspace, path: str, text: str, *, string: bool = False, own: bool = False, expect: str = ""
) -> Edited:
    """Set the value at a dotted key path; as `edit`.

    Args:
        workspace: The project.
        path: The key path.
        text: The value in JSON, or else a text.
        string: Whether it is a text even if it is valid JSON.
        own: As for `edit`.
        expect: As for `edit`.

    Raises:
        Faults: As `edit`.
    """
    from rolecall.inventory.changes import Set
    from rolecall.inventory.notations.json_text import value

    return edit(workspace, [Set(undotted(path), text if string else value(text))], own=own, expect=expect)


def unset_value(workspace: Workspace, path: str, *, own: bool = False, expect: str = "") -> Edited:
    """Remove the value at a dotted key path; as `edit`.

    Raises:
        Faults: As `edit`.
    """
    from rolecall.inventory.changes import Unset

    return edit(workspace, [Unset(undotted(path))], own=own, expect=expect)


def edit(workspace: Workspace, changes: Sequence[Change], *, own: bool = False, expect: str = "") -> Edited:
    """Change the inventory; see `rolecall.inventory.edit`.

    Args:
        workspace: The project.
        changes: What to change.
        own: Whether to write the user's own file rather than `inventory.json`.
        expect: The digest that the inventory must have (see `get`); "" for any.

    Raises:
        Faults: When it has another digest, a change cannot be made there, or it would cause new faults. Nothing is
            written then.
    """
    from rolecall.inventory.edit import edit as edited

    _note_recipes(workspace)
    done = edited(
        workspace.project,
        lambda _: changes,
        own=own,
        expect=expect,
        judge=_judge(workspace.project),
        combine=combined,
    )
    workspace.refresh()
    return done


def convert(workspace: Workspace, notation: str, file: Path | None = None) -> tuple[str, tuple[Fault, ...]]:
    """Return the user's own inventory file in another notation, and warnings about what is lost.

    Args:
        workspace: The project.
        notation: The name of the notation.
        file: A new file to write the text to.

    Raises:
        Faults: When the inventory cannot be read, or has what the other notation cannot write; when the file exists.
    """
    from rolecall.inventory.convert import convert as converted

    text, warnings = converted(workspace.project, notation)
    if file:
        files.create(file, text)
    return text, warnings


def add_machine(workspace: Workspace, name: str, *, target_host: str | None = None, tags: Sequence[str] = ()) -> Edited:
    """Declare a machine in `inventory.json`.

    Raises:
        Faults: When the name is invalid or already declared, the target is invalid, or as `edit`.
    """
    from rolecall.inventory import machines

    values: dict[str, Any] = {"tags": list(tags)} if tags else {}
    if target_host is not None:
        found = find_target(workspace.project, name, target_host, None)
        if isinstance(found, Fault):
            raise Faults([found])
        values["deploy"] = {"targetHost": target_host}
    done = machines.add(workspace.project, name, values, _judge(workspace.project))
    workspace.refresh()
    return done


@dataclass(frozen=True, slots=True)
class RemovedMachine:
    """What became of the removal of a machine.

    Attributes:
        edited: The change of the inventory.
        known: The vars that the machine could read and that others still use.
        others: The vars that it could read and that nothing needs any more.
        kept: The stored vars that stay, since something would be lost with them.
        free: The stored vars that `rolecall vars prune` would remove.
    """

    edited: Edited
    known: tuple[str, ...]
    others: tuple[str, ...]
    kept: tuple[Bound, ...]
    free: tuple[str, ...]


def remove_machine(workspace: Workspace, name: str, *, own: bool = False) -> RemovedMachine:
    """Remove a machine from the inventory, wherever that names it.

    Args:
        workspace: The project.
        name: The machine's name.
        own: Whether the user's own file may be written too.

    Raises:
        Faults: When there is none, or as `edit`.
    """
    from rolecall.inventory import machines

    _note_recipes(workspace)
    edited = machines.remove(workspace.project, name, own=own, judge=_judge(workspace.project))
    workspace.refresh()
    recipes, keys = known_to(workspace, name)
    left = unwanted(workspace)
    return RemovedMachine(
        edited,
        tuple(str(recipe.key) for recipe in recipes),
        tuple(map(str, keys)),
        tuple(each for each in left.bound if each.key.machine == name or each.key in keys),
        tuple(str(key) for key in left.free if key.machine == name or key in keys),
    )


def rename_machine(workspace: Workspace, old: str, new: str) -> None:
    """Rename a machine, wherever the project names it: inventory, folder, vars and pinned host keys.

    When it is interrupted, no inventory is read until the same is done again and completes it.

    Raises:
        Faults: When that cannot be done; nothing has changed then.
    """
    from rolecall.inventory import machines

    project = workspace.project
    pinned = pinned_keys(project.known_hosts)
    if not project.renaming.exists() and (new in pinned or var_store.knows(project, new)):
        what = "vars" if var_store.knows(project, new) else "pinned host keys"
        hint = "they belong to a machine that had this name; choose another name, or remove them first: "
        hint += f"`rolecall vars prune`, `rolecall machines forget {new}`"
        raise fault(f"{what} of {new!r} already exist", hint=hint)
    known = old in pinned or var_store.knows(project, old)
    with machines.renaming(project, old, new, _judge(project), known=known):
        var_store.rename(project, old, new)
        pins.rename(project, old, new)
    workspace.refresh()


def forget_machine(workspace: Workspace, name: str) -> None:
    """Remove the pinned host keys of a machine that is no longer declared, so that plans stop warning about it.

    Raises:
        Faults: When it is declared, or has no pinned keys.
    """
    if name in workspace.loaded().inventory.machines:
        raise fault(f"machine {name!r} is declared", hint=f"run `rolecall machines remove {name}` first")
    pins.forget(workspace.project, name)


def _note_recipes(workspace: Workspace) -> None:
    """Note what stored vars bind before their recipes may go, as far as the inventory says it."""
    try:
        found = workspace.members()
    except Faults:
        return  # whoever changes the inventory reports what is wrong with it
    note_recipes(workspace.project, found)


def _judge(project: Project) -> Callable[[Loaded, Sequence[Fault]], list[Sequence[Fault]]]:
    """Return what finds the faults of an inventory: of its members, then, where there are none, what `check` finds."""
    memory = Memory()

    def judge(loaded: Loaded, faults: Sequence[Fault]) -> list[Sequence[Fault]]:
        try:
            found = members_of(project, loaded, faults, memory)
        except Faults as error:
            return [error.faults]
        return [(), [*further_faults(project, found), *found.warnings]]

    return judge


def schema(workspace: Workspace) -> tuple[str, tuple[Fault, ...]]:
    """Return the JSON Schema of the project's inventory, as text, and a warning for each module that does not load.

    Raises:
        Faults: When a file of the inventory cannot be read.
    """
    from rolecall.inventory.schema import schema as schema_of

    project, (loaded, _) = workspace.project, workspace.read()
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


def write_schema(workspace: Workspace) -> tuple[Path, tuple[Fault, ...]]:
    """Write the schema to where `rolecall init` tells editors to look for it; return the file and the warnings.

    Raises:
        Faults: As `schema`.
    """
    text, warnings = schema(workspace)
    files.replace(workspace.project.schema, text)
    return workspace.project.schema, warnings
