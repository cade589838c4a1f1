"""Rename instances by command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolecall import vars as var_store
from rolecall.errors import fault
from rolecall.inventory import instances
from rolecall.pipeline.judging import judge_of

if TYPE_CHECKING:
    from rolecall.errors import Fault
    from rolecall.pipeline.workspace import Workspace


def rename_instance(workspace: Workspace, old: str, new: str) -> tuple[Fault, ...]:
    """Rename an instance in the inventory, with its vars. It keeps its data where a service uses `Member.data_name`.

    When it is interrupted, no inventory is read until the same is done again and completes it.

    Returns:
        Warnings about settings that may mean the instance, and have its old name still.

    Raises:
        Faults: When that cannot be done; nothing has changed then.
    """
    project = workspace.project
    spared = instances.spared_by(project)
    if spared is None:
        spared = _names_of_machines_vars(workspace)
        both = {old, new} <= workspace.loaded().inventory.instances.keys()  # which `renaming` refuses
        if not both and (taken := var_store.of_instance(project, new, spared)):
            hint = "they belong to an instance that had this name; choose another name, or run `rolecall vars prune`"
            raise fault(f"vars of {new!r} already exist: {', '.join(map(str, taken))}", hint=hint)
    known = bool(var_store.of_instance(project, old, spared))
    with instances.renaming(project, old, new, judge_of(project), known=known, spared=spared) as warnings:
        var_store.rename_instance(project, old, new, spared)
    workspace.refresh()
    return warnings


def _names_of_machines_vars(workspace: Workspace) -> list[str]:
    """Return the names of vars that begin with the name of a service, not of an instance."""
    services = workspace.members().membership.services.values()
    return sorted(
        {
            var.key("", "").name
            for service in services
            for role in service.roles.values()
            for var in role.vars.values()
            if var.scope == "machine"
        }
    )
