"""Queries that change nothing: services, explanations, members."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticSerializationError

from rolecall import inventory
from rolecall.errors import Fault, Faults, Where, undotted
from rolecall.evaluate.authors import WrongResultError, calling
from rolecall.pipeline.evaluation import Members, faults_located_in
from rolecall.service.models import declared_at
from rolecall.service.settings import SHOWN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolecall.evaluate.explain import Explanation
    from rolecall.pipeline.workspace import Workspace


def explain(workspace: Workspace, subject: str) -> Explanation:
    """Explain where what the inventory says of a machine, a role or a member's settings comes from.

    Args:
        workspace: The project.
        subject: ``machines.M``, ``INSTANCE``, ``INSTANCE.ROLE``, or ``INSTANCE.ROLE.MACHINE`` with a key path below.

    Raises:
        Faults: As `Workspace.members`; also when the subject does not exist.
    """
    from rolecall.evaluate.explain import PeerAddress, explanation

    found = workspace.members()

    def locate(where: Where) -> Where:
        return inventory.locate(Fault("", where), found.loaded.sources).where or where

    explained = explanation(found.loaded, found.membership, undotted(subject), locate)
    if not explained.tags:  # no machine
        return explained
    host = workspace.hosts()[str(explained.subject[1])]
    address = PeerAddress(host.address, host.problem, locate(Where(keys=host.declared_at)))
    return replace(explained, address=address)


def clan_note(workspace: Workspace) -> str:
    """Return what was read of the Clan that a project is, and what was not; "" for other projects."""
    from rolecall.inventory.clan import note

    try:
        sources = workspace.read()[0].sources
    except Faults:
        sources = ()
    return note(workspace.project, sources)


def subjects(workspace: Workspace) -> Iterator[str]:
    """Yield what can be explained: machines, instances, roles and members.

    Raises:
        Faults: As `Workspace.members`.
    """
    found = workspace.members()
    for machine in found.loaded.inventory.machines:
        yield f"machines.{machine}"
    for instance, roles in found.membership.role_members.items():
        yield instance
        for role, members in roles.items():
            yield f"{instance}.{role}"
            yield from (f"{instance}.{role}.{machine}" for machine in members.settings)


def as_json(found: Members) -> dict[str, Any]:
    """Return the documented form of ``rolecall show --json`` (docs/reference/json.md)."""
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
