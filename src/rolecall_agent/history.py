"""The history of a machine: a line for each run that changed it, or tried to; generations are pruned, this is not.

A line is written before the journal of a switch is removed, so that no run is missing. A run that is settled twice
because the agent was killed is still one line. Each line has a digest of its own, so a damaged one hides no other.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, List, Tuple

from rolecall_agent.errors import Failure
from rolecall_agent.state import HOME, checked, with_digest

if TYPE_CHECKING:
    from rolecall_agent.inquiry import PastRun, RunResult
    from rolecall_agent.journal import Journal
    from rolecall_agent.system import System

NAME = "history"
MOST_RUNS = 1000
MOST_BYTES = 900_000  # an answer with all of it fits into a frame
_MESSAGE = 500  # characters
_KEYS = 100  # of resources


def past_run(journal: Journal, result: RunResult, message: str = "") -> PastRun:
    """Return what is kept of a switch that ends now.

    Args:
        journal: Its journal, while that still names all that the switch has touched.
        result: How it ends.
        message: Why it was not committed, or "". If it was, the notes of the journal stand there.
    """
    keys = list(journal.before)
    if result == "committed":
        message = "; ".join(journal.notes)
    return {
        **journal.meta,
        "ended": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
        "source": journal.source,
        "target": journal.target,
        "result": result,
        "message": message if len(message) <= _MESSAGE else f"{message[:_MESSAGE]}…",
        "touched": [key[:_MESSAGE] for key in keys[:_KEYS]],
        "more": len(keys[_KEYS:]),
    }


def append(system: System, run: PastRun) -> List[str]:
    """Write a line, unless the last one says the same already; return a note if this fails."""
    try:
        lines = _lines(system)
        if not (lines and _same(_decoded(lines[-1:])[0], run)):
            lines = [*lines, with_digest(run)][-MOST_RUNS:]
            while sum(map(len, lines)) + len(lines) > MOST_BYTES:
                del lines[0]
            system.write(f"{HOME}/{NAME}", b"".join(line + b"\n" for line in lines))
    except (Failure, OSError) as error:
        return [f"the run is missing in the machine's history: {error}"]
    return []


def read(system: System, most: int) -> Tuple[List[PastRun], int]:
    """Return the last runs, newest first, and how many lines of the whole history are damaged.

    Raises:
        OSError: When it cannot be read.
    """
    runs, damaged = _decoded(_lines(system))
    return runs[::-1][:most], damaged


def _lines(system: System) -> List[bytes]:
    try:
        return system.read(f"{HOME}/{NAME}").splitlines()
    except FileNotFoundError:
        return []


def _decoded(lines: List[bytes]) -> Tuple[List[PastRun], int]:
    runs: List[PastRun] = []
    for line in lines:
        try:
            run: PastRun = checked(line, required=True)
            run.setdefault("back", None)  # an earlier version did not write it
            runs.append(run)
        except ValueError:
            continue
    return runs, len(lines) - len(runs)


def _same(runs: List[PastRun], run: PastRun) -> bool:
    """Return whether a run is the last one, settled again."""
    return any(all(last[name] == run[name] for name in ("run", "target", "result")) for last in runs)
