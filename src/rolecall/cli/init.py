"""``rolecall init``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rolecall.cli.common import Invocation


@click.command()
@click.argument("folder", default=".")
@click.pass_obj
def init(invocation: Invocation, folder: str) -> None:
    """Start a project in FOLDER.

    Creates an inventory to fill in, its schema for editors, and, unless you have one, your key for secrets.

    Example: rolecall init backups
    """
    from rolecall import pipeline

    created = pipeline.create(Path(folder))
    lines = [f"created {created.inventory}"]
    if created.identity:
        lines += [f"created your key for secrets: {created.identity} (keep a copy in a safe place)"]
    identity = str(created.identity) if created.identity else None
    invocation.emit({"inventory": str(created.inventory), "identity": identity}, "\n".join(lines))
