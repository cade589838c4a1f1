"""``rolecall log``."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

import click

from rolecall.cli.choosing import choosing
from rolecall.cli.output import tell
from rolecall.cli.sides import sides
from rolecall.errors import Fault, plural, printable
from rolecall.plan.text import names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolecall.cli.common import Invocation
    from rolecall.model.history import Run, RunResult
    from rolecall.pipeline import Choice

# By result: its colour.
_COLOURS = {"committed": "green", "failed": "red", "undone": "yellow", "damaged": "red", "accepted": "yellow"}
_KEYS = 4  # resources in a line
_WIDEST = 60  # characters of one


@click.command()
@choosing
@click.option("-n", "most", type=click.IntRange(1, 1000), default=20, show_default=True, help="Show the last N runs.")
@sides
@click.pass_obj
def log(invocation: Invocation, choice: Choice, *, most: int) -> None:
    """Show the runs of machines, the newest first.

    Each machine remembers its runs: who made a change, when, from which commit of the project, and how it ended. Runs
    over several machines are shown once. MACHINES are those to ask; all by default. The exit status is 1 if a machine
    could not be asked.

    Example: rolecall log jon -n 5
    """
    from rolecall import pipeline

    found, faults = pipeline.history(invocation.workspace, choice, most)
    if not invocation.json:
        tell([replace(each, warning=True) for each in faults], as_json=False)
    invocation.emit(found.as_json(), "\n\n".join("\n".join(_lines(run)) for run in found.runs) or "no runs")
    if not invocation.json:
        lost = [
            Fault(f"{name}: its history has {plural(count, 'damaged line')}", warning=True)
            for name, count in found.damaged.items()
        ]
        tell([*lost, *(Fault(f"{name}: {problem}") for name, problem in found.problems.items())], as_json=False)
    if found.problems:
        sys.exit(1)


def _lines(run: Run) -> Iterator[str]:
    when = f"{run.at[:10]} {run.at[11:19]} UTC" if run.at.endswith("+00:00") else run.at
    commit = f"  commit {run.commit[:8]}" if run.commit else ""
    head = printable(f"{when}  {run.user}{commit}")  # a machine may have written lines of its own
    yield click.style(head, bold=True) + f"  run {printable(run.run)}"
    for text, results in groupby(sorted(run.machines, key=_text), key=_text):
        same = list(results)
        yield f"  {names([each.machine for each in same])}: {click.style(printable(text), fg=_COLOURS[same[0].result])}"


def _text(result: RunResult) -> str:
    if result.result == "committed":
        shown = [key.replace(":", " ", 1) for key in result.touched[:_KEYS]]
        shown = [key if len(key) <= _WIDEST else f"{key[: _WIDEST - 1]}…" for key in shown]
        more = len(result.touched) - len(shown) + result.more
        touched = ", ".join(shown) + (f" and {more} more" if more else "")
        back = f", back to {f'generation {result.back}' if result.back else 'nothing installed'}"
        which = f"committed generation {result.target}{back if result.back is not None else ''}"
        note = f"; {result.message}" if result.message else ""
        return which + (f": {touched}" if touched else "") + note
    generation = f"generation {result.source}" if result.source else "nothing installed"
    where = f"{result.result}, with {generation}"
    return f"{where}: {result.message}" if result.message else where
