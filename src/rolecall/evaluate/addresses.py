"""Addresses that services need of machines, and that these do not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolecall.errors import Fault, Where

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rolecall.model.world import Host


def missing_addresses(hosts: Mapping[str, Host], readers: Iterable[tuple[str, Iterable[str]]]) -> Iterator[Fault]:
    """Yield a fault for each machine that has no address for its peers although service code reads one.

    Args:
        hosts: How each machine is reached.
        readers: Who reads, in words, and the machines whose addresses that reads.
    """
    problems = {machine: host.problem for machine, host in hosts.items() if host.problem}
    if not problems:
        return
    for reader, machines in readers:
        for machine in machines:
            if problem := problems.pop(machine, ""):
                message = f"{reader} needs the address of machine {machine!r}, but {problem}"
                hint = f"set `machines.{machine}.address` to a host name or IP address that other machines can use"
                yield Fault(message, Where(keys=hosts[machine].declared_at), hint)
