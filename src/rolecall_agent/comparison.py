"""What a machine lacks to be as a configuration says, and what units and actions follow from it.

The plan that a person is shown and the switch come from this one function.
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
    from rolecall_agent.protocol import Change, Difference, Restart
    from rolecall_agent.store import Store
    from rolecall_agent.system import System, UnitState


@dataclass(frozen=True)
class Done:
    """What a switch had done to units and actions before it is undone.

    Attributes:
        units: Names of those that it may have started, restarted or reloaded.
        actions: Keys of those that it may have run.
        ran: Names of units that ran before it, whether declared so or not.
    """

    units: FrozenSet[str] = frozenset()
    actions: FrozenSet[str] = frozenset()
    ran: FrozenSet[str] = frozenset()


@dataclass
class Work:
    """All that one switch does to a machine.

    Attributes:
        changes: By resource, in canonical order, removals last.
        remove: Resources to take away, in this order.
        stop: Units to stop before anything changes. This and the next are names of units.
        reset: Units whose failure is forgotten, so that they may start again, or go.
        disable: Units that no longer start at boot.
        enable: Units that start at boot from now on.
        restart: Units to restart.
        reload: Units to reload.
        start: Units to start.
        refresh: Units that nobody declares, to restart if they run then: a package of this switch may bring them.
        units_changed: Whether systemd must read unit files again.
        undo: Actions to take back.
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
        """What happens to units, and the actions, for a person; in the order in which it happens."""
        verbs = ("stop", "restart", "reload", "start")
        units: List[Restart] = [{"name": name, "verb": verb} for verb in verbs for name in getattr(self, verb)]
        units += [{"name": name, "verb": "restart"} for name in self.refresh]
        actions: List[Restart] = [{"name": action.key, "verb": "run"} for action in self.run]
        at = len(self.stop)
        return [*units[:at], *actions, *units[at:]]

    def digest(self, old: Configuration, new: Configuration) -> str:
        """Names this work on this machine."""
        text = json.dumps([old.digest, new.digest, self.changes, self.restarts], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def drift(system: System, store: Store, configuration: Configuration) -> List[Difference]:
    """What is not as its current generation says."""
    _prefetch(system, configuration)
    found = ((resource.key, resource.reason_to_change(system, store)) for resource in configuration.resources)
    return [{"key": key, "reason": reason} for key, reason in found if reason]


def compare(
    system: System, store: Store, old: Configuration, new: Configuration, undoing: Optional[Done] = None
) -> Work:
    """What makes a machine as the new configuration says.

    Args:
        system: The machine.
        store: Its state directory.
        old: What it has now, wholly or, when an interrupted switch is undone, in part.
        new: What it shall have.
        undoing: What the switch to undo had done; units that it did not reach need no restart.
    """
    _prefetch(system, old)
    _prefetch(system, new)
    before: Dict[str, Resource] = {resource.key: resource for resource in old.resources}
    work = Work()
    for resource in new.resources:
        change = _change(system, store, before.pop(resource.key, None), resource)
        if change:
            work.changes.append(change)
    changed = {change["key"] for change in work.changes if change["action"] != "adopt"}
    work.remove = list(reversed(list(before.values())))
    work.changes += [_removal(store, resource) for resource in before.values()]
    work.changes += _checks(old, new)

    had = {resource.key: resource for resource in old.resources}

    def triggered(resource: Resource, field: str) -> bool:
        """Whether something that it follows changed, or goes: then the old one tells who followed it."""
        if field == "restart_on" and isinstance(resource, Unit) and resource.name in said:
            return True
        followed, once_followed = getattr(resource, field), getattr(had.get(resource.key), field, ())
        return bool(changed.intersection(followed) or before.keys() & set(once_followed))

    both = (*old.resources, *new.resources)
    said = _restarts(both, None) & undoing.units if undoing else _restarts(both, changed | before.keys())
    for resource in new.resources:
        if isinstance(resource, Unit):
            _unit(system, store, work, had.get(resource.key), resource, triggered, undoing)
        elif isinstance(resource, Action):
            due = resource.key in (undoing.actions if undoing else changed)
            if due or (not undoing and triggered(resource, "when_changed")):
                work.run.append(resource)
    others = said - {item.name for item in both if isinstance(item, Unit)}
    work.refresh = [name for name in sorted(others) if _may_run(system.unit(name))]
    _removed(system, store, work, undoing)
    return work


def _removed(system: System, store: Store, work: Work, undoing: Optional[Done]) -> None:
    for resource in work.remove:
        if isinstance(resource, Unit):
            _removed_unit(system, store, work, resource)
        elif isinstance(resource, Action) and resource.undo and (not undoing or resource.key in undoing.actions):
            work.undo.append(resource)


def _checks(old: Configuration, new: Configuration) -> List[Change]:
    """Checks change nothing on the machine; but a generation that differs only in them is no empty plan."""
    before, after = ({each.name: each for each in of.checks} for of in (old, new))
    return [
        {
            "key": f"check:{name}",
            "action": "create" if name not in before else "change" if name in after else "remove",
            "detail": " ".join(after[name].argv) if name in after else "",
        }
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


def _restarts(resources: Iterable[Resource], changed: Optional[AbstractSet[str]]) -> Set[str]:
    """The names of units that the files among those that change (None for all) say are to be restarted."""
    files = (item for item in resources if isinstance(item, File) and (changed is None or item.key in changed))
    return {name for file in files for name in file.restarts}


def _may_run(state: UnitState) -> bool:
    return state.active or state.failed or not state.known


def _prefetch(system: System, configuration: Configuration) -> None:
    packages = [item.name_on(system) for item in configuration.resources if isinstance(item, Package)]
    units = {item.name for item in configuration.resources if isinstance(item, Unit)}
    units |= {name for item in configuration.resources if isinstance(item, File) for name in item.restarts}
    system.prefetch(packages, units)


def _change(system: System, store: Store, before: Optional[Resource], resource: Resource) -> Optional[Change]:
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
        detail = "locked; its id and home stay"
    elif resource.kind == "group":
        detail = "no longer ours; it stays"
    elif resource.kind == "file":
        original = store.originals.get(resource.key, {})
        detail = "" if original.get("type", "absent") == "absent" else "what stood there before comes back"
    elif resource.kind == "package" and store.originals.get(resource.key, {}).get("installed"):
        detail = "was there before us; it stays"
    return {"key": resource.key, "action": "remove", "detail": detail}


def _unit(
    system: System,
    store: Store,
    work: Work,
    before: Optional[Resource],
    unit: Unit,
    triggered: Callable[[Resource, str], bool],
    undoing: Optional[Done],
) -> None:
    state = system.unit(unit.name)
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


def _removed_unit(system: System, store: Store, work: Work, unit: Unit) -> None:
    original = store.originals.get(unit.key)
    if original is None:
        return  # never reached
    state = system.unit(unit.name)
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
