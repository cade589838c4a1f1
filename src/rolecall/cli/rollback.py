"""``rolecall rollback``."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

import click

from rolecall.cli.choosing import choosing, parallel_option
from rolecall.cli.progress import shown_progress
from rolecall.cli.sides import sides
from rolecall.cli.update import carry_out, reboot_option, show

if TYPE_CHECKING:
    from rolecall.cli.common import Invocation
    from rolecall.model.plan import RebootMode
    from rolecall.pipeline import Choice


@click.command()
@choosing
@click.option("--run", metavar="ID", default="", help="Take back this run, as `rolecall log` names it.")
@click.option("--to", type=click.IntRange(0), metavar="N", help="Take one machine back to its generation N.")
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@click.option("--full", is_flag=True, help="Show long differences to their ends, and what is created and removed.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("-v", "--verbose", is_flag=True, help="Also report each resource.")
@parallel_option
@reboot_option
@sides
@click.pass_obj
def rollback(
    invocation: Invocation,
    choice: Choice,
    *,
    run: str,
    to: int | None,
    dry_run: bool,
    full: bool,
    yes: bool,
    verbose: bool,
    parallel: int,
    reboot: RebootMode,
) -> None:
    """Take machines back to what they had before a run.

    Shows a plan, asks, and does exactly what it shows, on all machines or on none. Without options, it takes back the
    last run that changed any of MACHINES (by default, all). The inventory stays as it is, so that the next update
    would undo this. A secret that was replaced never comes back.

    Example: rolecall rollback jon --to 3
    """
    from rolecall import pipeline
    from rolecall.plan.text import report_text

    if run and to is not None:
        raise click.UsageError("--run and --to exclude each other")
    wanted = pipeline.Rollback(run, to)
    begin = partial(pipeline.planning_rollback, verbose=verbose, full=full, parallel=parallel)
    with (
        shown_progress(quiet=invocation.json, every_line=verbose) as progress,
        begin(invocation.workspace, choice, wanted, progress) as planned,
    ):
        progress.pause()
        if dry_run:
            show(invocation, planned.plan, full=full)
            if invocation.json:
                invocation.emit(planned.plan.as_json(), "")
            sys.exit(1 if planned.plan.failing else 0)
        report = carry_out(invocation, planned, "take back", yes=yes, reboot=reboot)
    invocation.emit(report.as_json(), report_text(report))
    if not report.done:
        sys.exit(1)
