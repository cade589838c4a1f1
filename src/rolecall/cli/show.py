"""``rolecall check`` and ``rolecall show``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rolecall.cli import completion
from rolecall.cli.output import tell
from rolecall.errors import plural

if TYPE_CHECKING:
    from rolecall.cli.common import Invocation


@click.command()
@click.pass_obj
def check(invocation: Invocation) -> None:
    """Check the inventory, and report all mistakes.

    Evaluates services and their configurations without generating, decrypting or asking for anything. What needs the
    public value of a var that is not generated yet is left out: `rolecall plan` generates these vars and checks the
    rest. Does not run generators, and does not connect to machines.
    """
    from rolecall import pipeline

    workspace = invocation.workspace
    try:
        found = workspace.check()
    finally:
        if not invocation.json and (note := pipeline.clan_note(workspace)):
            click.echo(note, err=True)
    if not invocation.json:
        tell(found.warnings, as_json=False)
    warnings = [warning.as_json() for warning in found.warnings]
    counts = (
        plural(len(found.loaded.inventory.machines), "machine"),
        plural(len(found.membership.services), "instance"),
        plural(len(warnings), "warning"),
    )
    text = f"the inventory is sound: {', '.join(counts)}"
    if roles := sorted({role for roles in found.incomplete.values() for role in roles}):
        text += f"\nnot fully checked until `rolecall plan` has generated their vars: {', '.join(roles)}"
    invocation.emit({"faults": [], "warnings": warnings, "incomplete": found.incomplete}, text)


@click.command()
@click.argument("machine", required=False, shell_complete=completion.machines)
@click.option("--all", "whole", is_flag=True, help="Show the digest of every machine's configuration.")
@click.option("--files", metavar="DIR", help="Write the files of MACHINE into this new folder, secrets included.")
@click.option("--qr", metavar="PATH", help="Print this file of MACHINE as a QR code, secrets included.")
@click.pass_obj
def show(invocation: Invocation, machine: str | None, *, whole: bool, files: str | None, qr: str | None) -> None:
    """Show who plays what, or a configuration.

    With MACHINE, shows all resources of that machine, after generating its missing vars.

    Example: rolecall show jon --files /tmp/jon
    """
    from rolecall import pipeline

    workspace = invocation.workspace
    if whole and machine:
        raise click.UsageError("MACHINE and --all exclude each other")
    for option, value in (("--files", files), ("--qr", qr)):
        if value and not machine:
            raise click.UsageError(f"{option} needs a MACHINE")
    if whole:
        found = {name: each.configuration for name, each in workspace.evaluation().configured.items()}
        rows = {name: {"digest": each.digest, "resources": len(each.resources)} for name, each in found.items()}
        width = max(map(len, found), default=0)
        lines = [f"{name:{width}}  {row['digest']:.12}  {row['resources']} resources" for name, row in rows.items()]
        invocation.emit({"configurations": rows}, "\n".join(lines) or "no machines yet")
        return
    if machine is None:
        members = workspace.members()
        document = pipeline.as_json(members)
        if not invocation.json:
            tell((*members.warnings, *members.membership.unfit), as_json=False)
        invocation.emit(document, "" if invocation.json else _cast_list(document))
        return
    if files:
        written, left = pipeline.write_files(workspace, machine, Path(files))
        text = f"wrote {plural(len(written), 'file')} of {machine} to {files}"
        invocation.emit({"written": written, "left": left}, text + "".join(f"\nno file: {key}" for key in left))
        return
    if qr:
        code = pipeline.qr_code(workspace, machine, qr)
        invocation.emit({"code": code}, code)
        return
    configured = workspace.evaluation_of([machine]).configured[machine]
    configuration = configured.configuration
    document = {"digest": configuration.digest, **configuration.as_json(), "origins": configured.origins}
    width = max((len(resource.key) for resource in configuration.resources), default=0)
    lines = [f"{machine}  {configuration.digest[:12]}"]
    lines += [
        f"  {resource.key:{width}}  {', '.join(configured.origins[resource.key])}"
        for resource in configuration.resources
    ]
    invocation.emit(document, "\n".join(lines))


def _cast_list(document: dict[str, object]) -> str:
    lines = []
    members = document["members"]
    assert isinstance(members, dict)  # noqa: S101 - the pipeline's documented form
    for instance, roles in members.items():
        lines.append(instance)
        for role, machines in roles.items():
            lines.append(f"  {role}: {', '.join(machines) or '(no members)'}")
    machines = document["machines"]
    assert isinstance(machines, dict)  # noqa: S101 - as above
    lines.append(f"machines: {', '.join(machines) or '(none)'}")
    return "\n".join(lines)
