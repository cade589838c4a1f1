"""``python3 DIGEST boot``: what rolecall-boot.service runs."""

from __future__ import annotations

import sys
from typing import List, Optional

from rolecall_agent.errors import Failure
from rolecall_agent.lock import locked
from rolecall_agent.machine import Machine
from rolecall_agent.store import Store
from rolecall_agent.systems.real import RealSystem
from rolecall_agent.undo import recover


def main(argv: Optional[List[str]] = None) -> int:
    """Undo an interrupted switch, restore the files below /run, and return the exit status."""
    if (sys.argv[1:] if argv is None else argv) != ["boot"]:
        sys.stderr.write("usage: python3 -m rolecall_agent boot\n")
        return 2
    try:
        with locked("/"):
            system = RealSystem(booting=True)
            store = Store(system)
            if store.current or store.journal:
                store.prepare()
            machine = Machine(system, store, print)
            recovered = recover(machine)
            if recovered:
                print("an interrupted switch was", recovered)  # noqa: T201 - systemd's journal
            apply_volatile(machine)
    except (Failure, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def apply_volatile(machine: Machine) -> None:
    """Apply the files and directories below /run again, which is empty after a boot.

    Raises:
        Failure: When some of them failed, after all others were applied.
    """
    failures = []
    for resource in machine.configuration(machine.store.current).resources:
        try:
            if resource.volatile and resource.reason_to_change(machine.system, machine.store):
                resource.apply(machine.system, machine.store)
        except (Failure, OSError) as error:
            failures.append(f"{resource.key}: {error}")
    if failures:
        raise Failure("; ".join(failures))


if __name__ == "__main__":
    raise SystemExit(main())
