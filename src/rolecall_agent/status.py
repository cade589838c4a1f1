"""How the machine is now, without changing anything on it. What cannot be found out is named, and hides no other."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Tuple, TypeVar

from rolecall_agent import damage, history
from rolecall_agent import journal as journals
from rolecall_agent.comparison import drift
from rolecall_agent.configuration import LEVELS, Configuration, Health
from rolecall_agent.errors import Failure
from rolecall_agent.lock import holder
from rolecall_agent.reboot import reasons_to_reboot

if TYPE_CHECKING:
    from rolecall_agent.configuration import Check
    from rolecall_agent.inquiry import HealthResult, Level, Status
    from rolecall_agent.machine import Machine
    from rolecall_agent.protocol import CheckResult, Drift, Generation
    from rolecall_agent.system import System

Found = TypeVar("Found")
MOST = 200  # differences that are named
PARALLEL = 8  # commands that run at once
_OUTPUT = 2_000  # characters of a command's output
_TEXT = 500  # characters of a report


def status(machine: Machine) -> Status:
    """Return how the machine is now."""
    system, store = machine.system, machine.store
    look = _Look()
    locked = holder(system.root or "/")
    look.at(None, store.schema)
    look.at(None, lambda: damage.require_whole(store))
    current = look.at(None, lambda: store.generation(store.current))
    configuration = look.at(Configuration(""), lambda: machine.configuration(current["number"] if current else 0))
    differences: List[Drift] = []
    if current and not locked:
        differences = look.at(differences, lambda: drift(system, store, configuration))
    journal = look.at(None, lambda: journals.load(store))
    locked = locked or holder(system.root or "/")  # a run that has begun meanwhile
    checks, health = ([], []) if locked else _run(system, configuration)
    return {
        "type": "status",
        "machine": configuration.machine,
        "current": current,
        "since": look.at("", lambda: _since(system, current)) if current else "",
        "drift": [] if locked else differences[:MOST],
        "more": 0 if locked else len(differences[MOST:]),
        "failed": look.at([], system.units.failed),
        "reboot": look.at(None, lambda: reasons_to_reboot(system)),
        "interrupted": journal.described() if journal else None,
        "locked": locked,
        "checks": checks,
        "health": health,
        "problems": look.problems,
    }


class _Look:
    """What was looked at.

    Attributes:
        problems: Why something could not be found out.
    """

    def __init__(self) -> None:
        self.problems: List[str] = []

    def at(self, otherwise: Found, find: Callable[[], Found]) -> Found:
        """Return what a function finds, or something else if it fails."""
        try:
            return find()
        except (Failure, OSError, ValueError) as error:
            if str(error) not in self.problems:
                self.problems.append(str(error))
            return otherwise


def _since(system: System, current: Generation) -> str:
    """Return when a generation became the current one, by the clock of the machine if its history has that."""
    runs, _ = history.read(system, history.MOST_RUNS)
    ended = (run["ended"] for run in runs if (run["result"], run["target"]) == ("committed", current["number"]))
    return next(ended, current["at"])


def _run(system: System, configuration: Configuration) -> Tuple[List[CheckResult], List[HealthResult]]:
    """Run all checks and reports of a configuration."""
    commands: List[Any] = [*configuration.checks, *configuration.health]
    if not commands:
        return [], []
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(PARALLEL) as pool:
        answers = list(pool.map(lambda each: _answer(system, each), commands))
    checked = len(configuration.checks)
    checks = [_checked(*pair) for pair in zip(configuration.checks, answers)]  # noqa: B905 - since Python 3.10
    health = [_reported(*pair) for pair in zip(configuration.health, answers[checked:])]  # noqa: B905 - as above
    return checks, health


def _answer(system: System, item: Any) -> Tuple[int, str]:  # noqa: ANN401 - Check or Health
    if isinstance(item, Health):
        become = ["runuser", "-u", item.user, "--"] if item.user != "root" else []
        return system.ask([*become, *item.argv], timeout=item.timeout)
    return system.ask(item.argv, errors=True, timeout=item.timeout)


def _checked(check: Check, answer: Tuple[int, str]) -> CheckResult:
    return {"name": check.name, "ok": answer[0] == 0, "output": answer[1][-_OUTPUT:]}


def _reported(health: Health, answer: Tuple[int, str], now: Optional[float] = None) -> HealthResult:
    """Return what a service reports; that it does not, or that it reports something old, is an error."""
    code, output = answer
    level: Level
    at: Optional[float] = None
    if code:
        level, text = "error", f"{' '.join(health.argv)} ended with status {code}: {output.strip()[-_TEXT:]}"
    else:
        try:
            level, text, at = _parsed(json.loads(output))
        except (ValueError, KeyError, TypeError):
            level, text = "error", f"{' '.join(health.argv)} printed no report: {output.strip()[:_TEXT]!r}"
    seconds = (time.time() if now is None else now) - (at or 0.0)
    if level == "ok" and health.max_age and seconds > health.max_age:
        level, text = "error", f"{text}; older than {_duration(health.max_age)}" if at else f"{text}; does not say when"
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(at)) if at else ""
    return {"name": health.name, "level": level, "text": text[:_TEXT], "at": stamp}


def _parsed(report: Dict[str, Any]) -> Tuple[Level, str, Optional[float]]:
    """Return level, text and time of a report.

    Raises:
        ValueError: When it is none; also KeyError and TypeError.
    """
    level, text, at = report["level"], report["text"], report.get("at")
    if level not in LEVELS or not isinstance(text, str) or not (at is None or 0 < at < 1 << 33):
        raise ValueError
    return level, text, None if at is None else float(at)


def _duration(seconds: int) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} seconds"
