"""The order of a switch.

`switch` makes a new generation provisional; `commit` makes it the current one; `undo` is the same way towards the old
generation. Each step looks at what is there and does only what is missing, so that a machine that was killed anywhere
is brought back by `undo` again: `recover` does so at the next open, or at boot.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence, Tuple

from rolecall_agent import boot
from rolecall_agent.comparison import Done, Work, compare
from rolecall_agent.configuration import early
from rolecall_agent.resources import Action, AuthorizedKey, Directory, File, Package, Resource, Unit
from rolecall_agent.tree import Failure

if TYPE_CHECKING:
    from rolecall_agent.configuration import Check, Configuration
    from rolecall_agent.protocol import CheckResult, Meta
    from rolecall_agent.store import Store
    from rolecall_agent.system import System, UnitState

# Through these we are talked to: they come last, when everything else is known to work.
_LAST = ("sshd.service", "ssh.service", "systemd-networkd.service")
_TAIL = 2000  # characters of a check's output


@dataclass(frozen=True)
class Machine:
    """Where a switch happens.

    Attributes:
        system: The machine.
        store: Its state directory.
        tell: Told each step and its detail.
    """

    system: System
    store: Store
    tell: Callable[[str, str], None]

    def configuration(self, number: int) -> Configuration:
        """The configuration of a generation, with what the agent adds itself."""
        return self.whole(self.store.configuration(number))

    def whole(self, configuration: Configuration) -> Configuration:
        """A configuration with what the agent adds itself: the unit that it needs at boot."""
        if not self.system.boots or not configuration.resources:
            return configuration
        return replace(configuration, resources=(*configuration.resources, boot.unit()))

    def running(self, *configurations: Configuration) -> List[str]:
        """The names of those of their units that run."""
        names = {item.name for each in configurations for item in each.resources if isinstance(item, Unit)}
        return sorted(name for name in names if self.system.unit(name).active)


def switch(machine: Machine, target: Configuration, meta: Meta, *, nonce: str, confirm: bool) -> List[str]:
    """Switches to a staged configuration; provisional afterwards.

    Args:
        machine: Where; no journal is there.
        target: Everything that it needs is in the store.
        meta: Who does this.
        nonce: What a confirmation must give.
        confirm: Whether `commit` needs one.

    Returns:
        The keys of the resources that changed.

    Raises:
        Failure: When it failed; ``restored`` says whether the machine is as it was.
    """
    store = machine.store
    journal: Dict[str, Any] = {
        "run": meta["run"],
        "from": store.current,
        "to": store.add_generation(target, meta),
        "nonce": nonce,
        "confirm": confirm,
        "provisional": False,
        "ran": machine.running(machine.configuration(store.current), target),
        "units": [],
        "actions": [],
    }
    for blob in machine.whole(target).blobs:
        if blob.data is not None:  # the boot unit's
            store.add_blob(blob.sha256, blob.data)
    store.set_boot_agent()
    store.write_journal(journal)
    try:
        work = _move(machine, journal, machine.configuration(journal["from"]), machine.whole(target))
        _require_checks(machine, target)
        store.write_journal({**journal, "provisional": True})
    except Exception as error:
        raise _undone(machine, error) from error
    return [change["key"] for change in work.changes if change["action"] != "adopt"]


def _move(
    machine: Machine, journal: Dict[str, Any], old: Configuration, new: Configuration, undoing: Optional[Done] = None
) -> Work:
    """From one configuration to another, whatever of either is there."""
    work = compare(machine.system, machine.store, old, new, undoing)
    _apply(machine, work, [resource for resource in new.resources if early(resource)])
    _install(machine, new)
    _stop(machine, work)
    _apply(machine, work, [resource for resource in new.resources if not early(resource)])
    _remove(machine, work, new, must=not undoing)
    if not undoing:
        # From here on going back means to restart these and to run those again.
        journal["units"] = sorted({*work.restart, *work.reload, *work.start, *work.refresh})
        journal["actions"] = sorted(action.key for action in work.run)
        machine.store.write_journal(journal)
    for action in work.run:
        _run(machine, action, action.argv, must=not undoing)
    _start(machine, work)
    return work


def _install(machine: Machine, new: Configuration) -> None:
    packages = [item for item in new.resources if isinstance(item, Package)]
    system, store = machine.system, machine.store
    missing = [package.name_on(system) for package in packages if package.reason_to_change(system, store)]
    _remember(machine, packages)
    if missing:
        machine.tell("install", " ".join(missing))
        machine.system.install(missing)


def _stop(machine: Machine, work: Work) -> None:
    if work.stop:
        machine.tell("stop", " ".join(work.stop))
        machine.system.systemctl("stop", work.stop)
    machine.system.systemctl("reset-failed", work.reset)


def _apply(machine: Machine, work: Work, wanted: Sequence[Resource]) -> None:
    """Groups, users, directories, files, keys, unit files. What stood there is remembered just before."""
    system, store = machine.system, machine.store
    changed = {change["key"] for change in work.changes}
    for kind, group in groupby(wanted, key=lambda resource: resource.kind):
        resources = [resource for resource in group if resource.key in changed]
        _remember(machine, resources)
        for resource in resources:
            if resource.reason_to_change(system, store):
                machine.tell(kind, resource.key.partition(":")[2])
                resource.apply(system, store)


def _remove(machine: Machine, work: Work, new: Configuration, *, must: bool) -> None:
    """Takes away what is no longer declared, and puts back what stood there before us."""
    system, store = machine.system, machine.store
    for action in work.undo:
        _run(machine, action, action.undo, must=must)
    # By the [Install] section of a unit file, which must still be there.
    system.systemctl("disable", [name for name in work.disable if system.unit(name).known])
    for resource in work.remove:
        if resource.key in store.originals:
            machine.tell("remove", resource.key)
            resource.restore(system, store, store.originals[resource.key])
    _remove_made(machine, new)


def _start(machine: Machine, work: Work) -> None:
    """Brings systemd to what the unit files say now."""
    system, tell = machine.system, machine.tell
    system.systemctl("enable", work.enable)
    if work.units_changed:
        tell("systemd", "reload")
        system.systemctl("daemon-reload", ())
    restart = [*work.restart, *(name for name in work.refresh if _runs(system.unit(name)))]
    for last in (False, True):
        begun = []
        for verb, names in (("restart", restart), ("reload-or-restart", work.reload), ("start", work.start)):
            batch = [name for name in names if (name in _LAST) is last]
            if batch:
                tell(verb, " ".join(batch))
                system.systemctl(verb, batch)
                begun += batch
        system.require_running(begun)


def _runs(state: UnitState) -> bool:
    return state.active or state.failed


def undo(machine: Machine) -> None:
    """Back to the generation from which the journal's switch began.

    Raises:
        Failure: When that failed too; the journal stays, and the next open tries again.
    """
    journal = machine.store.journal
    if journal is None:
        return
    old, new = machine.configuration(journal["to"]), machine.configuration(journal["from"])
    for resource in (*old.resources, *new.resources):
        for path in _paths(machine, resource):
            machine.system.sweep(path)
    done = Done(frozenset(journal["units"]), frozenset(journal["actions"]), frozenset(journal["ran"]))
    try:
        _move(machine, journal, old, new, done)
        _settle(machine)
    except Exception as error:
        found = error if isinstance(error, Failure) else Failure(f"{type(error).__name__}: {error}")
        raise Failure(f"it could not be brought back: {found.message}", found.detail, restored=False) from error


def commit(machine: Machine) -> Tuple[int, List[str]]:
    """Makes the provisional generation the current one: its number, and what could not be tidied.

    Raises:
        Failure: When none is provisional, or it waits for a confirmation. Whatever is raised, nothing is committed.
    """
    journal = machine.store.journal
    if journal is None or not journal["provisional"]:
        raise Failure("there is nothing to commit")
    if journal["confirm"] and machine.store.confirmed != journal["nonce"]:
        raise Failure("the switch has not been confirmed over a second connection", restored=False)
    try:
        machine.store.set_current(journal["to"])
        return journal["to"], _settle(machine)
    except Exception as error:
        if machine.store.current != journal["to"]:
            raise
        # It is committed; the journal stays, by which the next open settles it.
        return journal["to"], [f"it is not tidied up yet: {error}"]


def recover(machine: Machine) -> Optional[str]:
    """Ends a switch whose agent is gone: None for nothing to do, else ``"undone"`` or ``"committed"``.

    Raises:
        Failure: When it could not be undone.
    """
    journal = machine.store.journal
    if journal is None:
        return None
    if machine.store.current == journal["to"]:
        _settle(machine)
        return "committed"
    undo(machine)
    return "undone"


def check(system: System, checks: Sequence[Check], *, peers: bool) -> List[CheckResult]:
    """Runs those checks that need peers, or the others."""
    results: List[CheckResult] = []
    for each in checks:
        if each.peers == peers:
            status, output = system.run(each.argv, each.timeout)
            results.append({"name": each.name, "ok": status == 0, "output": output[-_TAIL:]})
    return results


def _require_checks(machine: Machine, target: Configuration) -> None:
    machine.tell("check", "")
    for result in check(machine.system, target.checks, peers=False):
        if not result["ok"]:
            raise Failure(f"the check {result['name']!r} failed", result["output"])


def _undone(machine: Machine, error: Exception) -> Failure:
    """What to raise for a switch that failed, after undoing it."""
    found = error if isinstance(error, Failure) else Failure(f"{type(error).__name__}: {error}")
    machine.tell("undo", found.message)
    try:
        undo(machine)
    except Failure as second:
        return Failure(f"{found.message}; {second.message}", f"{found.detail}\n{second.detail}".strip(), restored=False)
    return found


def _settle(machine: Machine) -> List[str]:
    """What is left to do when a switch has ended, either way; what could not be tidied."""
    system, store = machine.system, machine.store
    kept = {resource.key for resource in machine.configuration(store.current).resources}
    ended = {key: value for key, value in store.originals.items() if key not in kept and not key.startswith("made:")}
    # Packages go only now: going back must not need the network. A package that another one declares stays.
    wanted = {value["name"] for key, value in store.originals.items() if key.startswith("package:") and key in kept}
    ours = [value["name"] for key, value in ended.items() if key.startswith("package:") and not value["installed"]]
    notes = system.uninstall([name for name in ours if name not in wanted and system.installed(name)])
    # Not before: going back may have made them again.
    store.drop_originals([*ended, *(f"made:{path}" for path in _made(store) if system.stat(path) is None)])
    store.drop_journal()
    store.prune()  # only now: whoever ends a switch from its journal must find both generations
    return notes


def _remember(machine: Machine, resources: Sequence[Resource]) -> None:
    """Captures what stands where resources that are not ours yet will be."""
    originals: Dict[str, Any] = {}
    for resource in resources:
        if resource.key not in machine.store.originals:
            originals.update(resource.capture(machine.system, machine.store))
    machine.store.add_originals({key: value for key, value in originals.items() if key not in machine.store.originals})


def _remove_made(machine: Machine, new: Configuration) -> None:
    """Removes folders, and files of keys, that we made on the way and that hold nothing any more."""
    system, store = machine.system, machine.store
    declared = {resource.path for resource in new.resources if isinstance(resource, Directory)}
    for path in sorted(_made(store), reverse=True):
        entry = system.stat(path)
        empty_file = entry and entry.type == "file" and not entry.size
        empty_folder = entry and entry.type == "directory" and path not in declared and not system.names(path)
        if empty_file or empty_folder:
            system.remove(path)


def _made(store: Store) -> List[str]:
    """The paths that we made on the way to others."""
    return [key[len("made:") :] for key in store.originals if key.startswith("made:")]


def _run(machine: Machine, action: Action, argv: Sequence[str], *, must: bool) -> None:
    machine.tell("action", action.name)
    status, output = machine.system.run(argv, 600)
    if status and not must:  # a command that fails must not keep the rest from going back
        machine.tell("action", f"{action.name} failed with status {status}")
    elif status:
        raise Failure(f"the action {action.name!r} failed with status {status}", output)


def _paths(machine: Machine, resource: Resource) -> List[str]:
    """Where a killed write may have left something beside."""
    if isinstance(resource, AuthorizedKey):
        account = machine.system.user(resource.user)
        return [f"{account.home}/.ssh/authorized_keys"] if account else []
    if isinstance(resource, (File, Unit)):
        return [resource.path]
    return []
