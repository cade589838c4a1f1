"""What systemd runs: ``python3 DIGEST boot`` in rolecall-boot.service, ``python3 DIGEST recover`` after an agent."""

from __future__ import annotations

import sys
from typing import List, Optional

from rolecall_agent.errors import Failure
from rolecall_agent.lock import PATIENCE, RECOVERY, locked, note_holder
from rolecall_agent.store import Store
from rolecall_agent.switch import Machine, recover
from rolecall_agent.systems import commands
from rolecall_agent.systems.real import RealSystem


def main(argv: Optional[List[str]] = None) -> int:
    """Undo an interrupted switch, after a boot also restore the files below /run, and return the exit status."""
    words = sys.argv[1:] if argv is None else argv
    if words not in (["boot"], ["recover"]):
        sys.stderr.write("usage: python3 -m rolecall_agent boot|recover\n")
        return 2
    booting = words == ["boot"]
    if not booting and commands.execute(["systemctl", "is-system-running"])[1] == "stopping\n":
        return 0  # systemd starts no units any more; the next boot recovers
    try:
        # Another agent that holds the lock by then has recovered the machine.
        with locked("/", PATIENCE if booting else 0):
            note_holder("/", RECOVERY)
            system = RealSystem(booting=booting)
            store = Store(system)
            if store.current or store.journal:
                store.prepare()
            machine = Machine(system, store, print)
            recovered = recover(machine)
            if recovered:
                print("an interrupted switch was", recovered)  # noqa: T201 - systemd's journal
            if booting:
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
        volatile = resource.kind in {"directory", "file"} and resource.key.partition(":")[2].startswith("/run/")
        try:
            if volatile and resource.reason_to_change(machine.system, machine.store):
                resource.apply(machine.system, machine.store)
        except (Failure, OSError) as error:
            failures.append(f"{resource.key}: {error}")
    if failures:
        raise Failure("; ".join(failures))


if __name__ == "__main__":
    raise SystemExit(main())
