"""The order in which machines switch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rolecall.evaluate.membership import Membership

    # A machine, or a role of an instance: a role waits for its machines, a machine for roles; so edges stay linear.
    _Node = str | tuple[str, str]


def waves(membership: Membership) -> dict[str, int]:
    """Return the wave of every member's machine, from 0, in the order of waves and names.

    In each instance, machines of an earlier role of the service come before those of the next role that has members;
    a machine that plays several counts for the first. Where instances contradict each other, the machines concerned
    switch together.
    """
    after: dict[_Node, list[_Node]] = {}
    for instance, members_by_role in membership.role_members.items():
        earlier: set[str] = set()
        previous: _Node | None = None
        for role, members in members_by_role.items():
            if not members.settings:
                continue
            for machine in members.settings:
                waits = after.setdefault(machine, [])
                if previous and machine not in earlier:
                    waits.append(previous)
            previous = (instance, role)
            after[previous] = [*members.settings]
            earlier |= members.settings.keys()
    found: dict[_Node, int] = {}
    for knot in _knots(after):
        latest = max((found[before] for node in knot for before in after[node] if before in found), default=-1)
        found |= dict.fromkeys(knot, latest + any(isinstance(node, str) for node in knot))
    machines = {node: wave for node, wave in found.items() if isinstance(node, str)}
    return dict(sorted(machines.items(), key=lambda item: (item[1], item[0])))


def _knots(after: Mapping[_Node, Sequence[_Node]]) -> Iterator[list[_Node]]:
    """Yield groups of nodes that wait for one another, mostly single nodes, each after those that it waits for.

    The strongly connected components of a graph (Tarjan 1972), with a stack in place of recursion.
    """
    number: dict[_Node, int] = {}
    lowest: dict[_Node, int] = {}  # of what is reached and not yet in a knot
    open_: list[_Node] = []
    for start in after:
        path = [] if start in number else [(start, iter(after[start]))]
        while path:
            node, rest = path[-1]
            if node not in number:
                number[node] = lowest[node] = len(number)
                open_.append(node)
            for before in rest:
                if before not in number:
                    path.append((before, iter(after[before])))
                    break
                if before in lowest:
                    lowest[node] = min(lowest[node], lowest[before])
            else:
                path.pop()
                if path:
                    lowest[path[-1][0]] = min(lowest[path[-1][0]], lowest[node])
                if lowest[node] == number[node]:
                    knot = []
                    while node in lowest:
                        knot.append(open_.pop())
                        del lowest[knot[-1]]
                    yield knot
