"""The removal of everything of Rolecall's from a machine for which nothing is declared any more."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, List

from rolecall_agent.originals import LEFT
from rolecall_agent.resources import KINDS, class_of
from rolecall_agent.state import HOME

if TYPE_CHECKING:
    from rolecall_agent.machine import Machine


def purge(machine: Machine, *, homes: bool) -> List[str]:
    """Remove accounts that were created, and then the state directory; return notes on what stays.

    Args:
        machine: The machine.
        homes: Whether to remove the homes that were created, with everything in them.

    Raises:
        Failure: When resources are still managed, or an account cannot be removed.
    """
    system, store = machine.system, machine.store
    store.require_nothing_managed()
    left = {key[len(LEFT) :]: value for key, value in store.originals.items() if key.startswith(LEFT)}
    notes: List[str] = []
    for kind in reversed(list(KINDS)):  # users before their groups
        for key, value in left.items():
            if key.partition(":")[0] == kind:
                notes += class_of(kind).remove_left(key.partition(":")[2], value, system, homes=homes)
    store.purge()
    system.remove(f"{HOME}/lock")  # which is held: `locked` notices
    with contextlib.suppress(OSError):  # a recorded system keeps its record there
        system.remove(HOME)
    return notes
