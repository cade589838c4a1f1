"""``rolecall init``."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rolecall.cli.common import Invocation

INVENTORY = """\
# The inventory of this project: what the machines are, and what they do together.
# `rolecall check` reads it, `rolecall plan` shows what would change, `rolecall update` does it.

[meta]
name = "{name}"

# [machines.web1]
# tags = ["backup"]
# deploy.targetHost = "root@web1.example.org"
#
# [machines.store]
# deploy.targetHost = "root@store.example.org"
#
# [instances.backup]
# module.name = "borgbackup"
# roles.client.tags = ["backup"]
# roles.server.machines.store = {{}}
"""


@click.command()
@click.argument("folder", default=".")
@click.pass_obj
def init(invocation: Invocation, folder: str) -> None:
    """Start a project in FOLDER: an inventory to fill in, and a key of your own for its secrets."""
    from rolecall.errors import fault  # noqa: PLC0415 - imported when used, here and below
    from rolecall.project import Project  # noqa: PLC0415 - as above
    from rolecall.vars import admins, create_identity  # noqa: PLC0415 - as above

    project = Project(Path(folder).resolve())
    if found := project.inventory_files():
        raise fault(f"there is an inventory already: {found[0]}")
    project.root.mkdir(parents=True, exist_ok=True)
    (project.root / "inventory.toml").write_text(INVENTORY.format(name=project.root.name))
    ignored = project.root / ".gitignore"
    text = ignored.read_text() if ignored.is_file() else ""
    if ".rolecall/" not in text.splitlines():
        ignored.write_text(f"{text}.rolecall/\n")
    identity = None if admins(project) else create_identity(project, getpass.getuser())
    lines = [f"made {project.root / 'inventory.toml'}"]
    lines += [f"your key for secrets is {identity}: keep a copy of it in a safe place"] if identity else []
    document = {"inventory": str(project.root / "inventory.toml"), "identity": str(identity) if identity else None}
    invocation.emit(document, "\n".join(lines))
