"""The JSON Schema of a project's inventory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rolecall import files, inventory
from rolecall.documents import as_text
from rolecall.errors import Fault, Faults, Where
from rolecall.evaluate.memory import Memory
from rolecall.inventory.schema import schema as schema_of
from rolecall.pipeline.evaluation import registry_of

if TYPE_CHECKING:
    from pathlib import Path

    from rolecall.pipeline.workspace import Workspace
    from rolecall.service.contract import Service


def schema(workspace: Workspace) -> tuple[str, tuple[Fault, ...]]:
    """Return the JSON Schema of the project's inventory, as text, and a warning for each module that does not load.

    Raises:
        Faults: When a file of the inventory cannot be read.
    """
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
