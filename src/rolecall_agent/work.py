"""What one switch does to a machine, as `comparison` collects it and `switch` carries it out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, AbstractSet, Dict, Iterable, List, NamedTuple, Sequence, Set, Tuple

if TYPE_CHECKING:
    from rolecall_agent.content_store import ContentStore
    from rolecall_agent.protocol import Change, Restart, Verb
    from rolecall_agent.system import System


class Command(NamedTuple):
    """A command to run once.

    Attributes:
        key: The resource that it belongs to.
        argv: Program and arguments.
        reverse: The command that takes its effect back, or ().
    """

    key: str
    argv: Sequence[str]
    reverse: Sequence[str]


@dataclass
class Work:
    """Everything that one switch does to a machine.

    Attributes:
        changes: By resource, in canonical order, removals last.
        remove: Keys of resources to remove, in this order.
        lost: Keys of undeclared resources that stay as they are, since their originals are damaged.
        shown: By the key of a resource that changes: a digest of what a plan shows of the content in its place.
        packages: The version that each package will have, by name, of those that change; see `Packages.preview`.
        install: Names of the declared packages among them.
        stop: Names of units to stop before anything changes.
        reset: Names of failed units whose failure systemd must forget, so that they can start again or be removed.
        disable: Names of units that no longer start at boot.
        enable: Names of units that start at boot from now on.
        reenable: Names of enabled units whose text says otherwise how they start at boot.
        pause: Names of the services among ``restart`` whose socket restarts too: systemd refuses to listen for a
            service that is running.
        hold: Names of the units among ``restart`` that stop before the account that they run as changes.
        restart: Names of units to restart.
        reload: Names of units that take what changed without a restart (`unit_types.reload`).
        start: Names of units to start.
        revive: Names of units to start that were down before and did not change: the switch does not depend on them.
        refresh: Names of units that the configuration does not start, to restart if they are running by then. They
            may be undeclared; a package of this switch may bring them.
        along: By the name of a unit that is stopped or restarted: the units that systemd stops or restarts with it, and
            that nothing else here stops or restarts.
        settle: Seconds that units must run after they were started, where this is declared.
        units_changed: Whether systemd must reload unit files.
        undo: Commands that take back the effect of undeclared actions.
        run: Commands of actions that are due.
        reboot: What the machine must reboot for, with the keys of the resources whose change is the reason.
    """

    changes: List[Change] = field(default_factory=list)
    remove: List[str] = field(default_factory=list)
    lost: List[str] = field(default_factory=list)
    shown: Dict[str, str] = field(default_factory=dict)
    packages: Dict[str, str] = field(default_factory=dict)
    install: List[str] = field(default_factory=list)
    stop: List[str] = field(default_factory=list)
    reset: List[str] = field(default_factory=list)
    disable: List[str] = field(default_factory=list)
    enable: List[str] = field(default_factory=list)
    reenable: List[str] = field(default_factory=list)
    pause: List[str] = field(default_factory=list)
    hold: List[str] = field(default_factory=list)
    restart: List[str] = field(default_factory=list)
    reload: List[str] = field(default_factory=list)
    start: List[str] = field(default_factory=list)
    revive: List[str] = field(default_factory=list)
    refresh: List[str] = field(default_factory=list)
    along: Dict[str, List[str]] = field(default_factory=dict)
    settle: Dict[str, float] = field(default_factory=dict)
    units_changed: bool = False
    undo: List[Command] = field(default_factory=list)
    run: List[Command] = field(default_factory=list)
    reboot: Dict[str, List[str]] = field(default_factory=dict)

    @property
    def listed(self) -> Set[str]:
        """The keys of all changes."""
        return {change["key"] for change in self.changes}

    @property
    def changed(self) -> Set[str]:
        """The keys of all resources that change on the machine."""
        return {change["key"] for change in self.changes if change["action"] != "adopt"}

    @property
    def units(self) -> List[str]:
        """The names of all units that it has an effect on."""
        enablement = (self.disable, self.enable, self.reenable)
        verbs = (self.stop, self.reset, *enablement, self.restart, self.reload, self.start)
        return sorted({name for names in (*verbs, self.revive, self.refresh, *self.along.values()) for name in names})

    @property
    def restarted_along(self) -> List[str]:
        """The names of the units that restart along with others, and are not stopped along with others."""
        stopped = {name for unit in self.stop for name in self.along.get(unit, ())}
        return sorted({name for names in self.along.values() for name in names} - stopped)

    def leave_out(self, unit: str) -> None:
        """Let the switch do nothing to a unit, which is still listed among the changes."""
        enablement = (self.disable, self.enable, self.reenable)
        for names in (self.stop, self.reset, *enablement, self.restart, self.reload, self.start):
            if unit in names:
                names.remove(unit)
        if f"unit:{unit}" in self.remove:
            self.remove.remove(f"unit:{unit}")

    @property
    def restarts(self) -> List[Restart]:
        """The effects on units, the actions and reboots, in the order in which they happen; for a person."""
        verbs: Tuple[Verb, ...] = ("stop", "restart", "reload", "start")
        named = [(verb, name) for verb in verbs for name in getattr(self, verb)]
        named += [("start", name) for name in self.revive]
        named += [("restart", name) for name in sorted(self.refresh)]
        units: List[Restart] = [
            {"name": name, "verb": verb, "also": self.along.get(name, []) if verb in {"stop", "restart"} else []}
            for verb, name in named
        ]
        actions: List[Restart] = [{"name": command.key, "verb": "run", "also": []} for command in self.run]
        reboots: List[Restart] = [{"name": name, "verb": "reboot", "also": keys} for name, keys in self.reboot.items()]
        stops = len(self.stop)
        return [*units[:stops], *actions, *units[stops:], *reboots]

    def digest(self, *configurations: str) -> str:
        """Return a digest of this work and of the configurations with these digests."""
        text = json.dumps([*configurations, self.changes, self.restarts, self.packages, self.shown], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def is_part_of(self, shown: Work) -> bool:
        """Return whether it does nothing beyond other work for the same configurations.

        It may do less: a secret that was sent meanwhile can have the value that is installed already.
        """
        details = {(each["key"], each["action"]): each["detail"].split(", ") for each in shown.changes}
        differing = [each for each in self.changes if each["action"] != "adopt"]
        also = {(each["name"], each["verb"]): each["also"] for each in shown.restarts}
        effects = [(also.get((each["name"], each["verb"])), each["also"]) for each in self.restarts]
        if not (self.packages.items() <= shown.packages.items() and self.shown.items() <= shown.shown.items()):
            return False
        return all(may is not None and set(may) >= set(does) for may, does in effects) and all(
            set(each["detail"].split(", ")) <= set(details.get((each["key"], each["action"]), [])) for each in differing
        )


class Surroundings(NamedTuple):
    """What a resource can see of the switch that it is part of.

    Attributes:
        system: The machine.
        store: Its state directory.
        work: Where it adds what follows from it.
        changed: Keys of all resources that change.
        undeclared: Keys of all resources that are no longer declared.
        restarted: Names of the units that changed files restart.
        declared: Keys of all resources that are or were declared.
    """

    system: System
    store: ContentStore
    work: Work
    changed: AbstractSet[str]
    undeclared: AbstractSet[str]
    restarted: AbstractSet[str]
    declared: AbstractSet[str]

    def triggered(self, followed: Iterable[object], once_followed: Iterable[object]) -> bool:
        """Return whether one of the keys that a resource follows has changed, or one it followed is undeclared."""
        return not (self.changed.isdisjoint(followed) and self.undeclared.isdisjoint(once_followed))
