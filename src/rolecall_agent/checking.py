"""Checks: commands that show whether services work, and which of them count in a switch."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, List, Sequence, Tuple

if TYPE_CHECKING:
    from rolecall_agent.configuration import Check, Configuration
    from rolecall_agent.journal import Journal
    from rolecall_agent.protocol import CheckResult
    from rolecall_agent.system import System

PEERS_SETTLE = 5.0
"""Seconds in which a check with peers may fail after a switch: the units of a peer may still be starting."""
_PAUSE = 0.1  # seconds between two tries of a check
_TAIL = 2000  # characters of a check's output


def run_checks(system: System, checks: Sequence[Check], until: float = 0.0) -> List[CheckResult]:
    """Run checks.

    Args:
        system: The machine.
        checks: The checks.
        until: The time (`time.monotonic`) until which those that fail are tried again, unless they ask for longer.
    """
    results: List[CheckResult] = []
    for one in checks:
        last = max(until, time.monotonic() + (one.retry or 0))
        status, output = system.run(one.argv, one.timeout)
        while status and time.monotonic() < last:
            time.sleep(_PAUSE)
            status, output = system.run(one.argv, one.timeout)
        results.append({"name": one.name, "ok": status == 0, "output": output[-_TAIL:]})
    return results


def failing_already(system: System, old: Configuration, new: Configuration, skipped: Sequence[str]) -> List[str]:
    """Return the names of the checks that fail before a switch, and that it does not change."""
    known = {(check.name, check.argv) for check in old.checks}
    same = [check for check in new.checks if (check.name, check.argv) in known and check.name not in skipped]
    return [result["name"] for result in run_checks(system, same) if not result["ok"]]


def run_gate(
    system: System, checks: Sequence[Check], journal: Journal, *, peers: bool, until: float = 0.0
) -> Tuple[List[CheckResult], List[str]]:
    """Run the checks that need peers, or the others, during a switch.

    Returns:
        The results that count, and notes on those that do not: because the run skips them, or because they failed
        before the switch, too.
    """
    chosen = [check for check in checks if check.peers == peers]
    notes = [f"the check {check.name!r} was skipped" for check in chosen if check.name in journal.skipped_checks]
    results = run_checks(system, [check for check in chosen if check.name not in journal.skipped_checks], until)
    excused = [each for each in results if not each["ok"] and each["name"] in journal.failing_checks]
    notes += [f"the check {each['name']!r} failed before this run, and still fails" for each in excused]
    return [each for each in results if each not in excused], notes
