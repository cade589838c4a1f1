"""``rolecall keys``: whose keys can read the project's secrets."""

from __future__ import annotations

import getpass
import json
from typing import TYPE_CHECKING, Protocol

import click

if TYPE_CHECKING:
    from rolecall.project import Project


class Session(Protocol):
    """What every command gets."""

    @property
    def project(self) -> Project:
        """The project at hand."""

    @property
    def json(self) -> bool:
        """Whether JSON is wanted in place of text."""


@click.group()
def keys() -> None:
    """Say whose keys can read the project's secrets."""


@keys.command()
@click.argument("name", default=getpass.getuser)
@click.pass_obj
def create(session: Session, name: str) -> None:
    """Make your identity, if you have none, and its public key an admin's.

    NAME names the public key in the project; yours is taken when it is left out. The identity is
    $ROLECALL_IDENTITY, ~/.config/rolecall/identity or ~/.ssh/id_ed25519, the first that exists. Keep a copy of it in
    a safe place: without it no secret can be read.
    """
    from rolecall.vars import create_identity  # noqa: PLC0415 - commands import what they use: the others start faster

    identity = create_identity(session.project, name)
    public = session.project.keys / f"{name}.pub"
    if session.json:
        click.echo(json.dumps({"identity": str(identity), "publicKey": str(public)}, indent=2))
    else:
        click.echo(f"identity: {identity}\npublic key: {public}")


@keys.command()
@click.argument("name")
@click.argument("public_key", nargs=-1, required=True)
@click.pass_obj
def add(session: Session, name: str, public_key: tuple[str, ...]) -> None:
    """Make PUBLIC_KEY (`age1…` or `ssh-ed25519 …`) an admin's, under NAME."""
    from rolecall.vars import add_admin  # noqa: PLC0415

    path = add_admin(session.project, name, " ".join(public_key))  # an SSH key is three words
    if session.json:
        click.echo(json.dumps({"publicKey": str(path)}, indent=2))
    else:
        click.echo(f"public key: {path}\nsecrets made from now on are readable to it; earlier ones are not")


@keys.command(name="list")
@click.pass_obj
def list_(session: Session) -> None:
    """List the admins' public keys."""
    from rolecall.vars import admins  # noqa: PLC0415

    found = admins(session.project)
    if session.json:
        rows = [{"name": admin.name, "publicKey": admin.public_key} for admin in found]
        click.echo(json.dumps(rows, indent=2))
        return
    width = max((len(admin.name) for admin in found), default=0)
    for admin in found:
        click.echo(f"{admin.name:{width}}  {admin.public_key}")
    if not found:
        click.echo("no admin keys; make yours with `rolecall keys create`")


@keys.command()
@click.argument("name")
@click.pass_obj
def remove(session: Session, name: str) -> None:
    """Take the public key NAME away."""
    from rolecall.vars import remove_admin  # noqa: PLC0415

    remove_admin(session.project, name)
    if session.json:
        click.echo(json.dumps({"removed": name}, indent=2))
    else:
        click.echo(f"removed {name}; what was secret to it so far it can read still: only a new value changes that")
