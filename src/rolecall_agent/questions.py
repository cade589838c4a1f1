"""What answers the questions of `inquiry`.

Every file is replaced by one rename(2), so each of them is whole, also while a run is at work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict

from rolecall_agent import history

if TYPE_CHECKING:
    from rolecall_agent.inquiry import History, Status
    from rolecall_agent.machine import Machine


def _history(machine: Machine, question: Dict[str, Any]) -> History:
    runs, damaged = history.read(machine.system, question["most"])
    return {"type": "history", "runs": runs, "damaged": damaged}


def _status(machine: Machine, _: Dict[str, Any]) -> Status:
    from rolecall_agent.status import status

    return status(machine)


QUESTIONS: Dict[str, Callable[[Machine, Dict[str, Any]], Any]] = {"history": _history, "status": _status}
"""What answers each question, by the type of the message."""
