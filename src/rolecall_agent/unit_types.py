"""How a change takes effect on a unit that is running, by the type of the unit, and what it takes along."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, AbstractSet, Iterable, List, Sequence, Set

if TYPE_CHECKING:
    from rolecall_agent.resources.base import Resource
    from rolecall_agent.seam.units import Units, UnitState
    from rolecall_agent.system import System
    from rolecall_agent.work import Work

# A restart would end all that runs in a slice, run the job of a timer or path out of turn, and restart all parts of a
# target. systemd applies their files as soon as it loads them; a target then only has to start what it newly wants.
_LOADED = re.compile(r".*\.(slice|timer|path|target)\Z")
_SESSIONS = re.compile(r"user(-runtime-dir)?@.")  # they end what a person runs


def have_unit_files(resources: Iterable[Resource], system: System) -> bool:
    """Return whether resources are unit files or drop-ins of them, after a change of which systemd must load them.

    NeedDaemonReload alone would not do: before version 253, systemd does not notice a new folder of drop-ins.
    """
    return any("/systemd/system/" in path for item in resources for path in item.paths_on(system))


def mount_point(name: str) -> str:
    """Return where a mount unit mounts, which is its name; "" for any other unit. Source: systemd.unit(5)."""
    if not name.endswith(".mount"):
        return ""
    path = name[: -len(".mount")].replace("-", "/").encode()
    return "/" + re.sub(rb"\\x([0-9a-f]{2})", lambda byte: bytes([int(byte[1], 16)]), path).decode(
        errors="surrogateescape"
    )


def applies_when_loaded(name: str, state: UnitState) -> bool:
    """Return whether a changed unit file takes effect once systemd has loaded it, without a restart."""
    return bool(_LOADED.match(name)) and not state.elapsed


def reload(units: Units, names: Sequence[str]) -> None:
    """Make units that are running take what changed without a restart. systemd has loaded their files.

    Raises:
        Failure: When one of them fails to.
    """
    loaded = {name for name in names if _LOADED.match(name)}
    units.run("try-reload-or-restart", [name for name in names if name not in loaded])
    units.run("start", [name for name in names if name in loaded and name.endswith(".target")])


def undeclared_instances(units: Units, template: str, declared: AbstractSet[str]) -> List[str]:
    """Return the instances of a template that run, and have no unit file of their own that is declared."""
    names = [name for name in units.instances(template) if f"unit:{name}" not in declared]
    units.prefetch(names)
    return [name for name in names if units.state(name).active]


def refresh(work: Work, units: Units, names: Iterable[str], declared: AbstractSet[str]) -> None:
    """Restart or reload units that the configuration does not start, if they are running when the switch gets there.

    Of a template, these are its instances. Jobs, connections that a socket has accepted, and sessions of people are
    left alone: the next ones are as the template says.
    """
    for name in names:
        if "@." in name:
            running = [name for name in undeclared_instances(units, name, declared) if not _SESSIONS.match(name)]
            states = {name: units.state(name) for name in running}
            refresh(work, units, [n for n, state in states.items() if not (state.job or state.triggered)], declared)
            continue
        state = units.state(name)
        if state.active or state.failed or not state.known:
            (work.reload if state.known and applies_when_loaded(name, state) else work.refresh).append(name)


def taken_along(units: Units, name: str, *, stops: bool) -> List[str]:
    """Return the running units that systemd stops or restarts along with a unit, sorted."""
    found: List[str] = []
    seen: Set[str] = {name}
    waiting = [name]
    while waiting:
        state = units.state(waiting.pop())
        others = {*state.bound, *(state.stopped_along if stops else ())} - seen
        seen |= others
        units.prefetch(others)
        for other in others:
            active = units.state(other).active
            found += [other] if active else []
            # A stop also reaches what is behind a unit that is not running, a restart does not.
            waiting += [other] if active or stops else []
    return sorted(found)
