"""``rolecall plan`` and ``rolecall update``."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rolecall.cli import output
from rolecall.cli.choosing import choosing, parallel_option
from rolecall.cli.common import ask
from rolecall.cli.offline import ask_to_skip, offline_option, without
from rolecall.cli.output import tell
from rolecall.cli.progress import shown_progress
from rolecall.cli.sides import sides
from rolecall.errors import Faults, fault, listed
from rolecall.model.plan import PARALLEL

if TYPE_CHECKING:
    from rolecall.cli.common import Invocation
    from rolecall.cli.offline import Offline
    from rolecall.model.plan import Plan, RebootMode, Report
    from rolecall.pipeline import Choice, Planned, PlannedRollback, Without

reboot_option = click.option(
    "--reboot",
    type=click.Choice(["planned", "needed", "never"]),
    default="planned",
    help="Reboot machines as planned (default), also if only the switch shows that they need it, or never.",
)
CHANGES = 2  # exit status of `plan --exit-code` when an update would do something


@click.command()
@choosing
@parallel_option
@click.option("--full", is_flag=True, help="Show long differences to their ends, and what is created and removed.")
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="FILE", help="Save the plan: `update FILE`.")
@click.option("--exit-code", is_flag=True, help="Exit with status 2 when something would change.")
@offline_option
@click.option("--discard", is_flag=True, help="Discard the vars that earlier plans generated first.")
@sides
@click.pass_obj
def plan(
    invocation: Invocation,
    choice: Choice,
    *,
    full: bool,
    out: Path | None,
    exit_code: bool,
    offline: Offline | None,
    discard: bool,
    parallel: int,
) -> None:
    """Show what an update would change, and why.

    Nothing changes on the machines. Missing vars are generated and set aside; `rolecall update` uses exactly those.
    MACHINES are names or patterns of those to plan for; all by default.
    """
    from rolecall import pipeline
    from rolecall.plan.text import plan_text

    if discard:
        pipeline.discard(invocation.workspace, generated=True)
    workspace, how = invocation.workspace, without(offline)
    with (
        shown_progress(quiet=offline is None or invocation.json, every_line=False) as progress,
        pipeline.planning(workspace, choice, progress, full=full, parallel=parallel, without=how) as planned,
    ):
        progress.pause()
        found = planned.plan
        warnings = (*found.warnings, *(replace(fault, warning=True) for fault in planned.behind))
        if out:
            planned.save(out)
        if not invocation.json:
            tell(warnings, as_json=False)
        document = {**found.as_json(), "warnings": [warning.as_json() for warning in warnings]}
        invocation.emit(document, "" if invocation.json else plan_text(found, full=full))
    if found.failing:
        sys.exit(1)
    if exit_code and not found.empty:
        sys.exit(CHANGES)


@click.command()
@choosing
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("-v", "--verbose", is_flag=True, help="Also report each resource.")
@parallel_option
@click.option("--expect", metavar="DIGEST", help="Fail unless the plan has this digest (from `plan --json`).")
@offline_option
@click.option("--skip-check", "checks", multiple=True, metavar="NAME", help="Do not run this check (or a pattern).")
@reboot_option
@click.option("--any-commit", is_flag=True, help="Update even if this checkout does not contain what machines run.")
@sides
@click.pass_obj
def update(
    invocation: Invocation,
    choice: Choice,
    *,
    yes: bool,
    verbose: bool,
    parallel: int,
    expect: str | None,
    offline: Offline | None,
    checks: tuple[str, ...],
    reboot: RebootMode,
    any_commit: bool,
) -> None:
    """Update all machines, or none.

    Shows the plan, asks, and does exactly what it shows. When one machine fails, all go back to what they were.
    MACHINES are names or patterns of those to update; all by default. A FILE from `rolecall plan --out` instead is
    carried out only if the plan is still the same.

    Machines that are unreachable stop the update. `--offline skip` goes on without them, if that is safe, and
    `--offline wait` waits for them. On a terminal, you are asked.

    A check that fails before the update and after it is a warning. To leave out another one, name it as the report
    does: --skip-check 'backup.client: servers answer'

    Example: rolecall update --tag web --except 'web-old-*'
    """
    asks = offline is None and not yes and not invocation.json and sys.stdin.isatty()
    report = bring(
        invocation,
        choice,
        yes=yes,
        verbose=verbose,
        parallel=parallel,
        expect=expect,
        reboot=reboot,
        any_commit=any_commit,
        how=without(offline, checks),
        asks=asks,
    )
    from rolecall.plan.text import report_text

    invocation.emit(report.as_json(), report_text(report))
    if not report.done:
        sys.exit(1)


def bring(
    invocation: Invocation,
    choice: Choice | None = None,
    *,
    yes: bool,
    verbose: bool = False,
    parallel: int = PARALLEL,
    expect: str | None = None,
    reboot: RebootMode = "planned",
    any_commit: bool = False,
    how: Without | None = None,
    asks: bool = False,
) -> Report:
    """Run one update: show the plan, ask, and apply it; with ``asks``, ask about unreachable machines, too."""
    from rolecall import pipeline

    choice = choice or pipeline.Choice()
    if file := _saved(choice):
        begin = partial(pipeline.planning_saved, invocation.workspace, file)
    else:
        begin = partial(pipeline.planning, invocation.workspace, choice)
    how = how or pipeline.Without()
    with shown_progress(quiet=invocation.json, every_line=verbose) as progress:
        if asks:
            how = replace(how, machines=partial(ask_to_skip, progress))
        with begin(progress, verbose=verbose, parallel=parallel, without=how) as planned:
            progress.pause()
            if planned.behind and not any_commit:
                show(invocation, planned.plan)
                raise Faults(planned.behind)
            return carry_out(invocation, planned, "update", yes=yes, expect=expect, reboot=reboot)


def carry_out(
    invocation: Invocation,
    planned: Planned | PlannedRollback,
    verb: str,
    *,
    yes: bool,
    expect: str | None = None,
    reboot: RebootMode = "planned",
) -> Report:
    """Show a plan, ask whether to do that, and do it."""
    found = planned.plan
    show(invocation, found)
    if expect and found.digest != expect:
        raise fault("the plan has another digest than expected", hint="look at `rolecall plan` again")
    if not found.empty and not found.failing and not yes:
        ask(invocation, f"{verb} {_changing(found)}{_rebooting(found, reboot)}?")
    return planned.apply(reboot)


def show(invocation: Invocation, plan: Plan, *, full: bool = False) -> None:
    """Print a plan with its warnings, unless the result is to be JSON."""
    from rolecall.plan.text import plan_text

    if not invocation.json:
        tell(plan.warnings, as_json=False)
        output.write(plan_text(plan, full=full) + "\n")


def _saved(choice: Choice) -> Path | None:
    """Return the file that is named instead of machines, whose names contain neither `.` nor `/`."""
    file = next((name for name in choice.machines if set("./") & {*name}), None)
    if file is not None and choice != replace(choice, machines=(file,), tags=(), instances=(), roles=(), excluded=()):
        raise click.UsageError(f"{file} is a saved plan, which has its machines in it; choose no others")
    return Path(file) if file else None


def _changing(plan: Plan) -> str:
    """Return the machines that change, each with its target, for a question."""
    return listed([f"{machine.machine} ({machine.target})" for machine in plan.changing]) or "these machines"


def _rebooting(plan: Plan, mode: RebootMode) -> str:
    """Return which machines reboot, for the same question."""
    machines = [machine.machine for machine in plan.changing if machine.reboots]
    if not machines:
        return ""
    reboots = listed(machines)
    return f", and reboot {reboots}" if mode != "never" else f", and leave the reboot of {reboots} for later"
