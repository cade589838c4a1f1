"""``rolecall keys``: the admins' keys, which can read the project's secrets."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

import click

from rolecall.cli import completion
from rolecall.cli.common import ask
from rolecall.errors import plural

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
    from rolecall.vars import admin_of, create_identity  # noqa: PLC0415 - commands import what they use: the others start faster

    project = invocation.project
    identity = create_identity(project, name)
    public = project.keys / f"{admin_of(project, identity)}.pub"
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
    from rolecall.vars import add_admin, with_wrong_recipients  # noqa: PLC0415

    path = add_admin(invocation.project, name, " ".join(public_key))  # an SSH key is three words
    text = f"public key: {path}\nit can read secrets that are generated from now on"
    if count := len(with_wrong_recipients(invocation.project)):
        text += f"; run `rolecall vars fix` for the {plural(count, 'stored one')}"
    invocation.emit({"publicKey": str(path)}, text)


@keys.command(name="list")
@click.pass_obj
def list_(invocation: Invocation) -> None:
    """List the admins' public keys."""
    from rolecall.vars import admins  # noqa: PLC0415

    found = admins(invocation.project)
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
    from rolecall.vars import admins, readable_by, remove_admin  # noqa: PLC0415

    project = invocation.project
    keys = [admin.public_key for admin in admins(project) if admin.name == name]
    known = [each for key in keys for each in readable_by(project, key)]
    others = {admin.public_key for admin in admins(project) if admin.name != name}
    alone = [str(each) for each in known if others.isdisjoint(each.recipients or ())]
    if keys and not others and not yes:
        readable = f" Only its identity can then read these: {', '.join(alone)}." if alone else ""
        ask(invocation, f"{name} is the last admin; without one no secret can be encrypted.{readable} Remove its key?")
    remove_admin(project, name)
    lines = [f"removed {name}"]
    if known:
        lines += [
            f"{name} could read these secrets, and may still have them: {', '.join(map(str, known))}",
            "to re-encrypt them without this key, run `rolecall vars fix`; to make the old values useless, run",
            *(f"`rolecall vars rotate --known-to '{key}'`" for key in keys),
        ]
    if alone:
        lines += [
            f"no other admin can read these: {', '.join(alone)}",
            f"keep the identity of {name} until you have run `rolecall vars fix` with it; without it they are lost",
        ]
    invocation.emit({"removed": name, "known": list(map(str, known)), "alone": alone}, "\n".join(lines))
