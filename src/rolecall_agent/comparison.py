"""The comparison of a machine with a configuration: the changes, and the units and actions that follow from them.

`compare` is used both for the plan that a person sees and for the switch.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, AbstractSet, Callable, Dict, FrozenSet, Iterable, List, Optional, Set

from rolecall_agent.resources import Action, File, Package, Resource, Unit
from rolecall_agent.resources.placing import ABSENT

if TYPE_CHECKING:
    from rolecall_agent.configuration import Configuration
    from rolecall_agent.protocol import Change, Drift, Restart
    from rolecall_agent.store import Store
    from rolecall_agent.system import System, UnitState


@dataclass(frozen=True)
class ToUndo:
    """What a switch may have done to units and actions before it is undone.

    Attributes:
        units: Names of units that it may have started, restarted or reloaded.
        actions: Keys of actions that it may have run.
        ran: Names of units that were running before it, whether declared so or not.
    """

    units: FrozenSet[str] = frozenset()
    actions: FrozenSet[str] = frozenset()
    ran: FrozenSet[str] = frozenset()


@dataclass
class Work:
    """Everything that one switch does to a machine.

    Attributes:
        changes: By resource, in canonical order, removals last.
        remove: Resources to remove, in this order.
        stop: Names of units to stop before anything changes.
        reset: Names of failed units whose failure systemd must forget, so that they can start again or be removed.
        disable: Names of units that no longer start at boot.
        enable: Names of units that start at boot from now on.
        restart: Names of units to restart.
        reload: Names of units to reload.
        start: Names of units to start.
        refresh: Names of undeclared units to restart if they are running by then; a package of this switch may
            bring them.
        units_changed: Whether systemd must reload unit files.
        undo: Actions to undo.
        run: Actions to run.
    """

    changes: List[Change] = field(default_factory=list)
    remove: List[Resource] = field(default_factory=list)
    stop: List[str] = field(default_factory=list)
    reset: List[str] = field(default_factory=list)
    disable: List[str] = field(default_factory=list)
    enable: List[str] = field(default_factory=list)
    restart: List[str] = field(default_factory=list)
    reload: List[str] = field(default_factory=list)
    start: List[str] = field(default_factory=list)
    refresh: List[str] = field(default_factory=list)
    units_changed: bool = False
    undo: List[Action] = field(default_factory=list)
    run: List[Action] = field(default_factory=list)

    @property
    def restarts(self) -> List[Restart]:
        """The effects on units, and the actions, in the order in which they happen; for a person."""
        verbs = ("stop", "restart", "reload", "start")
        units: List[Restart] = [{"name": name, "verb": verb} for verb in verbs for name in getattr(self, verb)]
        units += [{"name": name, "verb": "restart"} for name in self.refresh]
        actions: List[Restart] = [{"name": action.key, "verb": "run"} for action in self.run]
        stops = len(self.stop)
        return [*units[:stops], *actions, *units[stops:]]

    def digest(self, old: Configuration, new: Configuration) -> str:
        """Return a digest of this work and of both configurations."""
        text = json.dumps([old.digest, new.digest, self.changes, self.restarts], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def drift(system: System, store: Store, configuration: Configuration) -> List[Drift]:
    """Return how the machine differs from the configuration of its current generation."""
    _prefetch(system, configuration)
    reasons = ((resource.key, resource.reason_to_change(system, store)) for resource in configuration.resources)
    return [{"key": key, "reason": reason} for key, reason in reasons if reason]


def compare(
    system: System, store: Store, old: Configuration, new: Configuration, undoing: Optional[ToUndo] = None
) -> Work:
    """Return what makes a machine match the new configuration.

    Args:
        system: The machine.
        store: Its state directory.
        old: What it has now; only in part while an interrupted switch is undone.
        new: What it must have.
        undoing: What the switch that is undone may have done; units that it did not reach need no restart.
    """
    _prefetch(system, old)
    _prefetch(system, new)
    old_resources: Dict[str, Resource] = {resource.key: resource for resource in old.resources}
    undeclared = dict(old_resources)
    work = Work()
    for resource in new.resources:
        change = _change_to(system, store, undeclared.pop(resource.key, None), resource)
        if change:
            work.changes.append(change)
    changed = {change["key"] for change in work.changes if change["action"] != "adopt"}
    work.remove = list(reversed(list(undeclared.values())))
    work.changes += [_removal(store, resource) for resource in undeclared.values()]
    work.changes += _check_changes(old, new)

    def triggered(resource: Resource, field: str) -> bool:
        """Return whether something that this resource follows, or followed before, has changed or is undeclared."""
        if field == "restart_on" and isinstance(resource, Unit) and resource.name in units_to_restart:
            return True
        followed, once_followed = getattr(resource, field), getattr(old_resources.get(resource.key), field, ())
        return bool(changed.intersection(followed) or undeclared.keys() & set(once_followed))

    both = (*old.resources, *new.resources)
    if undoing:
        units_to_restart = _units_restarted_by(both, None) & undoing.units
    else:
        units_to_restart = _units_restarted_by(both, changed | undeclared.keys())
    for resource in new.resources:
        if isinstance(resource, Unit):
            _plan_unit(system, store, work, old_resources.get(resource.key), resource, triggered, undoing)
        elif isinstance(resource, Action):
            due = resource.key in (undoing.actions if undoing else changed)
            if due or (not undoing and triggered(resource, "when_changed")):
                work.run.append(resource)
    others = units_to_restart - {item.name for item in both if isinstance(item, Unit)}
    work.refresh = [name for name in sorted(others) if _may_run(system.units.state(name))]
    _plan_removals(system, store, work, undoing)
    return work


def _plan_removals(system: System, store: Store, work: Work, undoing: Optional[ToUndo]) -> None:
    for resource in work.remove:
        if isinstance(resource, Unit):
            _plan_unit_removal(system, store, work, resource)
        elif isinstance(resource, Action) and resource.undo and (not undoing or resource.key in undoing.actions):
            work.undo.append(resource)


def _check_changes(old: Configuration, new: Configuration) -> List[Change]:
    """Return checks that differ: they change nothing on the machine, but make a new generation necessary."""
    before, after = ({check.name: check for check in configuration.checks} for configuration in (old, new))
    return [
        {
            "key": f"check:{name}",
            "action": "create" if name not in before else "change" if name in after else "remove",
            "detail": " ".join(after[name].argv) if name in after else "",
        }
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


def _units_restarted_by(resources: Iterable[Resource], changed: Optional[AbstractSet[str]]) -> Set[str]:
    """Return the units that files restart: those with keys in `changed`, or all files if it is None."""
    files = (item for item in resources if isinstance(item, File) and (changed is None or item.key in changed))
    return {name for file in files for name in file.restarts}


def _may_run(state: UnitState) -> bool:
    return state.active or state.failed or not state.known


def _prefetch(system: System, configuration: Configuration) -> None:
    packages = [item.name_on(system) for item in configuration.resources if isinstance(item, Package)]
    units = {item.name for item in configuration.resources if isinstance(item, Unit)}
    units |= {name for item in configuration.resources if isinstance(item, File) for name in item.restarts}
    system.packages.prefetch(packages)
    system.units.prefetch(units)


def _change_to(system: System, store: Store, before: Optional[Resource], resource: Resource) -> Optional[Change]:
    if isinstance(resource, Action):
        if before == resource:
            return None
        return {"key": resource.key, "action": "change" if before else "create", "detail": " ".join(resource.argv)}
    reason = resource.reason_to_change(system, store)
    if reason is None:
        return None if before == resource else {"key": resource.key, "action": "adopt", "detail": ""}
    if before:
        return {"key": resource.key, "action": "repair" if before == resource else "change", "detail": reason}
    if reason == ABSENT:
        return {"key": resource.key, "action": "create", "detail": ""}
    return {"key": resource.key, "action": "overwrite", "detail": reason}


def _removal(store: Store, resource: Resource) -> Change:
    detail = ""
    if resource.kind == "user":
        detail = "locked; its id and home are kept"
    elif resource.kind == "group":
        detail = "no longer managed; it is kept"
    elif resource.kind == "file":
        original = store.originals.get(resource.key, {})
        detail = "" if original.get("type", "absent") == "absent" else "the original is restored"
    elif resource.kind == "package" and store.originals.get(resource.key, {}).get("installed"):
        detail = "was installed before; it is kept"
    return {"key": resource.key, "action": "remove", "detail": detail}


def _plan_unit(
    system: System,
    store: Store,
    work: Work,
    before: Optional[Resource],
    unit: Unit,
    triggered: Callable[[Resource, str], bool],
    undoing: Optional[ToUndo],
) -> None:
    state = system.units.state(unit.name)
    new_text = bool(unit.file_differences(system, store))
    work.units_changed = work.units_changed or new_text or state.enabled != unit.enabled or bool(undoing)
    if undoing and unit.name in undoing.units and state.failed:
        work.reset.append(unit.name)
    if state.enabled != unit.enabled:
        (work.enable if unit.enabled else work.disable).append(unit.name)
    if not unit.started:
        if undoing and unit.name in undoing.ran:
            if state.active and unit.name in undoing.units:
                work.restart.append(unit.name)
        elif isinstance(before, Unit) and before.started and state.active:
            work.stop.append(unit.name)
        return
    due = unit.name in undoing.units if undoing else new_text or triggered(unit, "restart_on")
    if not (state.active or state.done):
        work.start.append(unit.name)
    elif due:
        work.restart.append(unit.name)
    elif not undoing and triggered(unit, "reload_on"):
        work.reload.append(unit.name)


def _plan_unit_removal(system: System, store: Store, work: Work, unit: Unit) -> None:
    original = store.originals.get(unit.key)
    if original is None:
        return  # the switch never reached it
    state = system.units.state(unit.name)
    work.units_changed = True
    if state.failed:
        work.reset.append(unit.name)
    if state.enabled and not original["enabled"]:
        work.disable.append(unit.name)
    elif original["enabled"] and not state.enabled:
        work.enable.append(unit.name)
    if original["active"]:
        (work.restart if state.active else work.start).append(unit.name)
    elif state.active:
        work.stop.append(unit.name)
