"""The comparison of a machine with a configuration: the changes, and the units and actions that follow from them.

`compare` is used both for the plan that a person sees and for the switch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Iterable, List, Mapping, Sequence

from rolecall_agent import showing
from rolecall_agent.errors import Failure
from rolecall_agent.originals import note_on_owner
from rolecall_agent.places import collisions
from rolecall_agent.resources import transaction
from rolecall_agent.unit_types import have_unit_files, refresh, taken_along
from rolecall_agent.work import Surroundings, Work

if TYPE_CHECKING:
    from rolecall_agent.configuration import Configuration, Named
    from rolecall_agent.protocol import Change, Drift
    from rolecall_agent.resources import Resource
    from rolecall_agent.store import Store
    from rolecall_agent.system import System


def drift(system: System, store: Store, configuration: Configuration) -> List[Drift]:
    """Return how the machine differs from the configuration of its current generation."""
    _announce(system, configuration)
    reasons = ((resource.key, resource.reason_to_change(system, store)) for resource in configuration.resources)
    return [{"key": key, "reason": reason} for key, reason in reasons if reason]


def compare(system: System, store: Store, old: Configuration, new: Configuration) -> Work:
    """Return what makes a machine match the new configuration.

    Args:
        system: The machine.
        store: Its state directory.
        old: What was declared for it last.
        new: What it must have.

    Raises:
        Failure: When something on the machine is in the way of a change.
    """
    system.units.renew()
    _announce(system, old)
    _announce(system, new)
    before: Dict[str, Resource] = {resource.key: resource for resource in old.resources}
    undeclared = dict(before)
    work = Work()
    for resource in new.resources:
        change = resource.change_from(undeclared.pop(resource.key, None), system, store)
        if change:
            detail = "; ".join(filter(None, (change[1], resource.note(system))))
            work.changes.append({"key": resource.key, "action": change[0], "detail": detail})
    changed = work.changed
    removed = list(undeclared.values())
    _refuse_obstacles(system, new, work, removed)
    ending = {path for resource in removed for path in resource.paths_on(system)}
    for resource in removed:
        original = store.originals.get(resource.key, {})
        stays = resource.removal_note(original, ending, system)
        note = "; ".join(filter(None, (stays, note_on_owner(original, system))))
        if lost := store.lost_content(original):
            work.lost.append(resource.key)
            note = f"it stays as it is: {lost}, which was there before, is damaged"
        work.changes.append({"key": resource.key, "action": "remove", "detail": note})
    work.shown = _shown(system, store, work, before, new)
    removed = [resource for resource in removed if resource.key not in work.lost]
    work.remove = [resource.key for resource in reversed(removed)]
    work.changes += _command_changes("check", old.checks, new.checks)
    work.changes += _command_changes("health", old.health, new.health)
    transaction.preview(system, store, work, new)
    both = (*old.resources, *new.resources)
    touched = [item for item in both if item.key in changed | undeclared.keys()]
    restarted = {name for item in touched for name in item.units}
    work.units_changed = have_unit_files(touched, system)
    declared = {item.key for item in both}
    around = Surroundings(system, store, work, changed, undeclared.keys(), restarted, declared)
    for resource in new.resources:
        resource.plan(before.get(resource.key), around)
    for resource in reversed(removed):
        resource.plan_removal(around)
    others = sorted(name for name in restarted if f"unit:{name}" not in declared)
    refresh(work, system.units, others, declared)
    _pause_services_of_sockets(work, system)
    _restart_what_stops_for_accounts(work)
    _name_what_is_taken_along(work, system)
    return work


def _shown(
    system: System, store: Store, work: Work, before: Mapping[str, Resource], new: Configuration
) -> Dict[str, str]:
    """Return a digest of what is shown of each content that is replaced, so that the switch replaces no other."""
    after = {resource.key: resource for resource in new.resources}
    keys = [change["key"] for change in work.changes if change["action"] not in {"create", "adopt"}]
    contents = {key: showing.before(system, store, before.get(key), after.get(key)) for key in keys}
    return {key: showing.digest(content) for key, content in contents.items() if content}


def _pause_services_of_sockets(work: Work, system: System) -> None:
    for socket in [name for name in (*work.restart, *work.refresh) if name.endswith(".socket")]:
        work.pause += [name for name in system.units.state(socket).triggers if system.units.state(name).active]
    work.restart += sorted({*work.pause} - {*work.restart, *work.refresh, *work.stop})


def _restart_what_stops_for_accounts(work: Work) -> None:
    work.refresh = [name for name in work.refresh if name not in work.hold]  # it would not run by then
    work.restart += sorted({*work.hold} - {*work.restart, *work.start, *work.revive, *work.stop})


def _name_what_is_taken_along(work: Work, system: System) -> None:
    units = {*work.stop, *work.restart, *work.refresh}
    for name in sorted(units):
        if system.units.state(name).active:
            others = taken_along(system.units, name, stops=name in {*work.stop, *work.pause, *work.hold})
            if left := [other for other in others if other not in units]:
                work.along[name] = left


def _refuse_obstacles(system: System, new: Configuration, work: Work, removed: Sequence[Resource]) -> None:
    changed = work.changed
    there = [item for item in removed if any(system.stat(path) for path in item.paths_on(system))]
    due = [*(item for item in new.resources if item.key in changed), *there]
    obstacles = [f"{item.key}: {obstacle}" for item in due if (obstacle := item.obstacle(system))]
    obstacles += _changes_of_kind(system, (item for item in new.resources if item.key in changed), removed)
    obstacles += collisions(system, new.resources, work.listed, removed)
    brought = any(key.startswith(("package:", "kernel-module:")) for key in changed)  # which may bring anything
    if system.boots and not brought:
        applied = (item for item in new.resources if item.key in changed)
        obstacles += [f"{item.key}: {lack}" for item in applied if (lack := item.lacks(system))]
    if obstacles:
        raise Failure(obstacles[0], "\n".join(obstacles[1:]))


def _changes_of_kind(system: System, applied: Iterable[Resource], removed: Iterable[Resource]) -> List[str]:
    """Return why resources cannot be applied: one of another kind is removed at the same path, with what it keeps."""
    ends = {path: item for item in removed for path in item.paths_on(system)}
    return [
        f"{item.key}: {path} was {ended.key} so far; undeclare that in an update of its own first"
        for item in applied
        for path in item.paths_on(system)
        if (ended := ends.get(path)) and ended.kind != item.kind
    ]


def _command_changes(kind: str, old: Sequence[Named], new: Sequence[Named]) -> List[Change]:
    """Return checks or reports that differ: they change nothing on the machine, but make a new generation necessary."""
    before: Dict[str, Named] = {each.name: each for each in old}
    after: Dict[str, Named] = {each.name: each for each in new}
    return [
        {
            "key": f"{kind}:{name}",
            "action": "create" if name not in before else "change" if name in after else "remove",
            "detail": " ".join(after[name].argv) if name in after else "",
        }
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


def _announce(system: System, configuration: Configuration) -> None:
    for resource in configuration.resources:
        resource.announce(system)
