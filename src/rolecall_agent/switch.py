"""The steps of a switch, in order. `undo` takes back those that were begun.

`switch` makes a new generation provisional, `decide` rules out its undo, and `commit` makes it the current one. Before
each step, the journal says what the step is about to touch, and what is there now.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Dict, Iterable, List, Optional, Sequence, Set, Tuple

from rolecall_agent import boot, history, rebooting
from rolecall_agent import journal as journals
from rolecall_agent.checking import run_gate
from rolecall_agent.comparison import compare, drift
from rolecall_agent.errors import Failure
from rolecall_agent.health import SETTLE, Watch, require_running, watch
from rolecall_agent.journal import DECLARED, Journal
from rolecall_agent.resources import class_of, transaction
from rolecall_agent.resources.placing import has_attributes
from rolecall_agent.undo import remove_empty_paths, settle, undo
from rolecall_agent.unit_types import applies_when_loaded, reload

if TYPE_CHECKING:
    from rolecall_agent.configuration import Configuration
    from rolecall_agent.machine import Machine
    from rolecall_agent.protocol import Meta, Provenance, RebootMode
    from rolecall_agent.resources import Resource
    from rolecall_agent.resources.base import Captured
    from rolecall_agent.work import Command, Work

# They carry the connection to the controller, so they come last, when everything else is known to work.
_LAST = ("sshd.service", "ssh.service", "systemd-networkd.service")
CHANGED = "the machine has changed since this was planned"
COMMAND_SECONDS = 600
"""How long the command of an action may take."""


def switch(
    machine: Machine,
    target: Configuration,
    meta: Meta,
    *,
    nonce: str,
    confirm: bool,
    reboot: RebootMode = "planned",
    shown: Optional[Work] = None,
    provenance: Optional[Provenance] = None,
    skipped_checks: Sequence[str] = (),
    failing_checks: Sequence[str] = (),
) -> Tuple[List[str], Optional[Watch]]:
    """Switch to a staged configuration, which is provisional afterwards unless the machine must reboot first.

    Args:
        machine: The machine; it has no journal.
        target: The configuration; the store has everything that it needs.
        meta: Who switches, and when.
        nonce: What a confirmation must contain.
        confirm: Whether `decide` needs a confirmation.
        reboot: What to do if the machine must reboot.
        shown: What it may do; None for anything.
        provenance: From what service code has made the configuration.
        skipped_checks: As in `Journal`.
        failing_checks: As in `Journal`.

    Returns:
        The keys of the resources that changed, and the units that must still run when it counts (`health`); None
        instead of these if the machine must reboot.

    Raises:
        Failure: When it failed; ``machine_unchanged`` tells whether it was undone.
    """
    store = machine.store
    old, new = machine.configuration(store.current), machine.with_boot_unit(target)
    work = compare(machine.system, store, old, new)
    if shown and not work.is_part_of(shown):
        raise Failure(transaction.changed_version(shown, work) or CHANGED)
    work.leave_out(boot.NAME)  # it is installed before all else, and removed last
    number = store.add_generation(target, meta, provenance)
    journal = Journal(store.agent, meta, store.current, number, nonce, confirm, machine.system.token)
    states = {name: machine.system.units.state(name) for name in work.units}
    journal.abandoned = list(work.lost)
    journal.skipped_checks, journal.failing_checks = list(skipped_checks), list(failing_checks)
    journal.units = {
        name: {"enabled": state.enabled, "active": state.active, "failed": state.failed}
        for name, state in states.items()
        if state.active or name not in work.refresh
    }
    journal.down, journal.settle = list(work.revive), dict(work.settle)
    journal.reenabled, journal.reloaded, journal.along = list(work.reenable), list(work.reload), work.restarted_along
    store.set_boot_agent()
    journal.save(store)
    before = rebooting.pending(machine.system)
    try:
        machine.install_boot_unit()
        started = _Move(machine, journal, work, store.configuration(journal.source), target).run()
        _require_no_difference(machine, target, journal.down)
        transaction.record(machine, journal, target)
        found = [reason for reason in rebooting.pending(machine.system) if reason not in before]
        rebooting.choose(work, found, reboot, journal)
        if journal.reboot:
            journal.save(store)
            return sorted(work.changed), None
        watched = _make_provisional(machine, journal, target, started)
    except Exception as error:
        raise _undo_after(machine, journal, error) from error
    return sorted(work.changed), watched


def go_on(machine: Machine, run: str, nonce: str) -> Tuple[Journal, Watch]:
    """Go on with a switch after the reboot that it needed; it is provisional afterwards.

    Args:
        machine: The machine.
        run: The run that switches.
        nonce: As in `switch`.

    Returns:
        The journal, and the units that must still run when it counts (`health`).

    Raises:
        LockedError: When the machine has not rebooted yet.
        Failure: When the machine no longer waits for this, or when it failed, as `switch`.
    """
    journal = rebooting.require_returned(machine, run, nonce)
    target = machine.store.configuration(journal.target)
    started = [name for resource in target.resources for name in resource.started_units]
    try:
        _require_no_difference(machine, target, journal.down)
        watched = _make_provisional(machine, journal, target, started)
    except Exception as error:
        raise _undo_after(machine, journal, error) from error
    return journal, watched


def _make_provisional(machine: Machine, journal: Journal, target: Configuration, started: Sequence[str]) -> Watch:
    """Require that the checks of the machine alone succeed, and return the units that must still run when it counts.

    Args:
        machine: The machine.
        journal: The journal of the switch.
        target: Its configuration.
        started: The names of the units that were started.
    """
    watched = watch(machine.system.units, started, journal.settle)
    _require_checks(machine, journal, target, watched.until)
    machine.system.flush()  # before anybody can commit it
    journal.provisional = True
    journal.save(machine.store)
    return watched


def decide(machine: Machine) -> None:
    """Record that all machines of the run can commit: from now on, recovery goes forward.

    Raises:
        Failure: When no switch is provisional, or its confirmation is missing.
    """
    journal = _provisional(machine)
    if journal.confirm and machine.store.confirmed != journal.nonce:
        raise Failure("the switch has not been confirmed over a second connection", machine_unchanged=False)
    journal.decided = True
    journal.save(machine.store)


def commit(machine: Machine) -> Tuple[int, List[str]]:
    """Make the provisional generation the current one; return its number, and notes on what is left to do.

    Raises:
        Failure: When no generation is provisional, or that is not decided. After any exception, nothing is committed.
    """
    journal = _provisional(machine)
    if not journal.decided:
        raise Failure("the switch is not decided", machine_unchanged=False)
    store = machine.store
    try:
        store.set_current(journal.target)
        return journal.target, [*journal.notes, *settle(machine, journal, history.past_run(journal, "committed"))]
    except Exception as error:
        if store.current != journal.target:
            raise
        # It is committed. The journal is still there, so the next open cleans up.
        return journal.target, [*journal.notes, f"the cleanup is left to the next run: {error}"]


def _provisional(machine: Machine) -> Journal:
    journal = journals.load(machine.store)
    if journal is None or not journal.provisional:
        raise Failure("no switch is provisional")
    return journal


def _require_checks(machine: Machine, journal: Journal, target: Configuration, until: float) -> None:
    """Require that the checks of the machine alone succeed; while units settle, they may fail."""
    machine.report("check", "")
    results, notes = run_gate(machine.system, target.checks, journal, peers=False, until=until)
    journal.notes += notes
    for failed in (result for result in results if not result["ok"]):
        raise Failure(f"the check {failed['name']!r} failed", failed["output"])


def _require_no_difference(machine: Machine, target: Configuration, down: Sequence[str]) -> None:
    """Require that the machine now is as declared, so that the next plan is empty; but for units that were down."""
    machine.system.units.renew()
    ignored = {f"unit:{name}" for name in down}
    left = [each for each in drift(machine.system, machine.store, target) if each["key"] not in ignored]
    if left:
        differences = "; ".join(f"{each['key']}: {each['reason']}" for each in left)
        keys = [each["key"] for each in left]
        units = [name for kind, _, name in (key.partition(":") for key in keys) if kind == "unit"]
        log = machine.system.units.log(units) if units else ""
        raise Failure(f"not as declared after the switch: {differences}", log)


def _undo_after(machine: Machine, journal: Journal, error: Exception) -> Failure:
    """Undo a switch that failed, and return the failure to raise."""
    failure = error if isinstance(error, Failure) else Failure(f"{type(error).__name__}: {error}")
    machine.report("undo", failure.message)
    try:
        undo(machine, journal, "failed", failure.message)
    except Failure as second:
        message = f"{failure.message}; {second.message}"
        return Failure(message, failure.detail, machine_unchanged=False, damage=second.damage)
    return failure


class _Move:
    """The way from one configuration to another, with a journal of its steps."""

    def __init__(self, machine: Machine, journal: Journal, work: Work, old: Configuration, new: Configuration) -> None:
        self._machine = machine
        self._system = machine.system
        self._store = machine.store
        self._journal = journal
        self._work = work
        self._old = {resource.key: resource for resource in old.resources}
        self._new = new
        self._started: List[str] = []
        self._made: Set[str] = set()  # the folders that this switch has made, as keys of originals

    def run(self) -> List[str]:
        """Take all steps, and return the names of the units that it has started."""
        work = self._work
        listed = work.listed
        due = [resource for resource in self._new.resources if resource.key in listed]
        self._apply(resource for resource in due if not resource.interrupts)
        self._verify_units_again()
        self._stop()
        self._apply(resource for resource in due if resource.interrupts)
        self._remove()
        self._run(work.run)
        self._start()
        return self._started

    def _verify_units_again(self) -> None:
        """Verify unit files once packages have brought the units that they may require."""
        listed = self._work.listed
        left = {key for key in listed if not key.startswith("package:")}
        if left != listed:
            units = [resource for resource in self._new.resources if resource.kind == "unit"]
            class_of("unit").verify(units, left, self._system, self._store)

    def _apply(self, due: Iterable[Resource]) -> None:
        for kind, group in groupby(due, key=lambda resource: resource.kind):
            resources = list(group)
            self._touch(resources)
            transaction.install(resources, self._machine, self._journal, self._work)
            class_of(kind).apply_all(resources, self._system, self._store, self._machine.report)

    def _stop(self) -> None:
        work, units = self._work, self._system.units
        if work.stop:
            self._machine.report("stop", " ".join(work.stop))
            units.run("stop", [name for name in work.stop if units.state(name).known])
        stopped = {*work.stop, *(other for name in work.stop for other in work.along.get(name, ()))}
        # How they end on a signal is up to them. It must not leave the machine degraded.
        units.run("reset-failed", sorted({*work.reset, *(name for name in stopped if units.state(name).failed)}))

    def _remove(self) -> None:
        """Remove what is no longer declared, and restore the originals."""
        work, system, store = self._work, self._system, self._store
        self._run(work.undo)
        # systemctl reads the [Install] section, so the unit file must still exist.
        system.units.run("disable", [name for name in work.disable if system.units.state(name).known])
        resources = [self._old[key] for key in work.remove if key in store.originals]
        self._touch(resources)
        for resource in resources:
            self._machine.report("remove", resource.key)
            resource.restore(system, store, store.originals[resource.key])
        remove_empty_paths(self._machine, self._new)

    def _run(self, commands: Sequence[Command]) -> None:
        """Run commands, after recording how to take back their effects."""
        if not commands:
            return
        reverse = [(command.key, list(command.reverse)) for command in commands if command.reverse]
        self._journal.commands[:0] = reversed(reverse)
        self._journal.save(self._store)
        for command in commands:
            name = command.key.partition(":")[2]
            self._machine.report("action", name)
            status, output = self._system.run(command.argv, COMMAND_SECONDS)
            if status:
                raise Failure(f"the action {name!r} failed with status {status}", output)

    def _start(self) -> None:
        """Make systemd load the unit files, and enable, restart, reload and start units."""
        work, units, report = self._work, self._system.units, self._machine.report
        if work.units:
            self._journal.restarted = True
            self._journal.save(self._store)
        units.run("enable", work.enable)
        units.run("reenable", work.reenable)
        if work.run or work.undo or work.packages:  # any of them may have changed what systemd makes units of
            units.forget()
        units.renew()
        starting = [*work.restart, *work.reload, *work.start, *work.revive, *work.refresh]
        if work.units_changed or any(units.state(name).stale for name in starting):
            report("systemd", "reload")
            units.run("daemon-reload", ())
        refresh = [name for name in work.refresh if (state := units.state(name)).active or state.failed]
        restart = [*work.restart, *(name for name in refresh if not applies_when_loaded(name, units.state(name)))]
        reloading = [*work.reload, *(name for name in refresh if name not in restart)]
        along = work.restarted_along
        verbs = (("restart", restart), ("reload", reloading), ("start", work.start), ("start", along))
        units.run("stop", work.pause)
        units.run("reset-failed", [*restart, *work.start, *work.revive])  # also what counts towards a start limit
        for last in (False, True):
            started = []
            for verb, names in verbs:
                batch = [name for name in names if (name in _LAST) is last]
                started += batch
                if names is along:  # systemd has restarted most of them
                    batch = [name for name in batch if not units.state(name).active]
                if batch:
                    report(verb, " ".join(batch))
                    reload(units, batch) if verb == "reload" else units.run(verb, batch)
            require_running(units, started)
            self._started += started
        for name in work.revive:
            report("start", name)
            try:
                units.run("start", [name])
                require_running(units, [name], SETTLE)
            except Failure as failure:
                self._journal.notes.append(f"{name} was down before, and is still: {failure.message}")

    def _touch(self, resources: Sequence[Resource]) -> None:
        """Record what is in the place of resources before they change."""
        if not resources:
            return
        store, journal = self._store, self._journal
        originals: Dict[str, Captured] = {}
        for resource in resources:
            captured = self._capture(resource) if self._needs_capture(resource) else {resource.key: {"type": DECLARED}}
            journal.before[resource.key] = captured[resource.key]
            original = store.originals.get(resource.key)
            if original is None:
                originals.update({key: value for key, value in captured.items() if key not in store.originals})
            elif original.pop("abandoned", False):  # it is managed again
                originals[resource.key] = original
            elif (more := resource.original_with(original, captured[resource.key])) != original:
                originals[resource.key] = more
        self._made.update(key for key in originals if key.startswith("made:"))
        store.add_originals(originals)
        journal.save(store)

    def _needs_capture(self, resource: Resource) -> bool:
        """Return whether the old configuration does not say what is in a resource's place."""
        old = self._old.get(resource.key)
        if old is None or resource.key not in self._store.originals:
            return True
        # The content of a file with secrets is never copied.
        said = old.in_place(self._system, self._store) and self._store.has_blobs(old.parts)
        said = said and not has_attributes(self._system, old.paths_on(self._system))
        return old.partial or not (old.secrets or said)

    def _capture(self, resource: Resource) -> Dict[str, Captured]:
        captured = resource.capture(self._system, self._store)
        key = resource.key
        captured[key] = resource.before_switch(captured[key], self._made, self._journal.units)
        return captured
