"""What runs did to machines, as these remember it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run did to one machine.

    Attributes:
        machine: Its name.
        result: ``committed``; ``failed`` (the switch failed there, and was undone); ``undone`` (for another reason);
            ``damaged`` (an undo could not put everything back); ``accepted`` (a person gave up the undo).
        source: The number of the generation before the run; 0 for none.
        target: The number of the generation to which it went, or was to go.
        back: The number of the earlier generation that it went back to, 0 for nothing installed; None for an update.
        message: Why it was not committed; or what there is to know about one that was; or "".
        ended: When, by the clock of the machine (RFC 3339).
        touched: Keys of the resources that it may have changed, the first of them.
        more: How many others there are.
    """

    machine: str
    result: str
    source: int
    target: int
    back: int | None
    message: str
    ended: str
    touched: tuple[str, ...]
    more: int


@dataclass(frozen=True, slots=True)
class Run:
    """One run over machines.

    Attributes:
        run: Its id.
        user: Who ran it, and on which computer.
        commit: The commit of the project, or "".
        at: When it began (RFC 3339).
        machines: What it did to each of them, by name; twice for one whose undo succeeded only later.
    """

    run: str
    user: str
    commit: str
    at: str
    machines: tuple[RunResult, ...]


@dataclass(frozen=True, slots=True)
class History:
    """The runs of several machines as one history.

    Attributes:
        runs: The newest first.
        problems: By machine: why it could not be asked.
        damaged: By machine: how many lines of its history are damaged.
    """

    runs: tuple[Run, ...]
    problems: Mapping[str, str]
    damaged: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        """Return the documented form of ``rolecall log --json`` (docs/reference/json.md)."""
        return {
            "format_version": 1,
            "runs": [asdict(run) for run in self.runs],
            "problems": dict(self.problems),
            "damaged": dict(self.damaged),
        }
