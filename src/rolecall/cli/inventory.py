"""``rolecall inventory``."""

from __future__ import annotations

from pathlib import Path
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


@inventory.command()
@click.option(
    "--to",
    "notation",
    type=click.Choice(("toml", "yaml", "json", "nix", "python")),
    required=True,
    help="The notation to write.",
)
@click.option("--output", type=click.Path(path_type=Path), default="-", help="A new file; left out, standard output.")
@click.pass_obj
def convert(invocation: Invocation, notation: str, output: Path) -> None:
    """Write your inventory file in another notation, with its comments.

    Your file stays as it is. When the new one is as you like it, put it in its place: a project has one of them.
    """
    from rolecall.inventory.convert import convert as converted  # noqa: PLC0415 - imported when used

    text, warnings = converted(invocation.project, notation)
    if output == Path("-"):
        tell(warnings, as_json=False)
        click.echo(text, nl=False)
        return
    from rolecall import files  # noqa: PLC0415 - imported when used

    files.create(output, text)
    tell(warnings, as_json=False)
    invocation.emit({"file": str(output)}, f"wrote {output}")
