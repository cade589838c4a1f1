"""``rolecall keys``: the admins' keys, which can read the project's secrets."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

import click

from rolecall.cli import completion
from rolecall.cli.common import ask
from rolecall.cli.output import tell
from rolecall.errors import Fault, plural

if TYPE_CHECKING:
    from rolecall.cli.common import Invocation


@click.group()
def keys() -> None:
    """Manage the admins, who can read all secrets."""


@keys.command()
@click.argument("name", default=getpass.getuser)
@click.pass_obj
def create(invocation: Invocation, name: str) -> None:
    """Create your identity and add its key as an admin.

    NAME is the name of the key in the project; by default, your login name. An existing identity is used: the first of
    $ROLECALL_IDENTITY, ~/.config/rolecall/identity and ~/.ssh/id_ed25519. Keep a copy of it in a safe place: without it
    no secret can be read.
    """
    from rolecall import pipeline

    identity, public = pipeline.create_admin(invocation.workspace, name)
    invocation.emit(
        {"identity": str(identity), "publicKey": str(public)}, f"identity: {identity}\npublic key: {public}"
    )


@keys.command()
@click.argument("name")
@click.argument("public_key", nargs=-1, required=True)
@click.pass_obj
def add(invocation: Invocation, name: str, public_key: tuple[str, ...]) -> None:
    """Add an admin's public key, under NAME.

    Example: rolecall keys add sara ssh-ed25519 AAAA…
    """
    from rolecall import pipeline

    path, count = pipeline.add_admin(invocation.workspace, name, " ".join(public_key))  # an SSH key is three words
    text = f"public key: {path}\nit can read secrets that are generated from now on"
    if count:
        text += f"; run `rolecall vars fix` for the {plural(count, 'stored one')}"
    invocation.emit({"publicKey": str(path)}, text)


@keys.command(name="list")
@click.pass_obj
def list_(invocation: Invocation) -> None:
    """List the admins' public keys."""
    from rolecall import pipeline

    found = pipeline.admins(invocation.workspace)
    width = max((len(admin.name) for admin in found), default=0)
    lines = [f"{admin.name:{width}}  {admin.public_key}" for admin in found]
    invocation.emit(
        {"keys": [{"name": admin.name, "publicKey": admin.public_key} for admin in found]},
        "\n".join(lines) or "no admin keys; create yours: `rolecall keys create`",
    )


@keys.command()
@click.argument("name", shell_complete=completion.admins)
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@click.pass_obj
def remove(invocation: Invocation, name: str, *, yes: bool) -> None:
    """Remove an admin's public key.

    Asks before it removes the last one: after that nothing can be encrypted, and only its owner can read the secrets.
    Removing a key does not undo what its owner has already read: lists these secrets, to rotate them.
    """
    from rolecall import pipeline

    found = pipeline.removal(invocation.workspace, name)
    if found.last and not yes:
        readable = f" Only its identity can then read these: {', '.join(found.alone)}." if found.alone else ""
        ask(invocation, f"{name} is the last admin; without one no secret can be encrypted.{readable} Remove its key?")
    pipeline.remove_admin(invocation.workspace, name)
    lines = [f"removed {name}"]
    if found.known:
        lines += [
            f"{name} could read these secrets, and may still have them: {', '.join(found.known)}",
            "to re-encrypt them without this key, run `rolecall vars fix`; to make the old values useless, run",
            *(f"`rolecall vars rotate --known-to '{key}'`" for key in found.public_keys),
        ]
    if found.alone:
        lines += [
            f"no other admin can read these: {', '.join(found.alone)}",
            f"keep the identity of {name} until you have run `rolecall vars fix` with it; without it they are lost",
        ]
    if found.own and not found.last and not invocation.json:
        hint = f"to stay an admin, add it again: `rolecall keys create {name}`"
        tell(
            [Fault("this is your own key: after `vars fix` you can read no secret any more", hint=hint, warning=True)],
            as_json=False,
        )
    invocation.emit({"removed": name, "known": found.known, "alone": found.alone, "own": found.own}, "\n".join(lines))
