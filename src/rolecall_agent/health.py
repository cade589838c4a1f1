"""Units that a switch has started must run when it counts, and not only for a moment."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Dict, Mapping, NamedTuple, Sequence

from rolecall_agent.errors import Failure

if TYPE_CHECKING:
    from rolecall_agent.seam.units import Units

SETTLE = 1.0
"""Seconds that a unit must run after it was started, if its type does not say when it is ready."""
_PAUSE = 0.1


class Watch(NamedTuple):
    """Units that were started.

    Attributes:
        invocations: The run of each, by name.
        since: When they were found running, in seconds since the epoch.
        until: When all of them have run long enough, as `time.monotonic`.
    """

    invocations: Mapping[str, str]
    since: float
    until: float


def watch(units: Units, names: Sequence[str], settle: Mapping[str, float]) -> Watch:
    """Begin to watch units that were just started.

    Args:
        units: The units of the machine, whose states are those after the start.
        names: Their names; those that do not run are left out.
        settle: Seconds for each that needs other than the default.
    """
    states = {name: state for name in names if (state := units.state(name)).active}
    seconds = (settle.get(name, SETTLE if state.simple else 0.0) for name, state in states.items())
    until = time.monotonic() + max(seconds, default=0.0)
    return Watch({name: state.invocation for name, state in states.items()}, time.time(), until)


def require_settled(units: Units, watched: Watch) -> None:
    """Wait until units have run long enough.

    Raises:
        Failure: When one of them has ended, failed or was started again meanwhile.
    """
    time.sleep(max(0.0, watched.until - time.monotonic()))
    units.forget()
    problems: Dict[str, str] = {}
    for name, invocation in watched.invocations.items():
        if problem := _problem(units, name, invocation, watched.since):
            problems[name] = problem
    if problems:
        message = ", ".join(f"{name} {problem}" for name, problem in problems.items())
        raise Failure(message, units.log(list(problems)), machine_unchanged=False)


def require_running(units: Units, names: Sequence[str], seconds: float = 0.0) -> None:
    """Require that units have not failed, for some seconds if their type does not say when they are ready.

    Raises:
        Failure: When one has failed.
    """
    deadline = time.monotonic() + seconds
    while names:
        units.forget()
        failed = [name for name in names if units.state(name).failed]
        if failed:
            raise Failure(f"{', '.join(failed)} failed after starting", units.log(failed))
        if time.monotonic() >= deadline or not any(units.state(name).simple for name in names):
            return
        time.sleep(_PAUSE)


def _problem(units: Units, name: str, invocation: str, since: float) -> str:
    state = units.state(name)
    if state.failed:
        return "failed after it was started"
    if not (state.active or state.done):
        return "ended after it was started"
    if state.invocation == invocation or not state.daemon:
        return ""
    if state.repeats and not units.has_failed(name, since):
        return ""  # it has ended well, as its kind does again and again
    return "ended after it was started, and was started again"
