"""What answers the questions of `inquiry`.

Every file is replaced by one rename(2), so each of them is whole, also while a run is at work.
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import TYPE_CHECKING, Any, Callable, Dict

from rolecall_agent import history
from rolecall_agent.errors import Failure

if TYPE_CHECKING:
    from rolecall_agent.inquiry import Generations, History, Recalled, Status
    from rolecall_agent.machine import Machine
    from rolecall_agent.store import Store


def _history(machine: Machine, question: Dict[str, Any]) -> History:
    runs, damaged = history.read(machine.system, question["most"])
    return {"type": "history", "runs": runs, "damaged": damaged}


def _generations(machine: Machine, question: Dict[str, Any]) -> Generations:
    store = machine.store
    recalled = [_recalled(store, number or store.current) for number in question["numbers"]]
    text = base64.b64encode(zlib.compress(json.dumps(recalled).encode())).decode()
    return {"type": "generations", "pieces": [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]}


def _recalled(store: Store, number: int) -> Recalled:
    if number and number not in store.numbers():
        kept = ", ".join(map(str, sorted(store.numbers()))) or "none"
        raise Failure(f"generation {number} is no longer there; kept are {kept}")
    configuration = store.configuration(number)
    everything = {resource.key for resource in configuration.resources}
    return {
        "generation": store.generation(number),
        "configuration": store.configuration_as_written(number),
        "provenance": store.provenance(number, everything) if number else None,
    }


def _status(machine: Machine, _: Dict[str, Any]) -> Status:
    from rolecall_agent.status import status

    return status(machine)


_PIECE = 4_000  # characters, which the controller keeps of a text

QUESTIONS: Dict[str, Callable[[Machine, Dict[str, Any]], Any]] = {
    "history": _history,
    "status": _status,
    "generations": _generations,
}
"""What answers each question, by the type of the message."""
