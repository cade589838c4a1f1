"""``rolecall machines``."""

from __future__ import annotations

from textwrap import indent
from typing import TYPE_CHECKING

import click

from rolecall.cli import completion
from rolecall.cli.choosing import choosing
from rolecall.cli.common import ask
from rolecall.cli.installing import install
from rolecall.cli.output import tell
from rolecall.cli.pinning import pin
from rolecall.cli.retiring import retire, stays
from rolecall.cli.sides import sides

if TYPE_CHECKING:
    from typing import Literal

    from rolecall.cli.common import Invocation
    from rolecall.pipeline import Choice, RecoveredMachine


@click.group()
def machines() -> None:
    """Manage the machines of the inventory."""


@machines.command("list")
@choosing
@click.pass_obj
def list_(invocation: Invocation, choice: Choice) -> None:
    """List the machines with their tags and targets."""
    from rolecall import pipeline

    declared_machines = pipeline.as_json(invocation.workspace.members())["machines"]
    names = pipeline.chosen(invocation.workspace, choice)
    document, targets = {name: declared_machines[name] for name in names}, pipeline.targets(invocation.workspace, names)
    rows = [(name, targets[name] or "-", ", ".join(declared["tags"])) for name, declared in document.items()]
    longest, widest = (max((len(row[column]) for row in rows), default=0) for column in (0, 1))
    text = "\n".join(f"{name:{longest}}  {target:{widest}}  {tags}" for name, target, tags in rows)
    invocation.emit(document, text or "no machines yet; declare one: `rolecall machines add NAME`")


@machines.command()
@click.argument("name")
@click.option("--target-host", help="Its target: [user@]host[:port], or dir:PATH.")
@click.option("--tag", "tags", multiple=True, help="Add this tag; may be repeated.")
@click.pass_obj
def add(invocation: Invocation, name: str, target_host: str | None, tags: tuple[str, ...]) -> None:
    """Declare the machine NAME in inventory.json.

    Example: rolecall machines add jon --target-host root@jon.example.org --tag backup
    """
    from rolecall import pipeline

    edited = pipeline.add_machine(invocation.workspace, name, target_host=target_host, tags=tags)
    tell(edited.warnings, as_json=False)
    invocation.emit({"machine": name, "file": str(edited.files[0])}, f"declared {name} in {edited.files[0].name}")


@machines.command()
@click.argument("name", shell_complete=completion.machines)
@click.option("--own", is_flag=True, help="Also write your own inventory file.")
@click.pass_obj
def remove(invocation: Invocation, name: str, *, own: bool) -> None:
    """Remove a machine from the inventory.

    Removes its table, and its name from tags and roles. What Rolecall installed there stays, and so do its vars and
    pinned keys. To undo what is installed, remove its roles and update first.
    """
    from rolecall import pipeline

    removed = pipeline.remove_machine(invocation.workspace, name, own=own)
    edited = removed.edited
    tell(edited.warnings, as_json=False)
    document = {"machine": name, "files": [str(file) for file in edited.files], "digest": edited.digest}
    lines = [f"removed {name} from {' and '.join(file.name for file in edited.files)}"]
    if removed.known:
        lines += [f"{name} may have kept secrets that others still use: {', '.join(removed.known)}"]
        lines += [f"to make them useless, run `rolecall vars rotate --known-to {name}`"]
    lines += stays(name, removed)
    kept = {str(each.key): each.binds for each in removed.kept}
    invocation.emit({**document, "known": [*removed.known, *removed.others], "kept": kept}, "\n".join(lines))


@machines.command()
@click.argument("name", shell_complete=completion.machines)
@click.pass_obj
def forget(invocation: Invocation, name: str) -> None:
    """Remove the pinned host keys of a removed machine.

    Plans then no longer warn about it. What Rolecall installed there stays.
    """
    from rolecall import pipeline

    pipeline.forget_machine(invocation.workspace, name)
    invocation.emit({"machine": name}, f"forgot the host keys of {name}")


@machines.command()
@click.argument("name", shell_complete=completion.machines)
@click.option("--retry", is_flag=True, help="Undo it now.")
@click.option("--accept", is_flag=True, help="Leave everything as it is, and go on from there.")
@click.option("--give-up", "keys", multiple=True, metavar="KEY", help="Leave one resource as it is, and undo the rest.")
@sides
@click.pass_obj
def recover(invocation: Invocation, name: str, *, retry: bool, accept: bool, keys: tuple[str, ...]) -> None:
    """Show or settle an update that was interrupted.

    Every command that reaches a machine first undoes an interrupted update, or completes it if it was decided. This is
    for the case that the undo fails. Without options, nothing is changed.

    Example: rolecall machines recover jon --give-up file:/etc/motd
    """
    from rolecall import pipeline

    if accept and (retry or keys):
        raise click.UsageError("--accept leaves everything as it is; it cannot be combined with --retry or --give-up")
    mode: Literal["show", "retry", "accept"] = "accept" if accept else "retry" if retry or keys else "show"
    answer = pipeline.recover_machine(invocation.workspace, name, mode, keys)
    invocation.emit(answer.as_json(), _recovery(name, answer))


def _recovery(name: str, answer: RecoveredMachine) -> str:
    """Return an interrupted update, and what became of it, in words."""
    found = answer.interrupted
    if found is None:
        given_up = f"gave up what is damaged: the next plan of {name} shows how it differs from what is left"
        return given_up if answer.settled else f"no update of {name} was interrupted"
    settled = {
        "undone": f"undone: {name} is as it was before",
        "committed": f"completed: {name} has generation {found.target}",
        "accepted": f"accepted: the next plan of {name} shows how it differs from generation {found.source}",
    }
    if answer.settled:
        return settled[answer.settled]
    touched = [*found.resources, *(f"unit:{unit}" for unit in found.units if f"unit:{unit}" not in found.resources)]
    end = "will be completed" if found.decided else "is to be undone"
    lines = [
        f"run {found.run} of {found.user} ({found.at}) was interrupted, and {end}",
        f"  from generation {found.source} to {found.target}",
        *(indent(str(each), "  ") for each in found.damage),
        *(f"  {key}" for key in touched if key not in {each.key for each in found.damage}),
        f"to try again, run `rolecall machines recover {name} --retry`; see `rolecall machines recover --help`",
    ]
    return "\n".join(lines)


machines.add_command(install)
machines.add_command(pin)
machines.add_command(retire)


@machines.command()
@click.argument("name", shell_complete=completion.machines)
@click.option("--homes", is_flag=True, help="Remove the homes of these users, too.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@sides
@click.pass_obj
def purge(invocation: Invocation, name: str, *, homes: bool, yes: bool) -> None:
    """Delete Rolecall's own state from a machine.

    Removes the kept generations, originals and secrets, and the users and groups that Rolecall created. This cannot be
    undone. Remove the machine's roles and update first. Data of backups and services stays.
    """
    from rolecall import pipeline

    if not yes:
        where = pipeline.target_of(invocation.workspace, name)
        ask(invocation, f"delete the kept generations and secrets of {name} ({where})? This cannot be undone")
    notes = pipeline.purge_machine(invocation.workspace, name, homes=homes)
    invocation.emit({"machine": name, "notes": notes}, "\n".join([f"purged {name}", *notes]))


@machines.command()
@click.argument("old", shell_complete=completion.machines)
@click.argument("new")
@click.pass_obj
def rename(invocation: Invocation, old: str, new: str) -> None:
    """Rename a machine, wherever the project names it.

    Renames it in the inventory, and its folder, vars and pinned host keys. The next update renames it on the machine
    and for its peers. A service that keeps data under a machine's name, such as borgbackup, starts afresh there.
    """
    from rolecall import pipeline

    pipeline.rename_machine(invocation.workspace, old, new)
    text = f"renamed {old} to {new}; the next update tells the machines"
    invocation.emit({"machine": new, "formerly": old}, text)
