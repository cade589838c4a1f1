"""``rolecall inventory``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rolecall.cli.output import tell
from rolecall.cli.output import write as print_result

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolecall.cli.common import Invocation
    from rolecall.inventory.changes import Change


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
    from rolecall import pipeline  # noqa: PLC0415 - imported when used

    project = invocation.project
    if write:
        tell(pipeline.write_schema(project), as_json=False)
        invocation.emit({"file": str(project.schema)}, f"wrote {project.schema}")
    else:
        text, warnings = pipeline.schema(project)
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
    from rolecall.errors import undotted  # noqa: PLC0415 - imported when used, here and below
    from rolecall.inventory import edit  # noqa: PLC0415 - as above

    keys = undotted(path)
    value, digest = edit.get(invocation.project, keys)
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    invocation.emit({"path": list(keys), "value": value, "digest": digest}, text)


_own = click.option("--own", is_flag=True, help="Write your own inventory file instead of inventory.json.")
_expect = click.option("--expect", metavar="DIGEST", default="", help="Fail unless the inventory has this digest.")


@inventory.command("set")
@click.argument("path")
@click.argument("value")
@click.option("--string", is_flag=True, help="Take VALUE as a text even if it is valid JSON.")
@_own
@_expect
@click.pass_obj
def set_(invocation: Invocation, path: str, value: str, *, string: bool, own: bool, expect: str) -> None:
    """Set the value at PATH to VALUE.

    Writes inventory.json beside your own inventory, or, with --own, your own file. VALUE is JSON, or else a text. The
    position after a list's last item appends to it. Nothing is written when the other file sets PATH, or when the
    change would cause new faults.

    \b
    Examples:
      rolecall inventory set machines.jon.tags '["backup"]'
      rolecall inventory set --own instances.house-backup.roles.client.settings.startAt daily
    """  # noqa: D301 - click's mark for lines that stay as they are
    from rolecall.inventory.changes import Set  # noqa: PLC0415 - as above
    from rolecall.inventory.notations.json_text import value as json_value  # noqa: PLC0415 - as above

    _edit(invocation, path, Set, value if string else json_value(value), own=own, expect=expect)


@inventory.command()
@click.argument("path")
@_own
@_expect
@click.pass_obj
def unset(invocation: Invocation, path: str, *, own: bool, expect: str) -> None:
    """Remove the value at PATH.

    It is removed from inventory.json or, with --own, from your own inventory.
    """
    from rolecall.inventory.changes import Unset  # noqa: PLC0415 - as above

    _edit(invocation, path, Unset, own=own, expect=expect)


def _edit(
    invocation: Invocation, path: str, change: Callable[..., Change], *value: object, own: bool, expect: str
) -> None:
    from rolecall import pipeline  # noqa: PLC0415 - as above
    from rolecall.errors import undotted  # noqa: PLC0415 - as above

    edited = pipeline.edit(invocation.project, [change(undotted(path), *value)], own=own, expect=expect)
    tell(edited.warnings, as_json=False)
    document = {"files": [str(file) for file in edited.files], "digest": edited.digest}
    invocation.emit(document, f"wrote {', '.join(file.name for file in edited.files)}")


@inventory.command()
@click.option(
    "--to",
    "notation",
    type=click.Choice(("toml", "yaml", "json", "nix", "python")),
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
    from rolecall.inventory.convert import convert as converted  # noqa: PLC0415 - imported when used

    text, warnings = converted(invocation.project, notation)
    if output == Path("-"):
        tell(warnings, as_json=False)
        invocation.emit({"text": text}, text)
        return
    from rolecall import files  # noqa: PLC0415 - imported when used

    files.create(output, text)
    tell(warnings, as_json=False)
    invocation.emit({"file": str(output)}, f"wrote {output}")
