"""Start a project."""

from __future__ import annotations

import getpass
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rolecall import vars as var_store
from rolecall.errors import Where, fault
from rolecall.pipeline.inventory_schema import write_schema
from rolecall.pipeline.workspace import Workspace
from rolecall.project import Project

if TYPE_CHECKING:
    from pathlib import Path

INVENTORY: Final = """\
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


@dataclass(frozen=True, slots=True)
class Created:
    """A new project.

    Attributes:
        inventory: The inventory file.
        identity: The user's new identity; None when the project has an admin already.
    """

    inventory: Path
    identity: Path | None


def create(folder: Path) -> Created:
    """Start a project: an inventory to fill in, its schema for editors, and the user as an admin.

    Raises:
        Faults: When there is an inventory already, or the folder cannot be used.
    """
    project = Project(folder.resolve())
    if found := project.inventory_files():
        raise fault("an inventory already exists", where=Where(found[0]), hint="check it: `rolecall check`")
    if project.root.exists() and not project.root.is_dir():
        raise fault(f"{project.root} is a file", hint="choose a folder; it is created if it does not exist")
    if not str(project.root).isprintable():
        raise fault(f"the path {str(project.root)!r} has unprintable characters", hint="choose another folder")
    inventory = project.root / "inventory.toml"
    try:
        project.root.mkdir(parents=True, exist_ok=True)
        ignored = project.root / ".gitignore"
        text = ignored.read_text() if ignored.is_file() else ""
        if ".rolecall/" not in text.splitlines():
            ignored.write_text(f"{text}.rolecall/\n")
        identity = None if var_store.admins(project) else var_store.create_identity(project, _user())
        # The inventory last: it makes the folder a project, and this can be tried again until then.
        inventory.write_text(INVENTORY.format(name=_quoted(project.root.name)), "utf-8")
        write_schema(Workspace(project))
    except OSError as error:
        raise fault(f"cannot start a project in {project.root}: {error.strerror}") from None
    return Created(inventory, identity)


def _user() -> str:
    """Return the user's login name, in the form of a key's name."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", getpass.getuser())


def _quoted(text: str) -> str:
    """Return a basic string of TOML, which for printable text is written as in JSON."""
    return json.dumps(text, ensure_ascii=False)
