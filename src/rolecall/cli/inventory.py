"""``rolecall inventory``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rolecall.cli.output import tell
from rolecall.cli.output import write as print_result
from rolecall.model.notation import NOTATIONS

if TYPE_CHECKING:
    from rolecall.cli.common import Invocation
    from rolecall.pipeline import Edited


@click.group()
def inventory() -> None:
    """Read, change and convert the inventory."""


@inventory.command()
@click.option("--write", is_flag=True, help="Write it to inventory.schema.json, where editors look for it.")
@click.pass_obj
def schema(invocation: Invocation, *, write: bool) -> None:
    """Print the JSON Schema of the inventory.

    Editors complete and check the inventory with it. It knows the services, roles and settings of the instances, and
    the names of machines and tags. Write it again after you have added a module or an instance.
    """
    from rolecall import pipeline

    if write:
        file, warnings = pipeline.write_schema(invocation.workspace)
        tell(warnings, as_json=False)
        invocation.emit({"file": str(file)}, f"wrote {file}")
    else:
        text, warnings = pipeline.schema(invocation.workspace)
        tell(warnings, as_json=False)
        print_result(text)


@inventory.command()
@click.argument("path")
@click.pass_obj
def get(invocation: Invocation, path: str) -> None:
    """Print the value at PATH.

    PATH is a key path such as `machines.jon.tags`. A text is printed as it is, any other value as JSON. With --json,
    the digest of the inventory is printed too; `set` and `unset` take it as --expect.
    """
    from rolecall import pipeline

    entry = pipeline.get(invocation.workspace, path)
    text = entry.value if isinstance(entry.value, str) else json.dumps(entry.value, indent=2, ensure_ascii=False)
    invocation.emit(entry, text)


_own = click.option("--own", is_flag=True, help="Write your own inventory file instead of inventory.json.")
_expect = click.option("--expect", metavar="DIGEST", default="", help="Fail unless the inventory has this digest.")


@inventory.command("set")
@click.argument("path")
@click.argument("value")
@click.option("--string", is_flag=True, help="Take VALUE as a string even if it is valid JSON.")
@_own
@_expect
@click.pass_obj
def set_(invocation: Invocation, path: str, value: str, *, string: bool, own: bool, expect: str) -> None:
    """Set the value at PATH to VALUE.

    Writes inventory.json beside your own inventory, or, with --own, your own file. VALUE is JSON, or else a string. The
    position after a list's last item appends to it. Nothing is written when the other file sets PATH, or when the
    change would cause new faults.

    \b
    Examples:
      rolecall inventory set machines.jon.tags '["backup"]'
      rolecall inventory set --own instances.house-backup.roles.client.settings.startAt daily
    """  # noqa: D301 - click's mark for lines that stay as they are
    from rolecall import pipeline

    _emit(invocation, pipeline.set_value(invocation.workspace, path, value, string=string, own=own, expect=expect))


@inventory.command()
@click.argument("path")
@_own
@_expect
@click.pass_obj
def unset(invocation: Invocation, path: str, *, own: bool, expect: str) -> None:
    """Remove the value at PATH.

    It is removed from inventory.json or, with --own, from your own inventory.
    """
    from rolecall import pipeline

    _emit(invocation, pipeline.unset_value(invocation.workspace, path, own=own, expect=expect))


def _emit(invocation: Invocation, edited: Edited) -> None:
    """Print what an edit has written, and its warnings."""
    tell(edited.warnings, as_json=False)
    document = {"files": [str(file) for file in edited.files], "digest": edited.digest}
    invocation.emit(document, f"wrote {', '.join(file.name for file in edited.files)}")


@inventory.command()
@click.option(
    "--to",
    "notation",
    type=click.Choice([notation.name for notation in NOTATIONS]),
    required=True,
    help="Notation to write.",
)
@click.option(
    "--output", type=click.Path(path_type=Path), default="-", help="New file to write (default: standard output)."
)
@click.pass_obj
def convert(invocation: Invocation, notation: str, output: Path) -> None:
    """Convert your inventory file to another notation.

    Comments and order are kept. Your file stays as it is; a project has one such file, so replace it yourself.

    Example: rolecall inventory convert --to yaml --output inventory.yaml
    """
    from rolecall import pipeline

    file = None if output == Path("-") else output
    text, warnings = pipeline.convert(invocation.workspace, notation, file)
    tell(warnings, as_json=False)
    invocation.emit({"file": str(file)} if file else {"text": text}, f"wrote {file}" if file else text)
