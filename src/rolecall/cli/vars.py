"""``rolecall vars``: the keys and secrets that were made."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rolecall.cli import completion, output
from rolecall.cli.common import ask, tell
from rolecall.errors import fault, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rolecall.cli.common import Invocation
    from rolecall.model.vars import VarKey
    from rolecall.vars import Sealed


@click.group(name="vars")
def vars_() -> None:
    """See, make and clear away keys and secrets."""


@vars_.command(name="list")
@click.pass_obj
def list_(invocation: Invocation) -> None:
    """List all vars, without decrypting any."""
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
    invocation.emit({"vars": rows}, "\n".join(lines) or "there are no vars")


@vars_.command()
@click.argument("key", shell_complete=completion.values)
@click.option("--yes", is_flag=True, help="Print a secret even where it is not a terminal that gets it.")
@click.pass_obj
def get(invocation: Invocation, key: str, *, yes: bool) -> None:
    """Print the value KEY, as `vars list` names it; the file may be left out where there is but one."""
    from rolecall.model.vars import used  # noqa: PLC0415
    from rolecall.vars import decrypt, pending, stored_all  # noqa: PLC0415

    found = pending(invocation.project) | stored_all(invocation.project)
    # Reversed: a shared var comes first, and so is it that answers to `shared/…`, whatever machine is called so.
    named = {f"{var}/{name}": (var, name) for var in sorted(found, reverse=True) for name in found[var]}
    for var in sorted(found, reverse=True):
        if len(names := list(used(found[var]))) == 1:
            named[str(var)] = (var, names[0])
    if key not in named:
        raise fault(f"no var {key!r}", hint=nearest(key, named, what="vars"))
    var, name = named[key]
    file = found[var][name]
    if file.secret and not (yes or output.is_terminal()):
        raise fault(
            f"{key} is secret, and what you are printing to is no terminal", hint="say `--yes` to print it all the same"
        )
    value = decrypt(invocation.project, [(var, name)])[var, name] if file.secret else file.public.encode()
    if invocation.json:
        text = value.decode(errors="surrogateescape")
        invocation.emit({"value": text, "secret": file.secret, "version": file.version}, "")
    else:
        output.write(value)  # these very bytes, and no newline more


@vars_.command()
@click.pass_obj
def recipients(invocation: Invocation) -> None:
    """Show who can read each secret: the admins to whom it is encrypted, and the machines to which it goes.

    Also who has had it and may have kept it. Vars that are missing are made as for a plan, for what a machine gets
    follows from them.
    """
    from rolecall import pipeline  # noqa: PLC0415

    rows = pipeline.audiences(invocation.project, invocation.lab)
    width = max((len(row.secret) for row in rows), default=0)
    lines = [
        f"{row.secret:{width}}  {', '.join(row.admins) or '?'}  →  {', '.join(row.machines) or 'no machine'}"
        + (f"; formerly {', '.join(row.formerly)}" if row.formerly else "")
        + ("  pending" if row.pending else "")
        for row in rows
    ]
    invocation.emit({"secrets": rows}, "\n".join(lines) or "there are no secrets")


@vars_.command()
@click.pass_obj
def check(invocation: Invocation) -> None:
    """Name every secret that others can read than the admins; nothing is decrypted for it."""
    from rolecall.errors import Faults  # noqa: PLC0415
    from rolecall.vars import sealed, wrong  # noqa: PLC0415

    if found := wrong(invocation.project):
        raise Faults(fault for _, fault in found)
    count = len(sealed(invocation.project))
    invocation.emit({"secrets": count}, f"the {count} secrets can be read by the admins, and by nobody else")


@vars_.command()
@click.pass_obj
def fix(invocation: Invocation) -> None:
    """Encrypt the secrets that `vars check` names anew, to the admins alone. Their values stay.

    Who could read one may have kept it: only a new value changes that.
    """
    from rolecall.vars import fix as encrypt  # noqa: PLC0415

    _tell(invocation, "encrypted", encrypt(invocation.project), "every secret is as it should be")


@vars_.command()
@click.pass_obj
def generate(invocation: Invocation) -> None:
    """Make the vars that are missing, and keep them without waiting for an update."""
    from rolecall import pipeline  # noqa: PLC0415

    _tell(invocation, "made", pipeline.generate(invocation.project, invocation.lab), "nothing was missing")


@vars_.command()
@click.argument("keys", nargs=-1, shell_complete=completion.vars_)
@click.option(
    "--known-to",
    metavar="WHO",
    shell_complete=completion.machines,
    help="All that the machine WHO has had, or who has the public key WHO.",
)
@click.option("--force", is_flag=True, help="Also those with which something is lost, as what they have encrypted.")
@click.option("--at-once", is_flag=True, help="Let the old value go at once, even where that leaves a gap.")
@click.option("--update", "updates", is_flag=True, help="Update the machines, as often as it takes.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before an update.")
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
    """Make the vars KEYS anew, and the vars that read them. The next update puts the new values in place of the old.

    Where peers can accept an old and a new value at once, no connection fails meanwhile: it takes three updates then,
    and this command before each of them, or once with --update. Until an update nothing changes: `plan` shows what
    will, `vars discard` drops it.
    """
    from rolecall import pipeline  # noqa: PLC0415

    if known_to:
        known, _ = pipeline.known_to(invocation.project, known_to)
        bound = [recipe for recipe in known if recipe.binds and not force and str(recipe.key) not in keys]
        keys = (*keys, *(str(recipe.key) for recipe in known if recipe not in bound))
        tell((replace(pipeline.spared(recipe), warning=True) for recipe in bound), as_json=False)
    elif not keys:
        raise click.UsageError("name the vars, or say --known-to WHO")
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
    """One update on the way; whether it is done."""
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
@click.option("--force", is_flag=True, help="Also where something is lost with the value that is kept.")
@click.pass_obj
def set_(invocation: Invocation, key: str, files: tuple[str, ...], *, force: bool) -> None:
    """Bring the values of the var KEY yourself, such as a key that you have already; `-` is standard input.

    Without FILE=PATH you are asked for the one value of the var; or it is read from standard input, to the last byte.
    The next update puts it in place; what is made from it is made anew.

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
    made = pipeline.set_var(invocation.project, invocation.lab, key, values, force=force)
    _tell(invocation, "pending:", made, "nothing has changed")


@vars_.command()
@click.argument("keys", nargs=-1, shell_complete=completion.vars_)
@click.option("--to", multiple=True, metavar="PUBLIC_KEY", help="Who can read it (default: the admins).")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The file to write.")
@click.pass_obj
def export(invocation: Invocation, keys: tuple[str, ...], *, to: tuple[str, ...], output: Path) -> None:
    """Write the vars KEYS, or all that are stored, with their values into one age file, for another project.

    It is one JSON document (docs/vars.md); `age --decrypt` shows it to who may read it.
    """
    from rolecall import files, pipeline  # noqa: PLC0415

    data = pipeline.export_vars(invocation.project, keys, to)
    files.create(output, data, mode=0o600)
    invocation.emit({"file": str(output)}, f"wrote {output}")


@vars_.command(name="import")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--force", is_flag=True, help="Also where something is lost with a value that is kept.")
@click.pass_obj
def import_(invocation: Invocation, file: Path, *, force: bool) -> None:
    """Bring the vars that FILE holds, of `vars export` or in the same form, encrypted or not; `-` is standard input.

    They wait for an update as those of `vars set` do. What the inventory does not ask for is left out.
    """
    from rolecall import pipeline  # noqa: PLC0415

    data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    done = pipeline.import_vars(invocation.project, invocation.lab, data, file, force=force)
    lines = [f"pending: {name}" for name in done.pending] + [f"already so: {name}" for name in done.same]
    lines += [f"left out, nothing asks for it: {name}" for name in done.unwanted]
    invocation.emit(done, "\n".join(lines) or "it holds no vars")


@vars_.command()
@click.option("--dry-run", is_flag=True, help="Remove nothing, only say what would go.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def prune(invocation: Invocation, *, dry_run: bool, yes: bool) -> None:
    """Remove the stored vars that nothing in the inventory wants any more.

    What was encrypted with a secret that goes, such as backups, can never be read again.
    """
    from rolecall.pipeline import recipes  # noqa: PLC0415
    from rolecall.vars import prune as remove  # noqa: PLC0415

    wanted = {recipe.key for recipe in recipes(invocation.project)}
    unwanted = remove(invocation.project, wanted, dry_run=True)
    if unwanted and not dry_run:
        if not yes:
            names = ", ".join(map(str, unwanted))
            ask(invocation, f"remove {names} for good? What they encrypt (backups, say) is lost with them")
        unwanted = remove(invocation.project, wanted)
    _tell(invocation, "would remove" if dry_run else "removed", unwanted, "every var is wanted")


@vars_.command()
@click.pass_obj
def discard(invocation: Invocation) -> None:
    """Drop the vars that were made for a plan and not used by an update."""
    from rolecall.vars import discard as drop  # noqa: PLC0415

    _tell(invocation, "dropped", drop(invocation.project), "nothing is pending")


def _tell(invocation: Invocation, verb: str, keys: Iterable[VarKey | Sealed], otherwise: str) -> None:
    named = [str(key) for key in keys]
    text = "\n".join(f"{verb} {name}" for name in named) or otherwise
    invocation.emit({"vars": named}, text)
