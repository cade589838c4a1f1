"""``rolecall machines``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rolecall.cli import completion
from rolecall.cli.common import ask
from rolecall.cli.output import tell
from rolecall.errors import plural

if TYPE_CHECKING:
    from rolecall.cli.common import Invocation


@click.group()
def machines() -> None:
    """Manage the machines of the inventory."""


@machines.command("list")
@click.pass_obj
def list_(invocation: Invocation) -> None:
    """List the machines with their tags and targets."""
    from rolecall import pipeline  # noqa: PLC0415 - imported when used, here and below
    from rolecall.deploy.target import Target, find_target  # noqa: PLC0415 - as above

    document = pipeline.as_json(pipeline.members(invocation.project))["machines"]
    project, lab = invocation.project, invocation.lab
    rows = []
    for name, declared in document.items():
        found = find_target(project, name, declared["deploy"]["targetHost"], lab)
        rows.append((name, found.text if isinstance(found, Target) else "-", ", ".join(declared["tags"])))
    names, targets = (max((len(row[column]) for row in rows), default=0) for column in (0, 1))
    text = "\n".join(f"{name:{names}}  {target:{targets}}  {tags}" for name, target, tags in rows)
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
    from rolecall import pipeline  # noqa: PLC0415 - as above
    from rolecall.deploy.target import find_target  # noqa: PLC0415 - as above
    from rolecall.errors import Fault, Faults  # noqa: PLC0415 - as above

    values: dict[str, object] = {}
    if tags:
        values["tags"] = list(tags)
    if target_host is not None:
        found = find_target(invocation.project, name, target_host, None)
        if isinstance(found, Fault):
            raise Faults([found])
        values["deploy"] = {"targetHost": target_host}
    edited = pipeline.add_machine(invocation.project, name, values)
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
    from rolecall import pipeline  # noqa: PLC0415 - as above

    edited = pipeline.remove_machine(invocation.project, name, own=own)
    tell(edited.warnings, as_json=False)
    recipes, keys = pipeline.known_to(invocation.project, name)
    wanted, others = [str(recipe.key) for recipe in recipes], list(map(str, keys))
    document = {"machine": name, "files": [str(file) for file in edited.files], "digest": edited.digest}
    lines = [f"removed {name} from {' and '.join(file.name for file in edited.files)}"]
    if wanted:
        lines += [f"{name} may have kept secrets that others still use: {', '.join(wanted)}"]
        lines += [f"to make them useless, run `rolecall vars rotate --known-to {name}`"]
    unwanted = pipeline.unwanted(invocation.project)
    kept = {str(each.key): each.binds for each in unwanted.bound if each.key.machine == name or each.key in keys}
    lines += [f"kept {each.key}: {each.why}" for each in unwanted.bound if str(each.key) in kept]
    if kept:
        lines += [f"{name} uses it again when it is declared again; `rolecall vars prune` leaves it alone"]
    if free := [str(key) for key in unwanted.free if key.machine == name or key in keys]:
        lines += [f"no longer needed: {', '.join(free)}; to remove this, run `rolecall vars prune`"]
    invocation.emit({**document, "known": [*wanted, *others], "kept": kept}, "\n".join(lines))


@machines.command()
@click.argument("name", shell_complete=completion.machines)
@click.pass_obj
def forget(invocation: Invocation, name: str) -> None:
    """Remove the pinned host keys of a removed machine.

    Plans then no longer warn about it. What Rolecall installed there stays.
    """
    from rolecall import pipeline  # noqa: PLC0415 - as above

    pipeline.forget_machine(invocation.project, name)
    invocation.emit({"machine": name}, f"forgot the host keys of {name}")


@machines.command()
@click.argument("name", shell_complete=completion.machines)
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@click.pass_obj
def purge(invocation: Invocation, name: str, *, yes: bool) -> None:
    """Delete Rolecall's own state from a machine.

    Removes the kept generations, originals and secrets. This cannot be undone. Remove the machine's roles and update
    first. Users that Rolecall made stay, locked, with their homes; data of backups and services stays too.
    """
    from rolecall import pipeline  # noqa: PLC0415 - as above

    if not yes:
        ask(invocation, f"delete the kept generations and secrets of {name}? This cannot be undone")
    pipeline.purge_machine(invocation.project, invocation.lab, name)
    invocation.emit({"machine": name}, f"purged {name}")


@machines.command()
@click.argument("old", shell_complete=completion.machines)
@click.argument("new")
@click.pass_obj
def rename(invocation: Invocation, old: str, new: str) -> None:
    """Rename a machine, wherever the project names it.

    Renames it in the inventory, and its folder, vars and pinned host keys. The next update renames it on the machine
    and for its peers. A service that keeps data under a machine's name, such as borgbackup, starts afresh there.
    """
    from rolecall import pipeline  # noqa: PLC0415 - as above

    pipeline.rename_machine(invocation.project, old, new)
    text = f"renamed {old} to {new}; the next update tells the machines"
    invocation.emit({"machine": new, "formerly": old}, text)


@machines.command()
@click.argument("name", shell_complete=completion.machines)
@click.option("--replace", is_flag=True, help="Replace the keys that are pinned now.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask. Differing pinned keys are replaced only with --replace.")
@click.pass_obj
def pin(invocation: Invocation, name: str, yes: bool, replace: bool) -> None:  # noqa: FBT001 - click's flags
    """Pin the SSH host keys of a machine.

    Shows the keys that the machine presents, and pins them once you have compared them. On the machine itself,
    `ssh-keygen -lf` prints the fingerprint of each /etc/ssh/ssh_host_*_key.pub.
    """
    from rolecall import pipeline  # noqa: PLC0415 - as above
    from rolecall.deploy import pins  # noqa: PLC0415 - as above

    project = invocation.project
    keys = pins.scan(pipeline.target(project, name, None))
    before = pins.pinned(project, name)
    document = {"machine": name, "keys": keys, "before": before}
    if before == keys:
        invocation.emit(document, f"{plural(len(keys), 'host key')} of {name} already pinned")
        return
    if before or not yes:
        _compare(name, keys, before)
    if not yes:
        what = "replace the pinned ones" if before else "are they the same"
        click.confirm(f"did you compare these keys on {name} itself: {what}?", abort=True, err=True)
    pins.pin(project, name, keys, replace=replace or bool(before and not yes))
    invocation.emit(document, f"pinned {plural(len(keys), 'host key')} of {name}")


def _compare(name: str, keys: list[str], before: list[str]) -> None:
    """Show the keys that a machine presents beside those that are pinned."""
    from rolecall.deploy import pins  # noqa: PLC0415 - as above

    if before:
        click.secho(f"WARNING: {name} presents other host keys than the pinned ones. {pins.OTHERS}", fg="red", err=True)
        click.echo("\n".join(["pinned:", *(f"  {pins.fingerprint(key)}" for key in before)]), err=True)
    click.echo("\n".join(["presented:", *(f"  {pins.fingerprint(key)}" for key in keys)]), err=True)
