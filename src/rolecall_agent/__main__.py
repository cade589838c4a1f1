"""``python3 DIGEST boot``, which rolecall-boot.service runs, and ``python3 DIGEST recover``."""
# ruff: noqa: T201 - the output goes to the journal of systemd, or to the agent that started this one

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any, Dict, List, Optional

from rolecall_agent import damage, rebooting, recovery, undo
from rolecall_agent.errors import Failure
from rolecall_agent.lock import PATIENCE, RECOVERY, LockedError, locked
from rolecall_agent.machine import Machine
from rolecall_agent.state import HOME
from rolecall_agent.store import Store
from rolecall_agent.systems import commands
from rolecall_agent.systems.real import RealSystem

if TYPE_CHECKING:
    from rolecall_agent.system import System

AGAIN = 300
"""Seconds between two tries of a recovery that fails."""


def main(argv: Optional[List[str]] = None) -> int:
    """Settle an interrupted switch; at boot, restore the files below /run as well. Return the exit status."""
    parser = argparse.ArgumentParser(prog="rolecall_agent", description=main.__doc__)
    parser.add_argument("command", choices=("boot", "recover"))
    parser.add_argument("--root", help="the root directory of a recorded system")
    parser.add_argument("--locked", action="store_true", help="the caller holds the lock")
    parser.add_argument("--late-for", default="", metavar="RUN", help="its controller has had its time to return")
    parser.add_argument("--booting", action="store_true", help="do not wait for units, which may wait for the caller")
    given = parser.parse_args(argv)
    if given.locked:
        return recover(given.root, booting=given.booting, locked=True)
    booting = given.command == "boot"
    if not booting and not given.root and RealSystem().is_stopping():
        return 0  # systemd starts no units any more; the next boot recovers
    root = given.root or "/"
    try:
        # After an agent has ended, another one that holds the lock has recovered the machine.
        with locked(root, RECOVERY, PATIENCE if booting else 0):
            status = boot() if booting else recover(given.root, late_for=given.late_for)
    except Failure as failure:
        print(f"error: {failure.message}", file=sys.stderr)
        return 1
    if status and not given.root:
        _try_again()
    return status


def _try_again() -> None:
    """Let systemd run `recover` until it succeeds. Where it does so already, this has no effect."""
    boot_agent = f"{HOME}/agent/boot"
    properties = {
        "Restart": "on-failure",
        "RestartSec": str(AGAIN),
        "StartLimitIntervalSec": "0",
        "ConditionPathExists": f"{HOME}/journal.json",
    }
    options = ["--unit=rolecall-recover", "--description=Rolecall: recover an interrupted switch"]
    options += [f"--property={name}={value}" for name, value in properties.items()]
    # --no-block: at boot, that unit waits for the one that this runs in.
    start = ["systemd-run", "--quiet", "--collect", "--no-block", *options]
    commands.run([*start, "--", *recovery.PYTHON, boot_agent, "recover"])


def boot() -> int:
    """Settle an interrupted switch, restore the files below /run, and return the exit status."""
    system = RealSystem(booting=True)
    failures = make_whole(Machine(system, Store(system), print))
    for message in failures:
        sys.stderr.write(f"error: {message}\n")
    return int(bool(failures))


def make_whole(machine: Machine) -> List[str]:
    """Settle an interrupted switch, restore the files below /run as far as possible, and return what failed."""
    store = machine.store
    failures, number = [], 0
    try:
        if store.current or store.journal:
            store.prepare()
            damage.require_whole(store)
        if journal := rebooting.begin_waiting(machine):
            number = journal.target
            machine.report("wait", f"for the controller of run {journal.meta['run']}")
        else:
            with rebooting.completing_undo(machine):
                if recovered := recovery.recover(machine, booting=True):
                    machine.report("an interrupted switch was", recovered)
    except rebooting.RebootingError as error:
        machine.report("recover", error.message)
    except (Failure, OSError) as error:
        failures.append(_described(error))
    try:
        failures += apply_volatile(machine, number or store.current)
    except (Failure, OSError) as error:
        failures.append(_described(error))
    return list(dict.fromkeys(failures))  # both may find the same damage


def _described(error: Exception) -> str:
    if not isinstance(error, Failure):
        return str(error)
    damage = [f"{each['key']}: {each['reason']}" for each in error.damage]
    return "\n".join(filter(None, [error.message, error.detail, *damage]))


def recover(root: Optional[str], *, booting: bool = False, locked: bool = False, late_for: str = "") -> int:
    """Settle an interrupted switch, print the result as a line of JSON, and return the exit status.

    Args:
        root: The root directory of a recorded system; None for this machine.
        booting: Whether starting units must not wait for them.
        locked: Whether another agent has started this one, to which a switch that waits for a reboot is a failure.
        late_for: As in `undo.recover`.
    """
    system: System
    if root is None:
        system = RealSystem(booting=booting)
    else:
        from rolecall_agent.systems.recorded import RecordedSystem

        system = RecordedSystem(root)
    machine = Machine(system, Store(system), lambda step, detail: print(step, detail, file=sys.stderr))
    result: Dict[str, Any]
    waits = False
    try:
        with rebooting.completing_undo(machine):
            result = {"recovered": undo.recover(machine, late_for=late_for)}
    except (Failure, OSError) as error:
        failure = error if isinstance(error, Failure) else Failure(str(error))
        result = {"message": failure.message, "detail": failure.detail, "damaged": failure.damage}
        waits = isinstance(error, LockedError) and not locked
    print(json.dumps(result))
    return int("recovered" not in result and not waits)


def apply_volatile(machine: Machine, number: int) -> List[str]:
    """Apply the resources of a generation that a shutdown removes; return what failed."""
    failures = []
    for resource in machine.configuration(number).resources:
        try:
            if resource.volatile and resource.reason_to_change(machine.system, machine.store):
                resource.apply(machine.system, machine.store)
        except (Failure, OSError) as error:
            failures.append(f"{resource.key}: {error}")
    return failures


if __name__ == "__main__":
    raise SystemExit(main())
