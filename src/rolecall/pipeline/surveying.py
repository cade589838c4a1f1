"""How machines and services are now: asked of the machines while the inventory is evaluated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolecall.deploy.asking import ask_machines
from rolecall.deploy.early import EarlySessions
from rolecall.errors import Faults
from rolecall.model.plan import Damage
from rolecall.model.status import InterruptedRun, MachineStatus, ServiceReport, Status
from rolecall.pipeline.choosing import Choice, chosen_from
from rolecall.pipeline.connecting import written_targets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rolecall.deploy.asking import Asked
    from rolecall.errors import Fault
    from rolecall.evaluate.configure import Configured
    from rolecall.pipeline.evaluation import Members
    from rolecall.pipeline.workspace import Workspace
    from rolecall_agent import inquiry, protocol


def status(workspace: Workspace, choice: Choice) -> Status:
    """Return how the machines of a choice are. Nothing is generated, and nothing changes on them.

    Args:
        workspace: The project.
        choice: The machines.

    Raises:
        Faults: When the inventory cannot be read, or a part of the choice matches nothing.
    """
    loaded, faults = workspace.read()
    names = chosen_from(loaded, choice)
    with EarlySessions(written_targets(workspace, Choice(tuple(names)))) as early:
        from rolecall.pipeline.reaching import ways_as_declared

        found, configured, more = _declared(workspace)
        ways = ways_as_declared(workspace, loaded, names)
        targets = {name: [way.target for way in each.ways] for name, each in ways.items() if each.ways}
        asked = ask_machines(targets, lambda _, session: session.status(), early.take)
    machines = tuple(
        _machine_status(name, asked[name], configured.get(name))
        if name in asked
        else MachineStatus(name, problem=ways[name].faults[0].message)
        for name in names
    )
    roles, services = _roles(found, names) if found else (_roles_reported(machines), {})
    return Status(machines, roles, services, tuple(dict.fromkeys((*faults, *more))))


def _declared(workspace: Workspace) -> tuple[Members | None, Mapping[str, Configured], Sequence[Fault]]:
    """Return the members and the configurations, as far as an inventory with faults has them, and the faults."""
    try:
        found = workspace.members()
    except Faults as error:
        return None, {}, error.faults
    try:
        return found, workspace.stored_configurations(), ()
    except Faults as error:
        return found, {}, error.faults


def _roles(found: Members, names: Iterable[str]) -> tuple[dict[str, dict[str, tuple[str, ...]]], dict[str, str]]:
    """Return the machines of each role, of those that were asked, and the service of each instance."""
    asked = {*names}
    roles: dict[str, dict[str, tuple[str, ...]]] = {}
    for instance, members_by_role in found.membership.role_members.items():
        playing = {
            role: tuple(machine for machine in members.settings if machine in asked)
            for role, members in members_by_role.items()
        }
        if any(playing.values()):
            roles[instance] = playing
    services = found.membership.services
    return roles, {instance: services[instance].name for instance in roles}


def _roles_reported(machines: Iterable[MachineStatus]) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return the machines of each role that has checks or reports."""
    roles: dict[str, dict[str, tuple[str, ...]]] = {}
    for machine in machines:
        for instance, role in dict.fromkeys((report.instance, report.role) for report in machine.reports):
            at = roles.setdefault(instance, {})
            at[role] = (*at.get(role, ()), machine.machine)
    return roles


def _machine_status(name: str, asked: Asked[inquiry.Status], configured: Configured | None) -> MachineStatus:
    answer = asked.answer
    if answer is None:
        return MachineStatus(name, asked.target, asked.problem)
    current, interrupted = answer["current"], answer["interrupted"]
    return MachineStatus(
        name,
        asked.target,
        generation=current["number"] if current else 0,
        run=current["run"] if current else "",
        user=current["user"] if current else "",
        commit=current["commit"] if current else "",
        since=answer["since"],
        declared=_compared(configured, current["digest"] if current else ""),
        formerly=answer["machine"] if answer["machine"] not in {"", name} else "",
        drift=tuple((each["key"], each["reason"]) for each in answer["drift"]),
        more_drift=answer["more"],
        failed_units=tuple(answer["failed"]),
        reboot=None if answer["reboot"] is None else tuple(answer["reboot"]),
        interrupted=_interrupted(interrupted) if interrupted else None,
        locked=answer["locked"],
        reports=_reports(answer),
        problems=tuple(answer["problems"]),
    )


def _compared(configured: Configured | None, digest: str) -> str:
    if configured is None:
        return "unknown"
    wanted = configured.configuration
    same = digest == wanted.digest if digest else not wanted.resources
    return "same" if same and not configured.incomplete else "pending"


def _interrupted(found: protocol.Interrupted) -> InterruptedRun:
    meta, damage = found["meta"], tuple(Damage(**each) for each in found["damage"])
    return InterruptedRun(meta["run"], meta["user"], meta["at"], found["decided"], damage)


def _reports(answer: inquiry.Status) -> tuple[ServiceReport, ...]:
    checks = [(each["name"], "ok" if each["ok"] else "error", each["output"].strip(), "") for each in answer["checks"]]
    health = [(each["name"], each["level"], each["text"], each["at"]) for each in answer["health"]]
    reports = []
    for named, level, text, at in (*checks, *health):
        origin, _, name = named.partition(": ")
        instance, _, role = origin.partition(".")
        reports.append(ServiceReport(instance, role, name, level, text, at))
    return tuple(reports)
