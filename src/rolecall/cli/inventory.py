"""``rolecall inventory``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rolecall.cli.common import tell

if TYPE_CHECKING:
    from rolecall.cli.common import Invocation


@click.group()
def inventory() -> None:
    """Work on the inventory itself."""


@inventory.command()
@click.option(
    "--write", is_flag=True, help="Write it to inventory.schema.json, where `rolecall init` tells editors of it."
)
@click.pass_obj
def schema(invocation: Invocation, *, write: bool) -> None:
    """Print the JSON Schema of this project's inventory, by which editors complete and check it.

    It knows the services, roles and settings of the instances, and the names of machines and tags. Write it again
    when a module or an instance has come.
    """
    from rolecall import pipeline  # noqa: PLC0415 - imported when used

    project = invocation.project
    if write:
        tell(pipeline.write_schema(project), as_json=False)
        invocation.emit({"file": str(project.schema)}, f"wrote {project.schema}")
    else:
        text, warnings = pipeline.schema(project)
        tell(warnings, as_json=False)
        click.echo(text, nl=False)
