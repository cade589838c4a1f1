"""The first look at a machine: under which name it is installed, and whether it is as expected."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Container, Dict, Optional

from rolecall_agent.comparison import drift
from rolecall_agent.errors import Failure

if TYPE_CHECKING:
    from rolecall_agent.machine import Machine
    from rolecall_agent.store import Store


def installed_name(store: Store, wanted: str, formerly: Container[str]) -> str:
    """Return the name under which the machine is installed; the wanted one if nothing is.

    Raises:
        Failure: When it is another one than the wanted or a former one.
    """
    name = store.configuration(store.current).machine if store.current else wanted
    if name != wanted and name not in formerly:
        hint = f"check the target of {wanted}; if it is a copy of the disk of {name}, run "
        hint += f"`rolecall inventory set machines.{wanted}.formerly '[\"{name}\"]'`; "
        hint += "if another project manages it, remove its roles there first"
        raise Failure(f"the machine is installed as {name!r}; {hint}")
    return name


def state(machine: Machine, name: str, expect: Optional[str]) -> Dict[str, Any]:
    """Return `protocol.State` of a machine with this name; ``expect``: digest of what it should have."""
    system, store = machine.system, machine.store
    current = store.generation(store.current)
    differences = drift(system, store, machine.configuration(store.current)) if current else []
    return {
        "type": "state",
        "machine": name,
        "same": bool(current and current["digest"] == expect and not differences),
        "current": current,
        "drift": differences,
        "recovered": None,
        "agent_python": sys.version.split()[0],
        "os": system.os_release(),
    }
