"""The history of machines: which run did what to them, and who ran it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolecall.deploy.asking import ask_machines
from rolecall.model.history import History, Run, RunResult
from rolecall.pipeline.reaching import declared_ways

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rolecall.deploy.session import Session
    from rolecall.errors import Fault
    from rolecall.pipeline.choosing import Choice
    from rolecall.pipeline.workspace import Workspace
    from rolecall_agent import inquiry


def history(workspace: Workspace, choice: Choice, most: int) -> tuple[History, Sequence[Fault]]:
    """Return the last runs of machines, and what is wrong with the inventory: that stops nothing.

    Args:
        workspace: The project.
        choice: The machines.
        most: How many runs are wanted.

    Raises:
        Faults: As `declared_ways`.
    """

    def ask(_: str, session: Session) -> inquiry.History:
        return session.history(most)

    ways, faults = declared_ways(workspace, choice)
    asked = ask_machines({name: [way.target for way in each.ways] for name, each in ways.items() if each.ways}, ask)
    problems = {name: each.faults[0].message for name, each in ways.items() if not each.ways}
    problems |= {name: each.problem for name, each in asked.items() if each.problem}
    answers = {name: each.answer for name, each in asked.items() if each.answer}
    damaged = {name: answer["damaged"] for name, answer in answers.items() if answer["damaged"]}
    return History(_joined(answers)[:most], problems, damaged), faults


def _joined(answers: Mapping[str, inquiry.History]) -> tuple[Run, ...]:
    """Return the runs of all machines, the newest first.

    A machine that says something else of a run than the others has a run of its own: it must not change the order.
    """
    results: dict[tuple[str, str, str, str], list[RunResult]] = {}
    for machine in sorted(answers):
        for past in reversed(answers[machine]["runs"]):
            meta = (past["run"], past["user"], past["commit"], past["at"])
            results.setdefault(meta, []).append(_result(machine, past))
    runs = (Run(*meta, tuple(found)) for meta, found in results.items())
    return tuple(sorted(runs, key=lambda run: (run.at, run.run), reverse=True))


def _result(machine: str, past: inquiry.PastRun) -> RunResult:
    return RunResult(
        *(machine, past["result"], past["source"], past["target"], past["back"], past["message"], past["ended"]),
        *(tuple(past["touched"]), past["more"]),
    )
