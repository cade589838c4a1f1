"""``rolecall backups``: what backup services offer, run on the machines."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import click

from rolecall.errors import fault

if TYPE_CHECKING:
    from rolecall.cli.common import Invocation
    from rolecall.deploy.target import Target
    from rolecall.service import Backups
    from rolecall.service.member import Exported


@click.group()
def backups() -> None:
    """Make, list and restore the backups of a machine."""


_instance = click.option("--instance", help="Only of this instance.")
_target = click.option("--target", help="Only on this server.")


@backups.command()
@click.argument("machine")
@_instance
@_target
@click.pass_obj
def create(invocation: Invocation, machine: str, instance: str | None, target: str | None) -> None:
    """Back MACHINE up now."""
    made = []
    for reach, offer in _offers(invocation, machine, instance, target):
        done = _run(reach, offer.value.create)
        name = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""
        made.append({"instance": offer.instance, "target": offer.value.target, "archive": name})
        if done.returncode:
            raise fault(f"the backup of {machine} to {offer.value.target} ({offer.instance}) failed")
    rows = [f"{one['instance']} {one['target']} {one['archive'] or '(nothing to back up)'}" for one in made]
    invocation.emit(made, "\n".join(rows))


@backups.command("list")
@click.argument("machine")
@_instance
@_target
@click.pass_obj
def list_(invocation: Invocation, machine: str, instance: str | None, target: str | None) -> None:
    """List the backups of MACHINE, oldest first."""
    found = _archives(invocation, machine, instance, target)
    rows = [f"{one['instance']} {one['target']} {one['name']}" for one in found]
    invocation.emit(found, "\n".join(rows) or f"there are no backups of {machine}")


@backups.command()
@click.argument("machine")
@click.argument("archive", required=False)
@click.argument("paths", nargs=-1)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@_instance
@_target
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
    """Write the files of ARCHIVE (default: the newest), or only PATHS of it, back to MACHINE."""
    known = _archives(invocation, machine, instance, target)
    chosen = [one for one in known if archive in {None, one["name"]}]
    if not chosen:
        hint = f"see `rolecall backups list {machine}`"
        raise fault(f"{machine} has no backup {archive or ''}".rstrip(), hint=hint)
    newest = max(chosen, key=lambda one: str(one["time"]))
    if not yes:
        what = " ".join(paths) or "all its files"
        click.confirm(f"overwrite {what} on {machine} from {newest['name']}?", abort=True)
    for reach, offer in _offers(invocation, machine, newest["instance"], newest["target"]):
        done = _run(reach, [*offer.value.restore, newest["name"], *paths])
        sys.stderr.write(done.stdout)
        if done.returncode:
            raise fault(f"the restore of {machine} from {newest['name']} failed")
    invocation.emit(newest, f"restored {newest['name']} from {newest['target']} ({newest['instance']})")


def _archives(invocation: Invocation, machine: str, instance: str | None, target: str | None) -> list[dict[str, Any]]:
    found = []
    for reach, offer in _offers(invocation, machine, instance, target):
        done = _run(reach, offer.value.listing)
        if done.returncode:
            raise fault(f"the backups of {machine} on {offer.value.target} ({offer.instance}) cannot be listed")
        found += [
            {"instance": offer.instance, "target": offer.value.target, "name": one["name"], "time": one["time"]}
            for one in json.loads(done.stdout)
        ]
    return sorted(found, key=lambda one: str(one["time"]))


def _offers(
    invocation: Invocation, machine: str, instance: str | None, target: str | None
) -> list[tuple[Target, Exported[Backups]]]:
    from rolecall import pipeline  # noqa: PLC0415 - imported when used

    project, lab = invocation.project, invocation.lab
    offers = [
        offer
        for offer in pipeline.backups(project, lab, machine)
        if instance in {None, offer.instance} and target in {None, offer.value.target}
    ]
    if not offers:
        raise fault(f"nothing backs {machine} up that way", hint="leave out --instance or --target")
    reach = pipeline.target(project, machine, lab)
    if reach.root is not None:
        raise fault(f"{machine} is the directory {reach.root}: no command runs there")
    return [(reach, offer) for offer in offers]


def _run(reach: Target, argv: list[str]) -> subprocess.CompletedProcess[str]:
    """Runs a command on a machine; what it says of its work goes straight to the person."""
    return subprocess.run(reach.command(argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)
