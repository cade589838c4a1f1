"""``rolecall vars``: generated keys and secrets."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rolecall.cli import completion, output
from rolecall.cli.common import ask
from rolecall.cli.output import tell
from rolecall.cli.sides import real
from rolecall.errors import Fault, fault, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rolecall.cli.common import Invocation
    from rolecall.model.plan import Report
    from rolecall.pipeline import Rotated


@click.group(name="vars")
def vars_() -> None:
    """Manage generated keys and secrets."""


@vars_.command(name="list")
@click.pass_obj
def list_(invocation: Invocation) -> None:
    """List all vars, without decrypting them."""
    from rolecall import pipeline

    rows = pipeline.stored_values(invocation.workspace)
    lines = [f"{'secret' if row.secret else 'public'}  {row}" + ("  pending" if row.pending else "") for row in rows]
    invocation.emit({"vars": rows}, "\n".join(lines) or "no vars yet")


@vars_.command()
@click.argument("key", shell_complete=completion.values)
@click.option("--yes", is_flag=True, help="Print secrets even when stdout is not a terminal.")
@click.pass_obj
def get(invocation: Invocation, key: str, *, yes: bool) -> None:
    """Print the value of KEY.

    KEY is a name from `vars list`. The file may be left out if the var has only one.
    """
    from rolecall import pipeline

    found = pipeline.find_value(invocation.workspace, key)
    if found.secret and not (yes or output.is_terminal()):
        raise fault(f"{key} is secret, and stdout is not a terminal", hint="use `--yes` to print it anyway")
    value = pipeline.read_value(invocation.workspace, found)
    if invocation.json:
        text = value.decode(errors="surrogateescape")
        invocation.emit({"value": text, "secret": found.secret, "version": found.version}, "")
    else:
        output.write(value)  # exactly these bytes, without a newline


@vars_.command()
@click.pass_obj
def recipients(invocation: Invocation) -> None:
    """Show who can read each secret.

    These are the admins to whom it is encrypted, the machines that receive it, and those that once had it and may
    still have it. Missing vars are generated as for a plan, because they determine what a machine receives.
    """
    from rolecall import pipeline

    rows = pipeline.audiences(invocation.workspace)
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
    With it, vars that an earlier version stored are marked as verified.
    """
    from rolecall import pipeline

    found = pipeline.check_vars(invocation.workspace, decrypt=decrypt)
    if not invocation.json:
        tell(found.warnings, as_json=False)
    text = f"{plural(found.secrets, 'secret')}: readable by the admins only"
    if found.marked:
        text += f"\ncommit the new marks beside {plural(len(found.marked), 'verified var')} (`vars/…/.made`)"
    document = {"secrets": found.secrets, "marked": [str(key) for key in found.marked]}
    invocation.emit({**document, "warnings": [each.as_json() for each in found.warnings]}, text)


@vars_.command()
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@click.pass_obj
def fix(invocation: Invocation, *, yes: bool) -> None:
    """Repair what `vars check` reports, as far as possible.

    Re-encrypts secrets to the admins only; their values stay. Someone who could read a secret may still have it: rotate
    it to make that copy useless. Asks first if you lose access yourself. What cannot be repaired is listed, and the
    exit status is 1 then.
    """
    from rolecall import pipeline

    if not yes and (lost := pipeline.lost_to_user(invocation.workspace)):
        secrets = f"{plural(len(lost), 'secret')} that your identity can read now"
        ask(invocation, f"your key is not an admin's: this takes away {secrets}. Continue?")
    fixed, left = pipeline.fix_vars(invocation.workspace)
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
    from rolecall import pipeline

    _list_vars(invocation, "generated", pipeline.generate(invocation.workspace), "no vars are missing")


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
@real("Update machines that name a target there, although the lab is up.")
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
    before each of them, or once with --update. `plan` shows what will change, and `vars discard` drops it. In KEYS,
    `*` stands for any text.

    Example: rolecall vars rotate jon/backup.ssh --update
    """
    from rolecall import pipeline

    workspace = invocation.workspace
    begun: tuple[str, ...] = ()
    keys = pipeline.matching(workspace, keys)
    if known_to:
        found = pipeline.rotatable(workspace, known_to, keys, force=force)
        keys, begun = (*keys, *found.names), () if at_once else found.begun
        tell(found.bound, as_json=False)
        if begun and not updates:
            hint = "when it is finished, run this command once more; or use `--update`, or `--at-once`"
            what = f"the rotation of {', '.join(begun)} was begun before, so its new value may be known too"
            tell([Fault(what, hint=hint, warning=True)], as_json=False)
    elif not keys:
        raise click.UsageError("name the vars, or use --known-to WHO")
    shown = Rotating(invocation, yes=yes)
    if updates:
        steps = (shown.rotated, shown.update)
        pipeline.rotate_with_updates(workspace, keys, *steps, again=begun, force=force, at_once=at_once)
    elif keys:
        shown.rotated(pipeline.rotate(workspace, keys, force=force, at_once=at_once))
    if invocation.json:
        invocation.emit({"vars": shown.vars, "updates": [report.as_json() for report in shown.updates]}, "")
    if not all(report.done for report in shown.updates):
        sys.exit(1)


class Rotating:
    """What a rotation has done so far; in text it is printed at once."""

    def __init__(self, invocation: Invocation, *, yes: bool) -> None:
        self.vars: list[object] = []
        self.updates: list[Report] = []
        self._invocation = invocation
        self._yes = yes

    def rotated(self, rotated: Iterable[Rotated]) -> None:
        """Show what a step has generated, and which machines it could leave behind."""
        from rolecall import pipeline

        rotated = list(rotated)
        self.vars += [{"var": str(each.key), "step": each.step} for each in rotated]
        if not self._invocation.json:
            output.write("".join(f"{each}\n" for each in rotated))
        tell(pipeline.left_behind(self._invocation.workspace, rotated), as_json=False)

    def update(self) -> bool:
        """Run an update; return whether it is done."""
        from rolecall.cli.update import bring
        from rolecall.plan.text import report_text

        report = bring(self._invocation, yes=self._yes)
        self.updates.append(report)
        if not self._invocation.json:
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
    from rolecall import pipeline

    values = {}
    for pair in files:
        name, sign, path = pair.partition("=")
        if not sign:
            raise click.UsageError(f"{pair!r} is not FILE=PATH")
        values[name] = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    if not files and sys.stdin.isatty():
        values[""] = click.prompt(key, hide_input=True, confirmation_prompt=True, err=True).encode()
    elif not files:
        values[""] = sys.stdin.buffer.read()
        if values[""].endswith(b"\n") and values[""].count(b"\n") == 1:
            hint = "to leave it out: `printf %s VALUE | rolecall vars set …`"
            tell([Fault(f"the value of {key} ends with a newline", hint=hint, warning=True)], as_json=False)
    made = pipeline.set_var(invocation.workspace, key, values, force=force)
    _list_vars(invocation, "pending:", made, "nothing changed")


@vars_.command()
@click.argument("keys", nargs=-1, shell_complete=completion.vars_)
@click.option("--to", multiple=True, metavar="PUBLIC_KEY", help="A key that can read it (default: the admins').")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="File to write.")
@click.pass_obj
def export(invocation: Invocation, keys: tuple[str, ...], *, to: tuple[str, ...], output: Path) -> None:
    """Export vars and their values to an encrypted file.

    Writes the vars KEYS, or all stored ones, for another project. The age file holds one JSON document
    (docs/how-to/move-vars.md).

    Example: rolecall vars export jon/backup.ssh -o jon.age
    """
    from rolecall import pipeline

    pipeline.export_vars(invocation.workspace, keys, to, output)
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
    from rolecall import pipeline

    data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    done = pipeline.import_vars(invocation.workspace, data, file, force=force)
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
    from rolecall import pipeline

    if force and not keys:
        raise click.UsageError("--force needs the names of vars")
    found = pipeline.pruning(invocation.workspace, keys, force=force)
    if found.removed and not dry_run:
        if not yes:
            lost = [f"{each.key} ({each.why})" for each in found.lost]
            loses = f" This loses: {', '.join(lost)}" if lost else ""
            ask(invocation, f"remove {', '.join(map(str, found.removed))} for good?{loses}")
        pipeline.prune(invocation.workspace, found)
    verb = "would remove" if dry_run else "removed"
    lines = [f"{verb} {key}" for key in found.removed] + [f"kept {each.key}: {each.why}" for each in found.kept]
    if found.kept:
        lines.append("to remove one of these for good: `rolecall vars prune --force KEY`")
    kept = {str(each.key): each.binds for each in found.kept}
    invocation.emit(
        {"vars": [str(key) for key in found.removed], "kept": kept}, "\n".join(lines) or "nothing to remove"
    )


@vars_.command()
@click.option("--force", "forced", metavar="KEY", multiple=True, help="Drop KEY even if something is lost with it.")
@click.pass_obj
def discard(invocation: Invocation, *, forced: tuple[str, ...]) -> None:
    """Drop pending vars, generated for a plan.

    A pending var with which something would be lost is kept and listed: it may be one that you have set.
    """
    from rolecall import pipeline

    dropped, kept = pipeline.discard(invocation.workspace, forced)
    lines = [f"dropped {key}" for key in dropped] + [f"kept {each.key}: {each.why}" for each in kept]
    if kept:
        lines.append("to drop one of these: `rolecall vars discard --force KEY`")
    document = {"vars": [str(key) for key in dropped], "kept": {str(each.key): each.binds for each in kept}}
    invocation.emit(document, "\n".join(lines) or "nothing is pending")


def _list_vars(invocation: Invocation, verb: str, keys: Iterable[object], otherwise: str) -> None:
    named = [str(key) for key in keys]
    text = "\n".join(f"{verb} {name}" for name in named) or otherwise
    invocation.emit({"vars": named}, text)
