"""The order in which machines switch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolecall.model.membership import Membership

    _Barrier = tuple[str, str]  # a role of an instance: done when all its machines are, and edges stay linear


def waves(membership: Membership) -> dict[str, int]:
    """The wave of every member's machine, from 0.

    In each instance, machines of an earlier role of the service come before those of the next role that has members;
    a machine that plays several counts for the first. Where instances contradict each other, the machines concerned
    switch together.
    """
    after: dict[str, set[_Barrier]] = {}
    left: dict[_Barrier, set[str]] = {}
    for instance, casts in membership.casts.items():
        earlier: set[str] = set()
        previous: _Barrier | None = None
        for role, cast in casts.items():
            if not cast.settings:
                continue
            for machine in cast.settings:
                needs = after.setdefault(machine, set())
                if previous and machine not in earlier:
                    needs.add(previous)
            previous = (instance, role)
            left[previous] = set(cast.settings)
            earlier |= left[previous]
    found: dict[str, int] = {}
    wave = 0
    while len(found) < len(after):
        ready = {machine for machine, needs in after.items() if machine not in found and not needs & left.keys()}
        ready = ready or _knot(after, left)
        found |= dict.fromkeys(sorted(ready), wave)
        left = {barrier: rest for barrier, machines in left.items() if (rest := machines - ready)}
        wave += 1
    return found


def _knot(after: Mapping[str, set[_Barrier]], left: Mapping[_Barrier, set[str]]) -> set[str]:
    """The machines of a smallest set of roles that wait for one another alone."""
    waits = {one: {other for machine in left[one] for other in after[machine] if other in left} for one in left}
    knots = []
    for barrier in left:
        reached: set[_Barrier] = set()
        todo = [barrier]
        while todo:
            for following in waits[todo.pop()] - reached:
                reached.add(following)
                todo.append(following)
        knots.append(reached)
    return {machine for barrier in min(knots, key=len) for machine in left[barrier]}
