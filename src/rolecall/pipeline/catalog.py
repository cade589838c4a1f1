"""The services that a project can use, and what they declare."""

from __future__ import annotations

import os
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from rolecall.errors import Faults, fault, nearest, plural
from rolecall.model.generators import prompts_of
from rolecall.pipeline.evaluation import registry_of
from rolecall.service import describe
from rolecall.service.registry import Found, Registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolecall.errors import Fault
    from rolecall.model.exports import Interface
    from rolecall.pipeline.workspace import Workspace
    from rolecall.service.contract import Role
    from rolecall.service.handles import Need
    from rolecall.service.settings import Settings


def services(workspace: Workspace | None) -> tuple[list[Found], list[Fault]]:
    """Return every service that can be used, and the faults of those that cannot.

    Args:
        workspace: The project; None for what is there without one.
    """
    registry, named = _offered(workspace)
    found: list[Found] = []
    faults: list[Fault] = []
    for source in registry.inputs(named):
        for name in registry.names(source):
            try:
                found.append(registry.find(source, name))
            except Faults as error:  # of one module, which hides no other
                faults += error.faults
    return found, faults


def service(workspace: Workspace | None, source: str | None, name: str) -> Found:
    """Return one service.

    Args:
        workspace: As for `services`.
        source: Its input as ``module.input`` names it; None for the first that has it, the project's own before others.
        name: The module's name.

    Raises:
        Faults: When it does not exist, or cannot be loaded.
    """
    registry, named = _offered(workspace)
    if source:
        return registry.find(source, name)
    offered = {each: registry.names(each) for each in registry.inputs(named)}
    for each, names in offered.items():
        if name in names:
            return registry.find(each, name)
    known = (name for names in offered.values() for name in names)
    raise fault(f"service {name!r} does not exist", hint=nearest(name, known, what="services"))


def _offered(workspace: Workspace | None) -> tuple[Registry, list[str | None]]:
    """Return where services are found, and the inputs that the inventory names, as far as it can be read."""
    if workspace is None:
        return Registry(Path(os.devnull)), []
    try:
        loaded, _ = workspace.read()
    except Faults:
        return Registry(workspace.project.modules), []
    inputs = [each.module.input for each in loaded.inventory.instances.values()]
    return registry_of(workspace.project, loaded, workspace.memory), inputs


def service_document(found: Found) -> dict[str, Any]:
    """Return what a service declares: the documented form of ``rolecall services show --json``."""
    return {**describe.as_json(found.service), "input": found.source, "distribution": found.distribution}


def service_text(found: Found) -> str:
    """Return what a service declares, as text."""
    service, most = found.service, found.service.maximum_instances
    origin = "the project's own" if found.source == found.distribution else f"from {found.distribution}"
    limit = "" if most is None else f"; at most {plural(most, 'instance')}"
    lines = [f"{service.name}: {service.description}", f"{origin}{limit}"]
    for role in service.roles.values():
        lines += ["", *_role_lines(role)]
    return "\n".join(lines)


def _role_lines(role: Role[Any]) -> Iterator[str]:
    yield f"role {role.name} ({describe.machines(role)}): {role.description}"
    if role.excluded:
        yield f"  excludes the role {' and '.join(sorted(role.excluded))} on the same machine"
    yield from _field_lines(role.settings)
    for var in role.vars.values():
        files = ", ".join(f"{file.name} ({'secret' if file.secret else 'public'})" for file in var.generator.files)
        yield f"  makes {var.name}: {'; '.join([files + _needs_text(var.needs), *describe.traits(var)])}"
        yield from (f"    asks {prompt.name}: {prompt.description}" for prompt in prompts_of(var.generator))
    for publisher in role.publishers:
        name, meaning = describe.interface_name(publisher.interface), describe.meaning(publisher.interface)
        yield f"  exports {name}{_needs_text(publisher.needs)}{meaning and f': {meaning}'}"
        yield from (f"  {line}" for line in _field_lines(publisher.interface))


def _field_lines(model: type[Settings | Interface]) -> Iterator[str]:
    for entry in describe.entries(model):
        yield f"  {entry.name}: {entry.summary}"
        yield from wrap(entry.description, 100, initial_indent=" " * 6, subsequent_indent=" " * 6)


def _needs_text(needs: tuple[Need, ...]) -> str:
    return f"; reads {', '.join(describe.named(needs))}" if needs else ""
