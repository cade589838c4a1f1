"""The steps of a switch, in order.

`switch` makes a new generation provisional, and `commit` makes it the current one. `undo` takes the same steps towards
the old generation. Each step compares first and does only what is missing, so `undo` also works on a machine whose
agent was killed at any point: `recover` calls it at the next open, or at boot.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence, Tuple

from rolecall_agent import boot
from rolecall_agent.comparison import ToUndo, Work, compare
from rolecall_agent.configuration import is_early
from rolecall_agent.errors import Failure
from rolecall_agent.resources import Action, AuthorizedKey, Directory, File, Package, Resource, Unit, User
from rolecall_agent.resources.authorized_key import authorized_keys

if TYPE_CHECKING:
    from rolecall_agent.configuration import Check, Configuration
    from rolecall_agent.protocol import CheckResult, Meta
    from rolecall_agent.store import Store
    from rolecall_agent.system import System, UnitState

# They carry the connection to the controller, so they come last, when everything else is known to work.
_LAST = ("sshd.service", "ssh.service", "systemd-networkd.service")
_TAIL = 2000  # characters of a check's output


@dataclass(frozen=True)
class Machine:
    """A machine, its state, and where progress goes.

    Attributes:
        system: The machine.
        store: Its state directory.
        report: Called with each step and its detail.
    """

    system: System
    store: Store
    report: Callable[[str, str], None]

    def configuration(self, number: int) -> Configuration:
        """Return the configuration of a generation, with the boot unit."""
        return self.with_boot_unit(self.store.configuration(number))

    def with_boot_unit(self, configuration: Configuration) -> Configuration:
        """Return a configuration with the unit that the agent itself needs at boot."""
        if not self.system.boots or not configuration.resources:
            return configuration
        return replace(configuration, resources=(*configuration.resources, boot.unit()))

    def running(self, *configurations: Configuration) -> List[str]:
        """Return the names of units in these configurations that are running."""
        resources = [resource for configuration in configurations for resource in configuration.resources]
        names = {resource.name for resource in resources if isinstance(resource, Unit)}
        return sorted(name for name in names if self.system.units.state(name).active)


def switch(machine: Machine, target: Configuration, meta: Meta, *, nonce: str, confirm: bool) -> List[str]:
    """Switch to a staged configuration, which is provisional afterwards.

    Args:
        machine: The machine; it has no journal.
        target: The configuration; the store has everything that it needs.
        meta: Who switches, and when.
        nonce: What a confirmation must contain.
        confirm: Whether `commit` needs a confirmation.

    Returns:
        The keys of the resources that changed.

    Raises:
        Failure: When it failed; ``machine_unchanged`` tells whether it was undone.
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
        "token": machine.system.token,
    }
    _add_boot_unit(machine, machine.with_boot_unit(target))
    store.set_boot_agent()
    store.write_journal(journal)
    try:
        work = _move(machine, journal, machine.configuration(journal["from"]), machine.with_boot_unit(target))
        _require_checks(machine, target)
        store.write_journal({**journal, "provisional": True})
    except Exception as error:
        raise _undo_after(machine, error) from error
    return [change["key"] for change in work.changes if change["action"] != "adopt"]


def _add_boot_unit(machine: Machine, configuration: Configuration) -> None:
    """Store the text of the boot unit, which no generation names and `Store.prune` removes."""
    for blob in configuration.blobs:
        if blob.data is not None:
            machine.store.add_blob(blob.sha256, blob.data)


def _move(
    machine: Machine, journal: Dict[str, Any], old: Configuration, new: Configuration, undoing: Optional[ToUndo] = None
) -> Work:
    """Move the machine from `old` to `new`, from any state in between."""
    work = compare(machine.system, machine.store, old, new, undoing)
    _apply(machine, work, [resource for resource in new.resources if is_early(resource)])
    _install(machine, new)
    _stop(machine, work)
    _apply(machine, work, [resource for resource in new.resources if not is_early(resource)])
    _remove(machine, work, new, required=not undoing)
    if not undoing:
        # From here on an undo must restart these units and run these actions again.
        journal["units"] = sorted({*work.restart, *work.reload, *work.start, *work.refresh})
        journal["actions"] = sorted(action.key for action in work.run)
        machine.store.write_journal(journal)
    for action in work.run:
        _run(machine, action, action.argv, required=not undoing)
    _start(machine, work)
    return work


def _install(machine: Machine, new: Configuration) -> None:
    packages = [item for item in new.resources if isinstance(item, Package)]
    system, store = machine.system, machine.store
    missing = [package.name_on(system) for package in packages if package.reason_to_change(system, store)]
    _capture(machine, packages)
    if missing:
        machine.report("install", " ".join(missing))
        system.packages.install(missing)


def _stop(machine: Machine, work: Work) -> None:
    if work.stop:
        machine.report("stop", " ".join(work.stop))
        machine.system.units.run("stop", work.stop)
    machine.system.units.run("reset-failed", work.reset)


def _apply(machine: Machine, work: Work, wanted: Sequence[Resource]) -> None:
    """Apply groups, users, directories, files, keys and unit files, after capturing what they replace."""
    system, store = machine.system, machine.store
    changed = {change["key"] for change in work.changes}
    for kind, group in groupby(wanted, key=lambda resource: resource.kind):
        resources = [resource for resource in group if resource.key in changed]
        _capture(machine, resources)
        for resource in resources:
            if resource.reason_to_change(system, store):
                machine.report(kind, resource.key.partition(":")[2])
                resource.apply(system, store)


def _remove(machine: Machine, work: Work, new: Configuration, *, required: bool) -> None:
    """Remove what is no longer declared, and restore the originals."""
    system, store = machine.system, machine.store
    for action in work.undo:
        _run(machine, action, action.undo, required=required)
    # systemctl reads the [Install] section, so the unit file must still exist.
    system.units.run("disable", [name for name in work.disable if system.units.state(name).known])
    for resource in work.remove:
        if resource.key in store.originals:
            machine.report("remove", resource.key)
            resource.restore(system, store, store.originals[resource.key])
    _remove_empty_paths(machine, new)


def _start(machine: Machine, work: Work) -> None:
    """Make systemd load the unit files, and enable, restart, reload and start units."""
    system, report = machine.system, machine.report
    system.units.run("enable", work.enable)
    if work.units_changed:
        report("systemd", "reload")
        system.units.run("daemon-reload", ())
    restart = [*work.restart, *(name for name in work.refresh if _is_running_or_failed(system.units.state(name)))]
    for last in (False, True):
        started = []
        for verb, names in (("restart", restart), ("reload-or-restart", work.reload), ("start", work.start)):
            batch = [name for name in names if (name in _LAST) is last]
            if batch:
                report(verb, " ".join(batch))
                system.units.run(verb, batch)
                started += batch
        system.units.require_running(started)


def _is_running_or_failed(state: UnitState) -> bool:
    return state.active or state.failed


def undo(machine: Machine) -> None:
    """Go back to the generation from which the journal's switch started.

    Raises:
        Failure: When that fails; the journal is kept, and the next open tries again.
    """
    journal = machine.store.journal
    if journal is None:
        return
    old, new = machine.configuration(journal["to"]), machine.configuration(journal["from"])
    to_undo = ToUndo(frozenset(journal["units"]), frozenset(journal["actions"]), frozenset(journal["ran"]))
    try:
        machine.system.token = journal["token"]
        written = [path for resource in (*old.resources, *new.resources) for path in _written_paths(machine, resource)]
        for path in (*written, *_created_paths(machine.store)):
            machine.system.remove_temporary(path)
        _add_boot_unit(machine, new)
        _move(machine, journal, old, new, to_undo)
        _settle(machine)
    except Exception as error:
        failure = _as_failure(error)
        message = f"the undo failed: {failure.message}"
        raise Failure(message, failure.detail, machine_unchanged=False) from error


def commit(machine: Machine) -> Tuple[int, List[str]]:
    """Make the provisional generation the current one; return its number, and notes on cleanup that failed.

    Raises:
        Failure: When no generation is provisional, or its confirmation is missing. After any exception, nothing is
            committed.
    """
    journal = machine.store.journal
    if journal is None or not journal["provisional"]:
        raise Failure("no provisional switch to commit")
    if journal["confirm"] and machine.store.confirmed != journal["nonce"]:
        raise Failure("the switch has not been confirmed over a second connection", machine_unchanged=False)
    try:
        machine.store.set_current(journal["to"])
        return journal["to"], _settle(machine)
    except Exception as error:
        if machine.store.current != journal["to"]:
            raise
        # It is committed. The journal is still there, so the next open cleans up.
        return journal["to"], [f"the cleanup is left to the next run: {error}"]


def recover(machine: Machine) -> Optional[str]:
    """Settle an interrupted switch; return how, ``"undone"`` or ``"committed"``, or None when there is none.

    Raises:
        Failure: When the undo fails.
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
    """Run the checks that need peers, or the others."""
    results: List[CheckResult] = []
    for one in checks:
        if one.peers == peers:
            status, output = system.run(one.argv, one.timeout)
            results.append({"name": one.name, "ok": status == 0, "output": output[-_TAIL:]})
    return results


def _require_checks(machine: Machine, target: Configuration) -> None:
    machine.report("check", "")
    for result in check(machine.system, target.checks, peers=False):
        if not result["ok"]:
            raise Failure(f"the check {result['name']!r} failed", result["output"])


def _as_failure(error: Exception) -> Failure:
    return error if isinstance(error, Failure) else Failure(f"{type(error).__name__}: {error}")


def _undo_after(machine: Machine, error: Exception) -> Failure:
    """Undo a switch that failed, and return the failure to raise."""
    failure = _as_failure(error)
    machine.report("undo", failure.message)
    try:
        undo(machine)
    except Failure as second:
        detail = f"{failure.detail}\n{second.detail}".strip()
        return Failure(f"{failure.message}; {second.message}", detail, machine_unchanged=False)
    return failure


def _settle(machine: Machine) -> List[str]:
    """Clean up after a switch was committed or undone; return notes on what failed."""
    system, store = machine.system, machine.store
    declared = {resource.key for resource in machine.configuration(store.current).resources}
    originals = store.originals.items()
    ended = {key: value for key, value in originals if key not in declared and not key.startswith("made:")}
    # Packages are removed only now, so that an undo needs no network. Two resources may name the same package.
    needed = {value["name"] for key, value in originals if key.startswith("package:") and key in declared}
    ours = [value["name"] for key, value in ended.items() if key.startswith("package:") and not value["installed"]]
    notes = system.packages.uninstall([name for name in ours if name not in needed and system.packages.installed(name)])
    # Only now: an undo may have created them again.
    store.drop_originals([*ended, *(f"made:{path}" for path in _created_paths(store) if system.stat(path) is None)])
    store.drop_journal()
    store.prune()  # only without a journal: recovery needs both generations
    return notes


def _capture(machine: Machine, resources: Sequence[Resource]) -> None:
    """Record the originals of resources that are not managed yet."""
    originals: Dict[str, Any] = {}
    for resource in resources:
        if resource.key not in machine.store.originals:
            originals.update(resource.capture(machine.system, machine.store))
    machine.store.add_originals({key: value for key, value in originals.items() if key not in machine.store.originals})


def _remove_empty_paths(machine: Machine, new: Configuration) -> None:
    """Remove parent folders and authorized_keys files that Rolecall created, once they are empty."""
    system, store = machine.system, machine.store
    declared = {resource.path for resource in new.resources if isinstance(resource, Directory)}
    for path in sorted(_created_paths(store), reverse=True):
        entry = system.stat(path)
        empty_file = entry and entry.type == "file" and not entry.size
        empty_folder = entry and entry.type == "directory" and path not in declared and not system.names(path)
        if empty_file or empty_folder:
            system.remove(path)


def _created_paths(store: Store) -> List[str]:
    """Return the paths that were created because resources needed them."""
    return [key[len("made:") :] for key in store.originals if key.startswith("made:")]


def _run(machine: Machine, action: Action, argv: Sequence[str], *, required: bool) -> None:
    machine.report("action", action.name)
    status, output = machine.system.run(argv, 600)
    if status and not required:  # it must not keep the rest from being undone
        machine.report("action", f"{action.name} failed with status {status}")
    elif status:
        raise Failure(f"the action {action.name!r} failed with status {status}", output)


def _written_paths(machine: Machine, resource: Resource) -> List[str]:
    """Return the paths beside which a killed write may have left something temporary."""
    if isinstance(resource, User):
        return [resource.home]
    if isinstance(resource, AuthorizedKey):
        account = machine.system.accounts.user(resource.user)
        return [authorized_keys(account.home)] if account else []
    if isinstance(resource, (File, Unit)):
        return [resource.path]
    return []
