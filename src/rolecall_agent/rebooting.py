"""A reboot as a part of a switch, and of its undo.

A switch that needs one is told to `leave` once all its steps are done. From then on, only two things settle it: the
controller, which returns in another boot, or the end of the time that it has for that. `rolecall-boot.service` begins
this time (`begin_waiting`). If the machine boots once more before the controller is back, the switch is undone: the
new state may be what makes it crash.

An undo reboots as well if the machine has booted since the switch. It is settled by the boot that follows.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Iterator, List, Optional

from rolecall_agent import history
from rolecall_agent import journal as journals
from rolecall_agent.errors import Failure
from rolecall_agent.lock import LockedError
from rolecall_agent.reboot import reasons_to_reboot
from rolecall_agent.state import HOME
from rolecall_agent.systems.commands import PYTHON_OPTIONS

if TYPE_CHECKING:
    from rolecall_agent.inquiry import RunResult
    from rolecall_agent.journal import Journal
    from rolecall_agent.machine import Machine
    from rolecall_agent.protocol import RebootMode
    from rolecall_agent.system import System
    from rolecall_agent.work import Work

_BOOT_SECONDS = 300  # for all units to start


class RebootingError(LockedError):
    """The machine must reboot to complete an undo; `complete_undo` does so once nobody needs an answer any more."""

    def __init__(self) -> None:
        super().__init__("the machine reboots to complete the undo of an update", machine_unchanged=False)


def pending(system: System) -> List[str]:
    """Return why the machine must reboot, whatever the switch declares; nothing if this cannot be found out."""
    try:
        return reasons_to_reboot(system) or []
    except (Failure, OSError):
        return []


def choose(work: Work, found: List[str], mode: RebootMode, journal: Journal) -> None:
    """Note why the machine must reboot before the switch counts, or that a reboot stays pending.

    Args:
        work: What the switch has done.
        found: Why the machine must reboot, of what has only turned out during the switch.
        mode: As in `protocol.Switch`.
        journal: The journal of the switch.
    """
    due = [] if mode == "never" else [*work.reboot, *(found if mode == "needed" else ())]
    journal.reboot = due
    if left := [] if due else [*work.reboot, *found]:
        journal.notes.append(f"a reboot is pending: {'; '.join(left)}")


def leave(machine: Machine, journal: Journal, seconds: int) -> None:
    """Note that the machine reboots now, and that the controller has so many seconds to return.

    If the machine does not reboot in that time, the switch is undone, too.
    """
    journal.boot, journal.awaits, journal.seconds = machine.system.boot(), True, seconds
    journal.save(machine.store)
    machine.system.flush()
    _end_waiting_after(machine, journal)


def begin_waiting(machine: Machine) -> Optional[Journal]:
    """At boot, give the controller its time to return; return the journal of the switch, or None if none waits."""
    journal, boot = journals.load(machine.store), machine.system.boot()
    if not (journal and journal.awaits and boot != journal.boot and journal.waits_in in {"", boot}):
        return None
    _end_waiting_after(machine, journal)
    journal.waits_in = boot
    journal.save(machine.store)
    return journal


def require_no_reboot(machine: Machine, journal: Journal, late_for: str) -> str:
    """Require that a switch that is to be undone is not within a reboot, nor waits for its controller.

    Args:
        machine: The machine.
        journal: The journal of the switch.
        late_for: The run whose controller has had its time to return, or "".

    Returns:
        Why it is undone, if it has waited for that, else "".

    Raises:
        LockedError: When it does.
    """
    system, boot = machine.system, machine.system.boot()
    if journal.undone_in == boot:
        raise RebootingError
    if not journal.awaits or not system.boots:
        return ""
    if late_for == journal.meta["run"] and boot != journal.boot:
        return f"nobody returned within {journal.seconds} s after the reboot"
    if system.is_stopping() if boot == journal.boot else boot == journal.waits_in:
        run, user = journal.meta["run"], journal.meta["user"]
        raise LockedError(f"the machine is locked by run {run} of {user}, for which it reboots")
    return "it did not reboot" if boot == journal.boot else "it booted again before anybody returned"


def require_returned(machine: Machine, run: str, nonce: str) -> Journal:
    """Require that a machine has rebooted for a run, wait until it has started its units, and return the journal.

    Raises:
        LockedError: When it has not rebooted yet.
        Failure: When its switch is undone meanwhile.
    """
    journal = journals.load(machine.store)
    if journal is None or not journal.awaits or (journal.meta["run"], journal.nonce) != (run, nonce):
        last, _ = history.read(machine.system, 1)
        why = f": {last[0]['message']}" if last and last[0]["run"] == run else ""
        raise Failure(f"the switch was undone{why}", machine_unchanged=False)
    if machine.system.boot() == journal.boot:
        raise LockedError("the machine has not rebooted yet", machine_unchanged=False)
    journal.awaits = False  # from here on, an interruption undoes it at once
    journal.save(machine.store)
    machine.system.run(["systemctl", "stop", f"{_timer(run)}.timer"], _BOOT_SECONDS)
    machine.report("wait", "until all units are started")
    machine.system.run(["systemctl", "is-system-running", "--wait"], _BOOT_SECONDS)
    return journal


def require_no_later_boot(machine: Machine, journal: Journal, result: RunResult, reason: str) -> None:
    """Require that a machine has not booted with what was undone, or has rebooted since.

    Args:
        machine: The machine.
        journal: The journal of the switch.
        result: How its run ends on this machine, for the history.
        reason: Why.

    Raises:
        RebootingError: When it must reboot. The boot that follows settles the switch.
    """
    system = machine.system
    if not journal.boot or journal.boot == system.boot() or journal.undone_in:
        return
    journal.undone_in, journal.ending, journal.awaits = system.boot(), (result, reason), False
    journal.save(machine.store)
    system.flush()
    raise RebootingError


def complete_undo(machine: Machine) -> None:
    """Reboot the machine if this is all that an undo still needs, and it is not under way."""
    journal = journals.load(machine.store)
    if journal and journal.undone_in == machine.system.boot() and not machine.system.is_stopping():
        machine.report("reboot", "it has booted with what was undone")
        machine.system.reboot()


@contextlib.contextmanager
def completing_undo(machine: Machine) -> Iterator[None]:
    """Reboot the machine at once if the block raises RebootingError."""
    try:
        yield
    except RebootingError:
        complete_undo(machine)
        raise


def _end_waiting_after(machine: Machine, journal: Journal) -> None:
    """Let systemd undo the switch after its seconds."""
    run = journal.meta["run"]
    options = [f"--unit={_timer(run)}", "--description=Rolecall: undo an update whose controller is away"]
    # At boot, the timer must not wait for the unit that this runs in, since systemd-run waits for the timer.
    properties = ["AccuracySec=1s", "DefaultDependencies=no"]
    options += [f"--on-active={journal.seconds}", *(f"--timer-property={each}" for each in properties)]
    agent = [sys.executable or "/usr/bin/python3", *PYTHON_OPTIONS, f"{HOME}/agent/boot", "recover", "--late-for", run]
    status, output = machine.system.run(["systemd-run", "--quiet", "--collect", *options, "--", *agent], 60)
    if status:
        raise Failure("cannot start the timer that would undo the update", output)


def _timer(run: str) -> str:
    return f"rolecall-return-{run}"
