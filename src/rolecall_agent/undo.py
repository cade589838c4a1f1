"""The way back: undo a switch from its journal, or settle it.

Undoing needs nothing but the journal and what the store keeps for it, touches only what the switch may have touched,
and asks of units only what they were before. What fails is recorded, and the rest goes on; the journal then stays, and
the next open, boot or `recover` tries again. Every step looks first and does only what is missing, so an undo that was
killed is simply done again.
"""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional

from rolecall_agent import history, rebooting
from rolecall_agent import journal as journals
from rolecall_agent.errors import Failure
from rolecall_agent.health import require_running
from rolecall_agent.journal import DECLARED
from rolecall_agent.originals import MADE, is_resource
from rolecall_agent.resources import KINDS, class_of, transaction
from rolecall_agent.unit_types import have_unit_files, reload

if TYPE_CHECKING:
    from rolecall_agent.configuration import Configuration
    from rolecall_agent.inquiry import PastRun, RunResult
    from rolecall_agent.journal import Journal
    from rolecall_agent.machine import Machine
    from rolecall_agent.protocol import Damage
    from rolecall_agent.resources import Resource
    from rolecall_agent.store import Store

COMMAND_SECONDS = 600
INTERRUPTED = "it was interrupted"
_SECONDS_TO_FAIL = 0.3  # systemd.service(5), Type=simple: the start job ends before the program is executed
NAMED = 5  # resources in a message
HINTS = {
    errno.ENOSPC: "make room on its file system",
    errno.EDQUOT: "make room in the quota of its owner",
    errno.EROFS: "mount its file system read-write",
    errno.EBUSY: "unmount what is mounted there",
    errno.EIO: "check the disk",
}
"""What to do about an error of the system."""


def recover(machine: Machine, reason: str = INTERRUPTED, late_for: str = "") -> Optional[str]:
    """Settle an interrupted switch; return how, ``"undone"`` or ``"committed"``, or None when there is none.

    Args:
        machine: The machine.
        reason: Why it is undone, if it is not decided; for the history.
        late_for: As in `rebooting.require_no_reboot`.

    Raises:
        Failure: As `undo`.
        LockedError: When the machine reboots for the switch, or waits for its controller after that.
    """
    journal = journals.load(machine.store)
    if journal is None:
        return None
    if journal.decided or machine.store.current == journal.target:
        machine.store.set_current(journal.target)
        settle(machine, journal, history.past_run(journal, "committed"))
        return "committed"
    undo(machine, journal, "undone", rebooting.require_no_reboot(machine, journal, late_for) or reason)
    return "undone"


def undo(machine: Machine, journal: Journal, result: RunResult, reason: str) -> None:
    """Put back what a switch has touched, and settle it.

    Args:
        machine: The machine.
        journal: The journal of the switch.
        result: How its run ends on this machine, for the history.
        reason: Why.

    Raises:
        Failure: When something could not be put back; ``damage`` says what. The journal is kept.
        RebootingError: When it is undone, and the machine must reboot now.
    """
    if journal.ending:  # it was undone, and the machine has rebooted since
        result, reason = journal.ending
    run = history.past_run(journal, result, reason)
    journal.provisional = False  # from here on, nobody can commit it
    with contextlib.suppress(OSError):  # a full disk must not prevent the undo
        journal.save(machine.store)
    steps = _Undo(machine, journal)
    steps.run()
    if not steps.damage:
        rebooting.require_no_later_boot(machine, journal, result, reason)
        try:
            settle(machine, journal, run)
        except (Failure, OSError) as error:  # it is undone, and the journal is still there: the next open cleans up
            machine.report("undo", f"the cleanup is left to the next run: {error}")
        return
    journal.damage = list(steps.damage.values())
    with contextlib.suppress(OSError):
        journal.save(machine.store)
    more = f" and {len(steps.damage) - NAMED} more" if len(steps.damage) > NAMED else ""
    message = f"the undo failed for {', '.join(list(steps.damage)[:NAMED])}{more}"
    history.append(machine.system, {**run, "result": "damaged", "message": f"{message}, after: {reason}"})
    raise Failure(message, machine_unchanged=False, damage=journal.damage)


def accept(machine: Machine) -> None:
    """Give up the undo of an interrupted switch: what is there now is what the next comparison starts from.

    The current generation stays the one before the switch. What was in the place of resources is still known.
    """
    journal = journals.load(machine.store)
    if journal:
        steps = _Undo(machine, journal)
        steps.look()
        journal.abandoned = sorted({*journal.abandoned, *(steps.damage.keys() & machine.store.originals.keys())})
        settle(machine, journal, history.past_run(journal, "accepted"))


def abandon(machine: Machine, keys: Iterable[str]) -> None:
    """Leave single resources of an interrupted switch as they are; `recover` undoes the others.

    Raises:
        Failure: When there is no interrupted switch, or it has not touched one of them.
    """
    journal = journals.load(machine.store)
    if journal is None:
        raise Failure("no switch was interrupted")
    known = {
        *journal.before,
        *(f"package:{name}" for name in journal.packages),
        *(f"unit:{name}" for name in journal.units),
        *(key for key, _ in journal.commands),
    }
    for key in keys:
        if key not in known:
            raise Failure(f"the interrupted switch has not touched {key}")
        journal.before.pop(key, None)
        journal.packages.pop(key.partition(":")[2] if key.startswith("package:") else "", None)
        journal.units.pop(key.partition(":")[2] if key.startswith("unit:") else "", None)
        journal.commands = [command for command in journal.commands if command[0] != key]
        journal.abandoned = sorted({*journal.abandoned, key})
    journal.damage = [each for each in journal.damage if each["key"] not in journal.abandoned]
    journal.awaits = False
    journal.save(machine.store)


def settle(machine: Machine, journal: Journal, run: PastRun) -> List[str]:
    """Clean up after a switch was committed or undone, whose `run` goes into the history; return notes on failures."""
    system, store = machine.system, machine.store
    declared = {resource.key for resource in machine.configuration(store.current).resources}
    store.mark_abandoned(key for key in journal.abandoned if key not in declared)
    originals = {key: value for key, value in store.originals.items() if is_resource(key)}
    ended = {key: value for key, value in originals.items() if key not in declared and not value.get("abandoned")}
    notes = transaction.remove(machine, journal, ended)
    for name in KINDS:
        of_kind = _of_kind(name, ended)
        if of_kind:
            kind = class_of(name)
            still = _of_kind(name, {key: value for key, value in originals.items() if key in declared})
            notes += kind.settle(of_kind, still.values(), system)
            store.leave(kind.left(of_kind, set(_created_paths(store)), system))
    if not declared:
        machine.remove_boot_unit()
    # Only now: an undo may have created them again. During a boot, what is below /run is created later.
    gone = [path for path in _created_paths(store) if system.stat(path) is None]
    forgotten = [path for path in gone if system.units.settled or not path.startswith("/run/")]
    store.drop_originals([*ended, *(f"{MADE}{path}" for path in forgotten)])
    if not (declared and journal.provisional):  # the switch has flushed what is committed
        system.flush()
    notes += history.append(system, run)
    store.drop_journal()
    notes += store.prune()  # only without a journal: recovery needs both generations
    return notes + transaction.tidy(machine, journal)


def remove_empty_paths(machine: Machine, configuration: Configuration) -> None:
    """Remove parent folders and authorized_keys files that Rolecall created, once they are empty."""
    system, store = machine.system, machine.store
    kept = {folder for resource in configuration.resources for folder in resource.folders}
    for path in sorted(_created_paths(store), reverse=True):
        entry = system.stat(path)
        empty_file = entry and entry.type == "file" and not entry.size
        empty_folder = entry and entry.type == "directory" and path not in kept and not system.names(path)
        empty_folder = empty_folder and not system.barriers(path).mounted
        if empty_file or empty_folder:
            system.remove(path)


class _Undo:
    """The steps of one undo.

    Attributes:
        damage: What could not be put back, by key.
    """

    def __init__(self, machine: Machine, journal: Journal) -> None:
        self._machine = machine
        self._system = machine.system
        self._store = machine.store
        self._journal = journal
        self.damage: Dict[str, Damage] = {}
        source = machine.configuration(journal.source)
        self._source = source
        self._old = {resource.key: resource for resource in source.resources}
        target = machine.configuration(journal.target)
        self._resources: Dict[str, Resource] = {item.key: item for item in (*target.resources, *source.resources)}
        for resource in self._resources.values():
            resource.announce(self._system)

    def run(self) -> None:
        """Take all steps; what fails is in `damage`."""
        journal, units = self._journal, self._system.units
        units.forget()
        self._remove_temporary_files()
        self._each_unit("stop", lambda name: not journal.units[name]["active"] and units.state(name).active)
        self._each_unit("reset-failed", lambda name: units.state(name).failed)
        self._run_commands()
        self._each_unit("disable", lambda name: not journal.units[name]["enabled"] and units.state(name).enabled)
        for key in reversed(list(journal.before)):
            with self._attempt(key):
                self._put_back(key)
        with self._attempt("made"):
            remove_empty_paths(self._machine, self._source)
        self._each_unit("enable", lambda name: journal.units[name]["enabled"] and not units.state(name).enabled)
        self._each_unit("reenable", lambda name: name in journal.reenabled)
        if journal.units or have_unit_files((self._resources[key] for key in journal.before), self._system):
            with self._attempt("systemd"):
                units.run("daemon-reload", ())
        self._each_unit("stop", self._keeps_a_socket_from_restarting)
        gently = {*journal.reloaded, *journal.along}
        self._each_unit("restart", lambda name: name not in gently and self._may_run_the_new(name))
        for name in filter(self._may_run_the_new, journal.reloaded):
            with self._attempt(f"unit:{name}"):
                reload(units, [name])
        self._each_unit("start", self._is_missing)
        self.look_at_resources()
        if journal.packages:
            # What packages brought must not be put back once they are removed, even if this is done again.
            journal.before = {key: before for key, before in journal.before.items() if key in self.damage}
            with contextlib.suppress(OSError):  # a full disk: putting packages back may be what frees it
                journal.save(self._store)
            with self._attempt("packages"):
                transaction.put_back(self._machine, journal)
        self.look_at_packages()
        self.look_at_units()

    def _remove_temporary_files(self) -> None:
        self._system.token = self._journal.token
        written = [(item.key, path) for item in self._resources.values() for path in item.paths_on(self._system)]
        for key, before in self._journal.before.items():  # where a link led when it was captured
            written += [(key, path) for path in (before.get("path"), *before.get("elsewhere", ())) if path]
        for key, path in (*written, *(("made", path) for path in _created_paths(self._store))):
            with self._attempt(key):
                self._system.remove_temporary(path)

    def _put_back(self, key: str) -> None:
        resource, captured = self._resources[key], self._journal.before[key]
        if not self._difference(key):
            return
        self._machine.report("restore", key)
        if captured.get("type") == DECLARED:
            self._old[key].apply(self._system, self._store)
        else:
            resource.restore(self._system, self._store, captured)

    def _difference(self, key: str) -> str:
        """Return how a resource differs from what it was before the switch, or ""."""
        captured = self._journal.before[key]
        if captured.get("type") == DECLARED:
            old = self._old[key]
            if old.in_place(self._system, self._store):
                return ""
            return old.reason_to_change(self._system, self._store) or "not as before"
        return self._resources[key].difference_from(captured, self._system, self._store)

    def _run_commands(self) -> None:
        for key, argv in list(self._journal.commands):
            with self._attempt(key):
                self._machine.report("action", key.partition(":")[2])
                status, output = self._system.run(argv, COMMAND_SECONDS)
                if status:
                    raise Failure(f"its undo command failed with status {status}", output)
                self._journal.commands.remove((key, argv))

    def _each_unit(self, verb: str, applies: Callable[[str], bool]) -> None:
        """Run a verb on units one by one, so that one that fails does not keep the others."""
        for name in self._journal.units:
            with self._attempt(f"unit:{name}"):
                if applies(name):
                    self._machine.report(verb, name)
                    self._system.units.run(verb, [name])

    def _may_run_the_new(self, name: str) -> bool:
        before = self._journal.units[name]["active"]
        return before and self._journal.restarted and self._system.units.state(name).active

    def _keeps_a_socket_from_restarting(self, name: str) -> bool:
        sockets = (unit for unit in self._journal.units if unit.endswith(".socket") and self._may_run_the_new(unit))
        return any(name in self._system.units.state(socket).triggers for socket in sockets)

    def _is_missing(self, name: str) -> bool:
        state = self._system.units.state(name)
        return self._journal.units[name]["active"] and not (state.active or state.done)

    def look(self) -> None:
        """Compare everything with what it was, and record what differs: nothing else shows that it is restored."""
        self.look_at_resources()
        self.look_at_packages()
        self.look_at_units()

    def look_at_resources(self) -> None:
        """Record which resources differ from what they were, packages and units aside."""
        for key in self._journal.before:
            with self._attempt(key):
                if difference := self._difference(key):
                    raise Failure(difference)

    def look_at_packages(self) -> None:
        """Record which packages differ from what they were."""
        with self._attempt("packages"):
            for name, difference in transaction.differences(self._machine, self._journal).items():
                with self._attempt(f"package:{name}"):
                    raise Failure(difference)

    def look_at_units(self) -> None:
        """Record which units differ from what they were."""
        units = self._system.units
        healthy = [name for name, before in self._journal.units.items() if before["active"] and not before["failed"]]
        if units.settled:
            with contextlib.suppress(Failure):  # below, each is named
                require_running(units, healthy, _SECONDS_TO_FAIL)
        units.forget()
        for name, before in self._journal.units.items():
            with self._attempt(f"unit:{name}"):
                state = units.state(name)
                if name in healthy and units.settled:
                    require_running(units, [name])
                if before["active"] and units.settled and not (state.active or state.done):
                    raise Failure("it ran before, and does not run now")
                if state.active and units.settled and not before["active"]:
                    raise Failure("it did not run before, and runs now")
                if state.enabled != before["enabled"]:
                    raise Failure("it was enabled before" if before["enabled"] else "it was not enabled before")

    @contextlib.contextmanager
    def _attempt(self, key: str) -> Iterator[None]:
        """Record a failure of the block as damage of a resource; the first of each counts."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is, the other steps must be taken
            reason = str(error) if isinstance(error, (Failure, OSError)) else f"{type(error).__name__}: {error}"
            resource = self._resources.get(key)
            paths = resource.paths_on(self._system) if resource else ()
            hint = HINTS.get(error.errno or 0, "") if isinstance(error, OSError) else ""
            if not hint and key.startswith("unit:"):
                hint = f"see `systemctl status {key[5:]}` on the machine"
            damage: Damage = {"key": key, "path": paths[0] if paths else "", "reason": reason, "hint": hint}
            self.damage.setdefault(key, damage)


def _of_kind(kind: str, originals: Mapping[str, Dict[str, Any]]) -> Dict[str, Dict[str, Any]]:
    return {key: value for key, value in originals.items() if key.partition(":")[0] == kind}


def _created_paths(store: Store) -> List[str]:
    """Return the paths that were created because resources needed them."""
    return [key[len(MADE) :] for key in store.originals if key.startswith(MADE)]
