"""``rolecall init``."""

from __future__ import annotations

import getpass
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rolecall.cli.common import Invocation

INVENTORY = """\
#:schema ./inventory.schema.json
# The inventory of this project: its machines, and the services they provide together.
# `rolecall check` checks it, `rolecall plan` shows what would change, `rolecall update` changes it.

[meta]
name = {name}

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
    """Start a project in FOLDER.

    Creates an inventory to fill in, its schema for editors, and, unless you have one, your key for secrets.

    Example: rolecall init backups
    """
    from rolecall.errors import Where, fault  # noqa: PLC0415 - imported when used, here and below
    from rolecall.pipeline import write_schema  # noqa: PLC0415 - as above
    from rolecall.project import Project  # noqa: PLC0415 - as above
    from rolecall.vars import admins, create_identity  # noqa: PLC0415 - as above

    project = Project(Path(folder).resolve())
    if found := project.inventory_files():
        raise fault("an inventory already exists", where=Where(found[0]), hint="check it: `rolecall check`")
    if project.root.exists() and not project.root.is_dir():
        raise fault(f"{project.root} is a file", hint="choose a folder; it is created if it does not exist")
    if not str(project.root).isprintable():
        raise fault(f"the path {str(project.root)!r} has unprintable characters", hint="choose another folder")
    try:
        project.root.mkdir(parents=True, exist_ok=True)
        ignored = project.root / ".gitignore"
        text = ignored.read_text() if ignored.is_file() else ""
        if ".rolecall/" not in text.splitlines():
            ignored.write_text(f"{text}.rolecall/\n")
        identity = None if admins(project) else create_identity(project, _user())
        # The inventory last: it makes the folder a project, and `init` can be tried again until then.
        (project.root / "inventory.toml").write_text(INVENTORY.format(name=_quoted(project.root.name)), "utf-8")
        write_schema(project)
    except OSError as error:
        raise fault(f"cannot start a project in {project.root}: {error.strerror}") from None
    lines = [f"created {project.root / 'inventory.toml'}"]
    lines += [f"created your key for secrets: {identity} (keep a copy in a safe place)"] if identity else []
    document = {"inventory": str(project.root / "inventory.toml"), "identity": str(identity) if identity else None}
    invocation.emit(document, "\n".join(lines))


def _user() -> str:
    """Return the user's login name, in the form of a key's name."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", getpass.getuser())


def _quoted(text: str) -> str:
    """Return a basic string of TOML, which for printable text is written as in JSON."""
    return json.dumps(text, ensure_ascii=False)
