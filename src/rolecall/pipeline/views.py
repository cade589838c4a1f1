"""What a project says and offers, for who asks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticSerializationError

from rolecall import inventory
from rolecall.errors import Fault, Faults, Where, fault, nearest, undotted
from rolecall.evaluate.authors import WrongResultError, calling
from rolecall.evaluate.memory import Memory
from rolecall.pipeline.evaluation import (
    Members,
    evaluate_some,
    faults_located_in,
    members,
    registry_of,
)
from rolecall.project import Project
from rolecall.service.interfaces import Backups
from rolecall.service.models import declared_at
from rolecall.service.registry import Found, Registry
from rolecall.service.settings import SHOWN

if TYPE_CHECKING:
    from rolecall.deploy.target import Lab, Target
    from rolecall.evaluate.explain import Explanation
    from rolecall.model.exports import Exported


def services(project: Project | None) -> tuple[list[Found], list[Fault]]:
    """Every service that can be had, and the faults of those that cannot.

    Args:
        project: The project; None for what is there without one.
    """
    registry, named = _offered(project)
    found: list[Found] = []
    faults: list[Fault] = []
    for source in registry.inputs(named):
        for name in registry.names(source):
            try:
                found.append(registry.find(source, name))
            except Faults as error:  # of one module, which hides no other
                faults += error.faults
    return found, faults


def service(project: Project | None, source: str | None, name: str) -> Found:
    """One service.

    Args:
        project: As for `services`.
        source: Its input as ``module.input`` names it; None for the first that has it, the project's own before others.
        name: The module's name.

    Raises:
        Faults: When there is none, or it cannot be had.
    """
    registry, named = _offered(project)
    if source:
        return registry.find(source, name)
    offered = {each: registry.names(each) for each in registry.inputs(named)}
    for each, names in offered.items():
        if name in names:
            return registry.find(each, name)
    known = (name for names in offered.values() for name in names)
    raise fault(f"service {name!r} does not exist", hint=nearest(name, known, what="services"))


def _offered(project: Project | None) -> tuple[Registry, list[str | None]]:
    """Where services are found, and the inputs that the inventory names, as far as it can be read."""
    if project is None:
        return Registry(Path(os.devnull)), []
    try:
        loaded, _ = inventory.read(project)
    except Faults:
        return Registry(project.modules), []
    return registry_of(project, loaded, Memory()), [each.module.input for each in loaded.inventory.instances.values()]


def explain(project: Project, subject: str) -> Explanation:
    """Where what the inventory says of a machine, a role or a member's settings comes from.

    Args:
        project: The project.
        subject: ``machines.M``, ``INSTANCE``, ``INSTANCE.ROLE``, or ``INSTANCE.ROLE.MACHINE`` with a key path below.

    Raises:
        Faults: As `members`; also when there is no such thing.
    """
    from rolecall.evaluate.explain import explanation  # noqa: PLC0415 - one command alone needs it

    found = members(project)

    def locate(where: Where) -> Where:
        return inventory.locate(Fault("", where), found.loaded.sources).where or where

    return explanation(found.loaded, found.membership, undotted(subject), locate)


def clan_note(project: Project, found: Members | None = None) -> str:
    """What was taken from the Clan that a project is, and what was not; "" where it is none."""
    from rolecall.inventory.clan import note  # noqa: PLC0415 - one command asks

    return note(project, found.loaded.sources if found else ())


def machine_names(root: Path) -> list[str]:
    """The machines of the inventory, sorted."""
    return sorted(inventory.load(Project(root)).inventory.machines)


def target(project: Project, machine: str, lab: Lab | None) -> Target:
    """How a machine is reached.

    Raises:
        Faults: When it is not declared, or it is not said.
    """
    from rolecall.deploy.target import find_target  # noqa: PLC0415 - few commands reach a machine

    loaded = inventory.load(project)
    declared = loaded.inventory.machines.get(machine)
    if declared is None:
        hint = nearest(machine, loaded.inventory.machines, what="machines")
        raise fault(f"machine {machine!r} does not exist", hint=hint)
    found = find_target(project, machine, declared.deploy.target_host, lab)
    with faults_located_in(loaded):
        if isinstance(found, Fault):
            raise Faults([found])
    return found


def backups(project: Project, lab: Lab | None, machine: str) -> list[Exported[Backups]]:
    """How a machine's backups are made, listed and restored: one entry per instance and target.

    Raises:
        Faults: When nothing backs the machine up.
    """
    evaluation = evaluate_some(project, lab, [machine])
    found = [export for export in evaluation.world.exports.get(Backups, ()) if export.machine == machine]
    if not found:
        raise fault(
            f"nothing backs {machine} up", hint="give it a role in an instance of a backup service, then update"
        )
    return found


def as_json(found: Members) -> dict[str, Any]:
    """The documented form of ``rolecall show --json`` (docs/reference/json.md)."""
    loaded = found.loaded
    tags: dict[str, list[str]] = {name: [] for name in loaded.inventory.machines}
    for tag, names in loaded.tags.items():
        for name in names:
            tags[name].append(tag)
    machines = {}
    for name, machine in sorted(loaded.inventory.machines.items()):
        declared = machine.model_dump(mode="json", by_alias=True, exclude={"tags"})
        machines[name] = {"tags": sorted(tags[name]), **declared}
    dumped: dict[int, Any] = {}
    members_by_instance = {}
    for instance, roles in found.membership.role_members.items():
        with (
            faults_located_in(loaded),
            calling(found.membership.services[instance], f"the settings of {instance}", instance),
        ):
            members_by_instance[instance] = {
                role: {
                    name: dumped.get(id(settings)) or dumped.setdefault(id(settings), _dump(settings))
                    for name, settings in members.settings.items()
                }
                for role, members in roles.items()
            }
    return {
        "machines": machines,
        "members": members_by_instance,
        "warnings": [warning.as_json() for warning in (*found.warnings, *found.membership.unfit)],
    }


def _dump(settings: Any) -> object:  # noqa: ANN401 - any role's model
    try:
        return settings.model_dump(mode="json", by_alias=True, context=SHOWN)
    except PydanticSerializationError as error:  # which knows no line
        model = type(settings)
        raise WrongResultError(f"cannot be written as JSON: {error}", model, declared_at(model)) from None
