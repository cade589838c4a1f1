"""``rolecall network``."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from rolecall.cli.choosing import choosing
from rolecall.cli.output import tell
from rolecall.cli.sides import sides

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolecall.cli.common import Invocation
    from rolecall.pipeline import Answer, Choice


@click.command()
@choosing
@sides
@click.pass_obj
def network(invocation: Invocation, choice: Choice) -> None:
    """Show by which ways machines are reached now.

    Logs in to each of MACHINES, by default to all, by its target and in each network that it is in. The first way that
    answers is the one that other commands use. The exit status is 1 if a machine answers by none.

    Example: rolecall network jon
    """
    from rolecall import pipeline

    found = pipeline.ask_ways(invocation.workspace, pipeline.chosen(invocation.workspace, choice))
    document = {name: [answer.as_json() for answer in answers] for name, (answers, _) in found.items()}
    lines = [line for name, (answers, _) in found.items() for line in (name, *_lines(answers))]
    faults = [fault for _, problems in found.values() for fault in problems]
    if not invocation.json:
        tell([replace(fault, warning=True) for fault in dict.fromkeys(faults)], as_json=False)
    invocation.emit(document, "\n".join(lines))
    if not all(any(not answer.problem for answer in answers) for answers, _ in found.values()):
        sys.exit(1)


def _lines(answers: Sequence[Answer]) -> list[str]:
    if not answers:
        return ["  no way"]
    rows = [(each.way.network or each.way.purpose, each.way.target.text, _outcome(each)) for each in answers]
    longest, widest = (max(len(row[column]) for row in rows) for column in (0, 1))
    return [f"  {name:{longest}}  {text:{widest}}  {outcome}" for name, text, outcome in rows]


def _outcome(answer: Answer) -> str:
    if answer.may_ask:
        return f"asks, or lets nobody in: {answer.problem}"
    return f"no answer: {answer.problem}" if answer.problem else f"answers in {answer.seconds:.2f} s"
