"""``rolecall backups``: runs what backup services offer on the machines."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import click

from rolecall.cli import completion
from rolecall.cli.output import tell
from rolecall.cli.sides import sides

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolecall.cli.common import Invocation
    from rolecall.errors import Fault


@click.group()
def backups() -> None:
    """Create, list and restore backups of a machine."""


_instance = click.option("--instance", help="Limit to this instance.")
_target = click.option("--target", help="Limit to this server.")


@backups.command()
@click.argument("machine", shell_complete=completion.machines)
@_instance
@_target
@sides
@click.pass_obj
def create(invocation: Invocation, machine: str, instance: str | None, target: str | None) -> None:
    """Back up MACHINE now, to every server.

    Example: rolecall backups create jon
    """
    from rolecall import pipeline

    made, faults = pipeline.backups(invocation.workspace, machine, instance, target).create()
    rows = [{"instance": one.instance, "target": one.target, "archive": one.name} for one in made]
    lines = [f"{one.instance} {one.target} {one.name or '(nothing to back up)'}" for one in made]
    _emit(invocation, rows, lines, faults)


@backups.command("list")
@click.argument("machine", shell_complete=completion.machines)
@_instance
@_target
@sides
@click.pass_obj
def list_(invocation: Invocation, machine: str, instance: str | None, target: str | None) -> None:
    """List the backups of MACHINE, oldest first."""
    from rolecall import pipeline

    found, faults = pipeline.backups(invocation.workspace, machine, instance, target).archives()
    lines = [f"{one.instance} {one.target} {one.name}" for one in found]
    nothing = [] if faults else [f"no backups of {machine}"]
    _emit(invocation, [asdict(one) for one in found], lines or nothing, faults)


@backups.command()
@click.argument("machine", shell_complete=completion.machines)
@click.argument("archive", required=False)
@click.argument("paths", nargs=-1)
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@_instance
@_target
@sides
@click.pass_obj
def restore(
    invocation: Invocation,
    machine: str,
    archive: str | None,
    paths: tuple[str, ...],
    yes: bool,  # noqa: FBT001 - click's flag
    instance: str | None,
    target: str | None,
) -> None:
    """Restore the files of MACHINE from a backup.

    ARCHIVE is the newest backup by default. With PATHS, only these are restored.

    Example: rolecall backups restore jon jon-2026-01-31T01:00:00.000000Z /srv/documents
    """
    from rolecall import pipeline

    backups = pipeline.backups(invocation.workspace, machine, instance, target)
    chosen, faults = backups.choose(archive)
    warnings = [replace(fault, warning=True) for fault in faults]  # one server that fails does not hide the others
    if not invocation.json:
        tell(warnings, as_json=False)
    if not yes:
        what = " ".join(paths) or "all its files"
        click.confirm(
            f"overwrite {what} on {machine} ({backups.target}) from {chosen.name} on {chosen.target}?",
            abort=True,
            err=True,
        )
    sys.stderr.write(backups.restore(chosen, paths))
    document = {**asdict(chosen), "warnings": [warning.as_json() for warning in warnings]}
    invocation.emit(document, f"restored {chosen.name} from {chosen.target} ({chosen.instance})")


def _emit(invocation: Invocation, rows: Sequence[object], lines: Sequence[str], faults: Sequence[Fault]) -> None:
    """Print what was done and what failed; exit with 1 when anything failed."""
    if not faults:
        invocation.emit(rows, "\n".join(lines))
        return
    document = {"faults": [fault.as_json() for fault in faults], "archives": rows}
    if lines or invocation.json:
        invocation.emit(document, "\n".join(lines))
    if not invocation.json:
        tell(faults, as_json=False)
    sys.exit(1)
