"""``rolecall keys``: whose keys can read the project's secrets."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rolecall.cli.common import Invocation


@click.group()
def keys() -> None:
    """Say whose keys can read the project's secrets."""


@keys.command()
@click.argument("name", default=getpass.getuser)
@click.pass_obj
def create(invocation: Invocation, name: str) -> None:
    """Make your identity, if you have none, and its public key an admin's.

    NAME names the public key in the project; yours is taken when it is left out. The identity is
    $ROLECALL_IDENTITY, ~/.config/rolecall/identity or ~/.ssh/id_ed25519, the first that exists. Keep a copy of it in
    a safe place: without it no secret can be read.
    """
    from rolecall.vars import create_identity  # noqa: PLC0415 - commands import what they use: the others start faster

    project = invocation.project
    identity = create_identity(project, name)
    public = project.keys / f"{name}.pub"
    invocation.emit(
        {"identity": str(identity), "publicKey": str(public)}, f"identity: {identity}\npublic key: {public}"
    )


@keys.command()
@click.argument("name")
@click.argument("public_key", nargs=-1, required=True)
@click.pass_obj
def add(invocation: Invocation, name: str, public_key: tuple[str, ...]) -> None:
    """Make PUBLIC_KEY (`age1…` or `ssh-ed25519 …`) an admin's, under NAME."""
    from rolecall.vars import add_admin  # noqa: PLC0415

    path = add_admin(invocation.project, name, " ".join(public_key))  # an SSH key is three words
    text = f"public key: {path}\nsecrets made from now on are readable to it; earlier ones are not"
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
        "\n".join(lines) or "no admin keys; make yours with `rolecall keys create`",
    )


@keys.command()
@click.argument("name")
@click.pass_obj
def remove(invocation: Invocation, name: str) -> None:
    """Take the public key NAME away."""
    from rolecall.vars import remove_admin  # noqa: PLC0415

    remove_admin(invocation.project, name)
    text = f"removed {name}; what was secret to it so far it can read still: only a new value changes that"
    invocation.emit({"removed": name}, text)
