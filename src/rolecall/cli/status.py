"""``rolecall status``."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from dataclasses import replace
from textwrap import indent
from typing import TYPE_CHECKING

import click

from rolecall.cli import output
from rolecall.cli.choosing import choosing
from rolecall.cli.output import tell
from rolecall.cli.sides import sides
from rolecall.cli.tables import Cell, table
from rolecall.errors import Faults, plural
from rolecall.plan.text import damage_lines, names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolecall.cli.common import Invocation
    from rolecall.model.status import MachineStatus, ServiceReport, Status
    from rolecall.pipeline import Choice

_HEAD = ("machine", "by", "generation", "since (UTC)", "commit", "drift", "failed units", "reboot", "run")
_COLOURS = {"ok": "", "warning": "yellow", "error": "red"}
_NAMED = 5  # differences of a machine
_WIDEST = 60  # characters of a report in a table
_NONE = Cell("-")
_UNKNOWN = Cell("?", "yellow")


@click.command()
@choosing
@sides
@click.option(
    "--watch",
    type=click.FloatRange(min=0.1),
    is_flag=False,
    flag_value=5,
    metavar="[SECONDS]",
    help="Repeat every SECONDS (default: 5) until Ctrl-C.",
)
@click.pass_obj
def status(invocation: Invocation, choice: Choice, *, watch: float | None) -> None:
    """Show how machines and services are now.

    For each of MACHINES, by default for all: its generation and how it differs from that, failed units, whether it must
    reboot, and runs that are not settled. Then, for each instance, what its checks find and what it reports about
    itself. Nothing changes on the machines. The exit status is 0 if all is well, and 1 otherwise; an update or a reboot
    that is pending does not count.

    Example: rolecall status --watch
    """
    from rolecall import pipeline

    if watch is None:
        found = pipeline.status(invocation.workspace, choice)
        _show(invocation, found)
        sys.exit(0 if found.well else 1)
    if invocation.json:
        raise click.UsageError("--watch and --json exclude each other")
    with suppress(KeyboardInterrupt):  # the way to end it
        while True:
            try:
                _show(invocation, pipeline.status(invocation.workspace, choice), again=True)
            except Faults as error:  # of a file that is being edited, perhaps
                tell(error.faults, as_json=False)
            time.sleep(watch)
            invocation.workspace.refresh()


def _show(invocation: Invocation, found: Status, *, again: bool = False) -> None:
    if again:
        clear = "\x1b[H\x1b[2J" if output.is_terminal() else ""
        output.write(f"{clear}{time.strftime('%Y-%m-%d %H:%M:%S')}\n")
    if not invocation.json:
        tell([replace(each, warning=True) for each in found.faults], as_json=False)
    invocation.emit(found.as_json(), "" if invocation.json else "\n".join(_lines(found)) + ("\n" if again else ""))


def _lines(found: Status) -> Iterator[str]:
    if not found.machines:
        yield "no machines yet"
        return
    yield from table(_HEAD, [_row(machine) for machine in found.machines])
    machines = {machine.machine: machine for machine in found.machines}
    for instance, roles in found.roles.items():
        service = found.services.get(instance, "")
        yield ""
        yield click.style(instance, bold=True) + (f" ({service})" if service not in {"", instance} else "")
        yield from _instance(instance, {role: at for role, at in roles.items() if at}, machines)
    for machine in found.machines:
        if details := list(_details(machine)):
            yield ""
            yield click.style(machine.machine, bold=True)
            yield from (indent(each, "  ") for each in details)
    ill = [machine.machine for machine in found.machines if not machine.well]
    count = plural(len(machines), "machine")
    yield ""
    if ill:
        yield _bad(f"{len(ill)} of {count} {'is' if len(ill) == 1 else 'are'} not well: {names(ill)}")
    else:
        yield _bad(f"the inventory has faults; {count} well") if found.faults else f"all is well ({count})"


def _row(machine: MachineStatus) -> list[Cell]:
    first = [Cell(machine.machine), Cell(machine.target or "-")]
    if machine.problem:
        return [*first, Cell("no answer", "red"), *[_UNKNOWN] * 6]
    pending = {"pending": ", update pending", "unknown": ", declared unknown"}.get(machine.declared, "")
    units, drift = len(machine.failed_units), len(machine.drift) + machine.more_drift
    reboot = Cell("needed", "yellow") if machine.reboot else Cell("unknown" if machine.reboot is None else "no")
    run = Cell("at work") if machine.locked else Cell("interrupted", "red") if machine.interrupted else _NONE
    return [
        *first,
        Cell(f"{machine.generation or 'none'}{pending}", "yellow" if pending else ""),
        Cell(machine.since[:16].replace("T", " ") or "-"),
        Cell(machine.commit[:8] or "-"),
        _UNKNOWN if machine.locked else Cell(str(drift), "red") if drift else _NONE,
        Cell(str(units), "red") if units else _NONE,
        reboot,
        run,
    ]


def _instance(instance: str, roles: dict[str, tuple[str, ...]], machines: dict[str, MachineStatus]) -> Iterator[str]:
    """Yield a table of machines and roles; machines with the same row share it."""
    rows: dict[tuple[Cell, ...], list[str]] = {}
    for machine in sorted({name for at in roles.values() for name in at}):
        row = (_cell(machines[machine], instance, role) if machine in at else _NONE for role, at in roles.items())
        rows.setdefault(tuple(row), []).append(machine)
    head = ["machine", *(role or "service" for role in roles)]
    yield from table(head, [[Cell(names(who)), *row] for row, who in rows.items()], "  ")


def _cell(machine: MachineStatus, instance: str, role: str) -> Cell:
    """Return how a role is on a machine."""
    if machine.problem or machine.locked:
        return _UNKNOWN
    reports = [each for each in machine.reports if (each.instance, each.role) == (instance, role)]
    if not reports:
        return Cell("no checks") if machine.generation else Cell("not installed", "yellow")
    for level in ("error", "warning"):
        if bad := [each for each in reports if each.level == level]:
            return Cell(", ".join(f"{each.name}: {_short(each) or 'failed'}" for each in bad), _COLOURS[level])
    told = [f"{each.name}: {_short(each)}" for each in reports if each.text and each.at]
    return Cell("; ".join(["ok", *told]))


def _short(report: ServiceReport) -> str:
    text = report.text.partition("\n")[0]
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _details(machine: MachineStatus) -> Iterator[str]:
    """Yield what is wrong with a machine, and what to do about it."""
    for part in (_contact, _run, _drift, _units, _reports):
        yield from part(machine)


def _contact(machine: MachineStatus) -> Iterator[str]:
    if machine.problem:
        yield _bad(machine.problem)
        yield f"hint: `rolecall network {machine.machine}` shows by which ways it answers"
    yield from map(_bad, machine.problems)
    if machine.formerly:
        yield f"it is installed as {machine.formerly}; the next update renames it"


def _run(machine: MachineStatus) -> Iterator[str]:
    run = machine.interrupted
    if machine.locked:
        yield f"at work: {machine.locked}"
    elif run:
        outcome = "completed" if run.decided else "undone"
        yield _bad(f"run {run.run} of {run.user} was interrupted, and is to be {outcome}")
        hint = f"hint: the next run settles it, and so does `rolecall machines recover {machine.machine} --retry`"
        yield from damage_lines(machine.machine, run.damage) or [hint]


def _drift(machine: MachineStatus) -> Iterator[str]:
    for key, reason in machine.drift[:_NAMED]:
        yield _bad(f"{key.replace(':', ' ', 1)} has drifted: {reason}")
    if more := len(machine.drift[_NAMED:]) + machine.more_drift:
        yield _bad(f"and {more} more have drifted")
    if machine.drift:
        yield f"hint: `rolecall plan {machine.machine}` shows how an update repairs that"


def _units(machine: MachineStatus) -> Iterator[str]:
    for unit in machine.failed_units:
        yield _bad(f"{unit} has failed")
    if machine.failed_units:
        yield f"hint: see `rolecall ssh {machine.machine} systemctl status {machine.failed_units[0]}`"
    for reason in machine.reboot or ():
        yield click.style(f"it must reboot: {reason}", fg="yellow")


def _reports(machine: MachineStatus) -> Iterator[str]:
    for report in machine.reports:
        if report.level != "ok":
            yield click.style(_headline(report), fg=_COLOURS[report.level])
            yield from [indent(report.text, "  ")] if report.text else []


def _bad(text: str) -> str:
    return click.style(text, fg="red")


def _headline(report: ServiceReport) -> str:
    origin = f"{report.instance}.{report.role}".rstrip(".")
    return f"{origin}: {report.name}{' failed' if report.level == 'error' else ''}"
