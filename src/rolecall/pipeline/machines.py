"""Add, remove, rename and forget machines by command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rolecall import vars as var_store
from rolecall.deploy import pins
from rolecall.deploy.target import find_target, pinned_keys
from rolecall.errors import Fault, Faults, fault
from rolecall.inventory import machines
from rolecall.pipeline.access import known_to
from rolecall.pipeline.judging import judge_of, note_bound
from rolecall.pipeline.vars import unwanted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolecall.inventory.edit import Edited
    from rolecall.pipeline.workspace import Workspace
    from rolecall.vars import Bound


def add_machine(workspace: Workspace, name: str, *, target_host: str | None = None, tags: Sequence[str] = ()) -> Edited:
    """Declare a machine in `inventory.json`.

    Raises:
        Faults: When the name is invalid or already declared, the target is invalid, or as `edit`.
    """
    values: dict[str, Any] = {"tags": list(tags)} if tags else {}
    if target_host is not None:
        found = find_target(workspace.project, name, target_host, None)
        if isinstance(found, Fault):
            raise Faults([found])
        values["deploy"] = {"targetHost": target_host}
    done = machines.add(workspace.project, name, values, judge_of(workspace.project))
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
    note_bound(workspace)
    edited = machines.remove(workspace.project, name, own=own, judge=judge_of(workspace.project))
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
    project = workspace.project
    pinned = pinned_keys(project.known_hosts)
    if not project.renaming.exists() and (new in pinned or var_store.knows(project, new)):
        what = "vars" if var_store.knows(project, new) else "pinned host keys"
        hint = "they belong to a machine that had this name; choose another name, or remove them first: "
        hint += f"`rolecall vars prune`, `rolecall machines forget {new}`"
        raise fault(f"{what} of {new!r} already exist", hint=hint)
    known = old in pinned or var_store.knows(project, old)
    with machines.renaming(project, old, new, judge_of(project), known=known):
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
