"""``rolecall vars``: generated keys and secrets."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rolecall.cli import completion, output
from rolecall.cli.common import ask
from rolecall.cli.output import tell
from rolecall.errors import Fault, fault, nearest, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rolecall.cli.common import Invocation
    from rolecall.model.vars import VarKey
    from rolecall.vars import Sealed


@click.group(name="vars")
def vars_() -> None:
    """Manage generated keys and secrets."""


@vars_.command(name="list")
@click.pass_obj
def list_(invocation: Invocation) -> None:
    """List all vars, without decrypting them."""
    from rolecall.vars import pending, stored_all  # noqa: PLC0415 - commands import what they use: the others start faster

    waiting, kept = pending(invocation.project), stored_all(invocation.project)
    rows = [
        {
            "machine": key.machine or None,
            "name": key.name,
            "file": name,
            "secret": file.secret,
            "version": file.version,
            "pending": key in waiting,
        }
        for key, var in sorted((kept | waiting).items())
        for name, file in sorted(var.items())
    ]
    lines = [
        f"{'secret' if row['secret'] else 'public'}  {row['machine'] or 'shared'}/{row['name']}/{row['file']}"
        + ("  pending" if row["pending"] else "")
        for row in rows
    ]
    invocation.emit({"vars": rows}, "\n".join(lines) or "no vars yet")


@vars_.command()
@click.argument("key", shell_complete=completion.values)
@click.option("--yes", is_flag=True, help="Print secrets even when stdout is not a terminal.")
@click.pass_obj
def get(invocation: Invocation, key: str, *, yes: bool) -> None:
    """Print the value of KEY.

    KEY is a name from `vars list`. The file may be left out if the var has only one.
    """
    from rolecall.model.vars import current  # noqa: PLC0415
    from rolecall.vars import decrypt, pending, stored_all  # noqa: PLC0415

    found = pending(invocation.project) | stored_all(invocation.project)
    # Reversed: a shared var comes last, and so `shared/…` names it even if a machine is called `shared`.
    named = {f"{var}/{name}": (var, name) for var in sorted(found, reverse=True) for name in found[var]}
    for var in sorted(found, reverse=True):
        if len(names := list(current(found[var]))) == 1:
            named[str(var)] = (var, names[0])
    if key not in named:
        raise fault(f"no var {key!r}", hint=nearest(key, named, what="vars"))
    var, name = named[key]
    file = found[var][name]
    if file.secret and not (yes or output.is_terminal()):
        raise fault(f"{key} is secret, and stdout is not a terminal", hint="use `--yes` to print it anyway")
    value = decrypt(invocation.project, [(var, name)])[var, name] if file.secret else file.public.encode()
    if invocation.json:
        text = value.decode(errors="surrogateescape")
        invocation.emit({"value": text, "secret": file.secret, "version": file.version}, "")
    else:
        output.write(value)  # exactly these bytes, without a newline


@vars_.command()
@click.pass_obj
def recipients(invocation: Invocation) -> None:
    """Show who can read each secret.

    These are the admins to whom it is encrypted, the machines that receive it, and those that once had it and may
    still have it. Missing vars are generated as for a plan, because they determine what a machine receives.
    """
    from rolecall import pipeline  # noqa: PLC0415

    rows = pipeline.audiences(invocation.project, invocation.lab)
    width = max((len(row.secret) for row in rows), default=0)
    lines = [
        f"{row.secret:{width}}  {', '.join(row.admins) or '?'}  →  "
        + (", ".join(_with_groups(machine, row.groups) for machine in row.machines) or "no machine")
        + (f"; formerly {', '.join(row.formerly)}" if row.formerly else "")
        + ("  pending" if row.pending else "")
        for row in rows
    ]
    invocation.emit({"secrets": rows}, "\n".join(lines) or "no secrets yet")


def _with_groups(machine: str, groups: Mapping[str, Sequence[str]]) -> str:
    """Return a machine, with the groups that can read a secret there besides root and its owner."""
    return f"{machine} (group {', '.join(groups[machine])})" if machine in groups else machine


@vars_.command()
@click.option("--decrypt", is_flag=True, help="Also decrypt secrets, to compare private keys with public ones.")
@click.pass_obj
def check(invocation: Invocation, *, decrypt: bool) -> None:
    """Check that vars are intact, and private to the admins.

    The files of a var must have been made together, and fit one another. Without --decrypt nothing is decrypted.
    With it, vars of an earlier version are marked as verified.
    """
    from rolecall import pipeline  # noqa: PLC0415

    found = pipeline.check_vars(invocation.project, decrypt=decrypt)
    if not invocation.json:
        tell(found.warnings, as_json=False)
    text = f"{plural(found.secrets, 'secret')}: readable by the admins only"
    if found.marked:
        text += f"\ncommit the new marks beside {plural(len(found.marked), 'verified var')} (`vars/…/.made`)"
    document = {"secrets": found.secrets, "marked": [str(key) for key in found.marked]}
    invocation.emit({**document, "warnings": [each.as_json() for each in found.warnings]}, text)


@vars_.command()
@click.pass_obj
def fix(invocation: Invocation) -> None:
    """Repair what `vars check` reports, as far as possible.

    Re-encrypts secrets to the admins only; their values stay. Someone who could read a secret may still have it: rotate
    it to make that copy useless. What cannot be repaired is listed, and the exit status is 1 then.
    """
    from rolecall import pipeline  # noqa: PLC0415

    fixed, left = pipeline.fix_vars(invocation.project)
    named = [str(each) for each in fixed]
    text = "\n".join(f"re-encrypted {name}" for name in named) or ("" if left else "nothing to repair")
    invocation.emit({"vars": named, "faults": [each.as_json() for each in left]}, text)
    if left:
        if not invocation.json:
            tell(left, as_json=False)
        sys.exit(1)


@vars_.command()
@click.pass_obj
def generate(invocation: Invocation) -> None:
    """Generate and store the missing vars."""
    from rolecall import pipeline  # noqa: PLC0415

    _tell(invocation, "generated", pipeline.generate(invocation.project, invocation.lab), "no vars are missing")


@vars_.command()
@click.argument("keys", nargs=-1, shell_complete=completion.vars_)
@click.option(
    "--known-to",
    metavar="WHO",
    shell_complete=completion.machines,
    help="Rotate every var that WHO (a machine or public key) could read.",
)
@click.option("--force", is_flag=True, help="Also rotate vars whose old value still protects data.")
@click.option("--at-once", is_flag=True, help="Replace the old value at once, even if that leaves a gap.")
@click.option("--update", "updates", is_flag=True, help="Also run the updates that it takes.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@click.pass_obj
def rotate(
    invocation: Invocation,
    keys: tuple[str, ...],
    *,
    known_to: str | None,
    force: bool,
    at_once: bool,
    updates: bool,
    yes: bool,
) -> None:
    """Replace vars by new values, without a gap if possible.

    Generates new values of KEYS and of the vars that read them; the next update puts them in place. Where peers can
    accept the old and the new value at once, no connection fails meanwhile: that takes three updates, and this command
    before each of them, or once with --update. `plan` shows what will change, and `vars discard` drops it.

    Example: rolecall vars rotate jon/backup.ssh --update
    """
    from rolecall import pipeline  # noqa: PLC0415

    if known_to:
        known, _ = pipeline.known_to(invocation.project, known_to)
        bound = [recipe for recipe in known if recipe.binds and not force and str(recipe.key) not in keys]
        keys = (*keys, *(str(recipe.key) for recipe in known if recipe not in bound))
        tell((replace(pipeline.needs_force(recipe), warning=True) for recipe in bound), as_json=False)
    elif not keys:
        raise click.UsageError("name the vars, or use --known-to WHO")
    told: dict[str, list[object]] = {"vars": [], "updates": []}
    left, good = keys, True
    if updates:
        ended, begun = pipeline.waiting(invocation.project, keys)
        good = not (ended or begun) or _update(invocation, told, yes=yes)
        left = tuple(key for key in keys if key not in ended)
    while left and good:
        made = pipeline.rotate(invocation.project, invocation.lab, left, force=force, at_once=at_once)
        told["vars"] += [{"var": str(each.key), "step": each.step} for each in made]
        if not invocation.json:
            output.write("".join(f"{each}\n" for each in made))
        good = not updates or _update(invocation, told, yes=yes)
        left = tuple(str(each.key) for each in made if updates and 0 < each.step < pipeline.STEPS)
    if invocation.json:
        invocation.emit(told, "")
    if not good:
        sys.exit(1)


def _update(invocation: Invocation, told: dict[str, list[object]], *, yes: bool) -> bool:
    """Run one update of a rotation; return whether it is done."""
    from rolecall.cli.render import report_text  # noqa: PLC0415
    from rolecall.cli.update import bring  # noqa: PLC0415

    report = bring(invocation, yes=yes)
    told["updates"].append(report.as_json())
    if not invocation.json:
        output.write(report_text(report) + "\n")
    return report.done


@vars_.command(name="set")
@click.argument("key", shell_complete=completion.vars_)
@click.argument("files", nargs=-1, metavar="[FILE=PATH]...")
@click.option("--force", is_flag=True, help="Replace a value even if it still protects data.")
@click.pass_obj
def set_(invocation: Invocation, key: str, files: tuple[str, ...], *, force: bool) -> None:
    """Set a var to a value of your own.

    Without FILE=PATH, prompts for the var's only value, or reads it from standard input, to the last byte. A PATH of
    `-` is standard input. The next update puts the value in place, and vars that are made from it are regenerated.

    Example: rolecall vars set jon/backup.ssh private=id_ed25519 public=id_ed25519.pub
    """
    from rolecall import pipeline  # noqa: PLC0415

    values = {}
    for said in files:
        name, sign, path = said.partition("=")
        if not sign:
            raise click.UsageError(f"{said!r} is not FILE=PATH")
        values[name] = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    if not files and sys.stdin.isatty():
        values[""] = click.prompt(key, hide_input=True, confirmation_prompt=True, err=True).encode()
    elif not files:
        values[""] = sys.stdin.buffer.read()
        if values[""].endswith(b"\n") and values[""].count(b"\n") == 1:
            hint = "to leave it out: `printf %s VALUE | rolecall vars set …`"
            tell([Fault(f"the value of {key} ends with a newline", hint=hint, warning=True)], as_json=False)
    made = pipeline.set_var(invocation.project, invocation.lab, key, values, force=force)
    _tell(invocation, "pending:", made, "nothing changed")


@vars_.command()
@click.argument("keys", nargs=-1, shell_complete=completion.vars_)
@click.option("--to", multiple=True, metavar="PUBLIC_KEY", help="A key that can read it (default: the admins').")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="File to write.")
@click.pass_obj
def export(invocation: Invocation, keys: tuple[str, ...], *, to: tuple[str, ...], output: Path) -> None:
    """Export vars and their values to an encrypted file.

    Writes the vars KEYS, or all stored ones, for another project. The age file holds one JSON document (docs/vars.md).

    Example: rolecall vars export jon/backup.ssh -o jon.age
    """
    from rolecall import files, pipeline  # noqa: PLC0415

    data = pipeline.export_vars(invocation.project, keys, to)
    files.create(output, data, mode=0o600)
    invocation.emit({"file": str(output)}, f"wrote {output}")


@vars_.command(name="import")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--force", is_flag=True, help="Replace a value even if it still protects data.")
@click.pass_obj
def import_(invocation: Invocation, file: Path, *, force: bool) -> None:
    """Import vars from a file written by `vars export`.

    FILE may be encrypted or not; `-` is standard input. The next update puts the values in place. Vars that the
    inventory does not declare are left out, unless something would be lost with them.
    """
    from rolecall import pipeline  # noqa: PLC0415

    data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    done = pipeline.import_vars(invocation.project, invocation.lab, data, file, force=force)
    lines = [f"pending: {name}" for name in done.pending] + [f"unchanged: {name}" for name in done.same]
    lines += [f"stored, though the inventory does not declare it: {name}" for name in done.kept]
    lines += [f"left out, the inventory does not declare it: {name}" for name in done.unwanted]
    invocation.emit(done, "\n".join(lines) or "the file holds no vars")


@vars_.command()
@click.argument("keys", nargs=-1, shell_complete=completion.vars_)
@click.option("--force", is_flag=True, help="Remove the vars KEYS even if something is lost with them.")
@click.option("--dry-run", is_flag=True, help="Only print what would be removed.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@click.pass_obj
def prune(invocation: Invocation, keys: tuple[str, ...], *, force: bool, dry_run: bool, yes: bool) -> None:
    """Remove stored vars that the inventory does not declare.

    Without KEYS, a var that still protects something is kept and listed, such as the passphrase of a removed machine's
    backups: without it they cannot be read, and the machine uses it again when it is declared again.

    Example: rolecall vars prune --force jon/backup.repokey
    """
    from rolecall import pipeline  # noqa: PLC0415
    from rolecall.vars import remove  # noqa: PLC0415

    project = invocation.project
    if force and not keys:
        raise click.UsageError("--force needs the names of vars")
    found = pipeline.unwanted(project)
    going = pipeline.prunable(project, keys, force=force) if keys else list(found.free)
    kept = () if keys else found.bound
    if going and not dry_run:
        if not yes:
            lost = [f"{each.key} ({each.why})" for each in found.bound if each.key in going]
            loses = f" This loses: {', '.join(lost)}" if lost else ""
            ask(invocation, f"remove {', '.join(map(str, going))} for good?{loses}")
        remove(project, going)
    verb = "would remove" if dry_run else "removed"
    lines = [f"{verb} {key}" for key in going] + [f"kept {each.key}: {each.why}" for each in kept]
    if kept:
        lines.append("to remove one of these for good: `rolecall vars prune --force KEY`")
    document = {"vars": [str(key) for key in going], "kept": {str(each.key): each.binds for each in kept}}
    invocation.emit(document, "\n".join(lines) or "nothing to remove")


@vars_.command()
@click.option("--force", "forced", metavar="KEY", multiple=True, help="Drop KEY even if something is lost with it.")
@click.pass_obj
def discard(invocation: Invocation, *, forced: tuple[str, ...]) -> None:
    """Drop pending vars, generated for a plan.

    A pending var with which something would be lost is kept and listed: it may be one that you have set.
    """
    from rolecall import pipeline  # noqa: PLC0415

    dropped, kept = pipeline.discard(invocation.project, forced)
    lines = [f"dropped {key}" for key in dropped] + [f"kept {each.key}: {each.why}" for each in kept]
    if kept:
        lines.append("to drop one of these: `rolecall vars discard --force KEY`")
    document = {"vars": [str(key) for key in dropped], "kept": {str(each.key): each.binds for each in kept}}
    invocation.emit(document, "\n".join(lines) or "nothing is pending")


def _tell(invocation: Invocation, verb: str, keys: Iterable[VarKey | Sealed], otherwise: str) -> None:
    named = [str(key) for key in keys]
    text = "\n".join(f"{verb} {name}" for name in named) or otherwise
    invocation.emit({"vars": named}, text)
