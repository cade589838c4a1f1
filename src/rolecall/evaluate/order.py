"""The order in which machines switch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rolecall.model.membership import Membership


def waves(membership: Membership) -> dict[str, int]:
    """The wave of every member's machine, from 0.

    In each instance, machines of an earlier role of the service come before those of the next role that has members.
    Where instances contradict each other, the machines concerned switch together.
    """
    before: dict[object, set[object]] = {}
    for instance, casts in membership.casts.items():
        barrier: object = None
        for role, cast in casts.items():
            if not cast.settings:
                continue
            following = (instance, role)  # stands between this role's machines and the next ones: edges stay linear
            before[following] = set(cast.settings)
            for machine in cast.settings:
                before.setdefault(machine, set())
                if barrier is not None:
                    before[machine].add(barrier)
            barrier = following
    machines = {machine for casts in membership.casts.values() for cast in casts.values() for machine in cast.settings}
    found: dict[str, int] = {}
    done: set[object] = set()
    wave = 0
    while len(found) < len(machines):
        ready = {machine for machine in machines - found.keys() if before[machine] <= done}
        if not ready:
            ready = machines - found.keys()  # a contradiction
        found |= dict.fromkeys(ready, wave)
        done |= ready
        done |= {node for node, needs in before.items() if isinstance(node, tuple) and needs <= done}
        wave += 1
    return found
