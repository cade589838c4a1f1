"""``rolecall machines retire``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from rolecall.cli import completion, output
from rolecall.cli.common import ask
from rolecall.cli.output import tell
from rolecall.cli.progress import shown_progress
from rolecall.cli.sides import real
from rolecall.cli.update import show
from rolecall.cli.vars import Rotating
from rolecall.errors import Fault, Faults

if TYPE_CHECKING:
    from rolecall.cli.common import Invocation
    from rolecall.pipeline import RemovedMachine, Retiring


@click.command()
@click.argument("name", shell_complete=completion.machines)
@click.option("--offline", is_flag=True, help="It is gone for good: leave it as it is.")
@click.option("--own", is_flag=True, help="Also write your own inventory file.")
@click.option("--no-rotate", is_flag=True, help="Do not rotate the secrets that it knew.")
@real("Reach machines that name a target there, although the lab is up.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@click.pass_obj
def retire(invocation: Invocation, name: str, *, offline: bool, own: bool, no_rotate: bool, yes: bool) -> None:
    """Undo everything on a machine, and remove it.

    Shows the plan and what follows it, and asks once: updates all machines as if NAME were no longer in the inventory,
    so that what is installed on it is undone and its peers forget it; purges it; removes it from the inventory, and its
    pinned host keys; and rotates the secrets that it knew, with the updates that this takes.

    When a step fails, remove the cause and repeat the command.
    """
    from rolecall import pipeline
    from rolecall.plan.text import report_text

    workspace = invocation.workspace
    with (
        shown_progress(quiet=invocation.json, every_line=False) as progress,
        pipeline.planning_retirement(workspace, name, progress, own=own, offline=offline) as found,
    ):
        progress.pause()
        plan = found.planned.plan
        names = () if no_rotate else found.rotatable.names
        if plan.failing:
            gone = f"if {name} is gone for good, use --offline"
            raise Faults(
                Fault(f"{each.machine} ({each.target}): {each.failure}", hint=gone if each.machine == name else "")
                for each in plan.failing
            )
        show(invocation, plan)
        tell(found.rotatable.bound, as_json=False)
        if found.planned.behind:
            raise Faults(found.planned.behind)
        if not yes:
            click.echo("\n".join(_following(name, found, names, offline=offline)), err=True)
            ask(invocation, f"retire {name}?")
        report = found.planned.apply()
    if not report.done:
        invocation.emit({"machine": name, "update": report.as_json()}, report_text(report))
        sys.exit(1)
    try:
        removed, notes = pipeline.retire_machine(workspace, name, own=own, offline=offline)
    except Faults as error:
        what = f"{name} is not retired: what was installed is undone, but the inventory still has its roles"
        hint = f"repeat the command; if {name} is gone for good, with --offline"
        raise Faults([*error.faults, Fault(what, hint=hint)]) from None
    if not invocation.json:
        files = " and ".join(file.name for file in removed.edited.files)
        lines = [report_text(report), *([] if offline else [f"purged {name}", *notes])]
        output.write("\n".join([*lines, f"removed {name} from {files}", *stays(name, removed)]) + "\n")
    rotating = Rotating(invocation, yes=True)
    try:
        done = not names or pipeline.rotate_with_updates(
            workspace, names, rotating.rotated, rotating.update, again=found.rotatable.begun
        )
    except Faults as error:
        raise Faults([*error.faults, _not_rotated(name)]) from None
    if invocation.json:
        document = {"machine": name, "update": report.as_json(), "notes": notes, "rotated": rotating.vars}
        invocation.emit({**document, "updates": [each.as_json() for each in rotating.updates]}, "")
    if not done:
        raise Faults([_not_rotated(name)])


def _following(name: str, found: Retiring, names: tuple[str, ...], *, offline: bool) -> list[str]:
    """Return what follows the update, a line each."""
    lines = [] if offline else [f"purge {name}: delete its kept generations and secrets, which cannot be undone"]
    lines += [f"remove {name} from the inventory"]
    lines += [f"remove the pinned host keys of {name}"] if found.pinned else []
    lines += [f"rotate {each}, which {name} knew" for each in names]
    return ["then:", *(f"  {line}" for line in lines)]


def _not_rotated(name: str) -> Fault:
    hint = f"continue with `rolecall vars rotate --known-to {name} --update`"
    return Fault(f"{name} is retired, but the secrets that it knew are not all rotated", hint=hint)


def stays(name: str, removed: RemovedMachine) -> list[str]:
    """Return what stays in the project of a machine that was removed, a line each."""
    lines = [f"kept {each.key}: {each.why}" for each in removed.kept]
    if removed.kept:
        lines += [f"{name} uses it again when it is declared again; `rolecall vars prune` leaves it alone"]
    if removed.free:
        lines += [f"no longer needed: {', '.join(removed.free)}; to remove this, run `rolecall vars prune`"]
    return lines
