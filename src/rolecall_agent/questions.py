"""Questions about a machine whose answers change nothing on it: no lock is taken, and nothing is recovered.

Every file is replaced by one rename(2), so each of them is whole, also while a run is at work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict

from rolecall_agent import history

if TYPE_CHECKING:
    from rolecall_agent.machine import Machine

Message = Dict[str, Any]


def _history(machine: Machine, question: Message) -> Message:
    runs, damaged = history.read(machine.system, question["most"])
    return {"type": "history", "runs": runs, "damaged": damaged}


QUESTIONS: Dict[str, Callable[[Machine, Message], Message]] = {"history": _history}
"""What answers each question, by the type of the message."""
