"""``rolecall instances``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rolecall.cli import completion
from rolecall.cli.output import tell

if TYPE_CHECKING:
    from rolecall.cli.common import Invocation


@click.group()
def instances() -> None:
    """Manage the instances of the inventory."""


@instances.command()
@click.argument("old", shell_complete=completion.instances)
@click.argument("new")
@click.pass_obj
def rename(invocation: Invocation, old: str, new: str) -> None:
    """Rename an instance with its vars.

    Renames it in the inventory, and its vars. The next update moves its files and units on the machines. Data of a
    service that supports this, such as repositories of borgbackup, stays where it is: `dataName` has the first name.

    Example: rolecall instances rename backup nightly
    """
    from rolecall import pipeline

    tell(pipeline.rename_instance(invocation.workspace, old, new), as_json=False)
    invocation.emit({"instance": new, "formerly": old}, f"renamed {old} to {new}; the next update tells the machines")
