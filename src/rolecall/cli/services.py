"""``rolecall services``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from rolecall.cli import completion
from rolecall.cli.output import tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolecall.cli.common import Invocation
    from rolecall.pipeline import Found, Workspace


@click.group()
def services() -> None:
    """List services, and show their settings."""


@services.command("list")
@click.pass_obj
def list_(invocation: Invocation) -> None:
    """List all services that you can use.

    These are the project's own, the shipped ones, and those of installed distributions. When one cannot be loaded, the
    others are still listed, and the exit status is 1.
    """
    from rolecall import pipeline

    found, faults = pipeline.services(_workspace(invocation))
    rows = [
        {
            "name": each.service.name,
            "input": each.source,
            "distribution": each.distribution,
            "description": each.service.description,
        }
        for each in found
    ]
    document = {"faults": [fault.as_json() for fault in faults], "services": rows} if faults else {"services": rows}
    invocation.emit(document, _list_text(found))
    if faults:
        if not invocation.json:
            tell(faults, as_json=False)
        sys.exit(1)


@services.command()
@click.argument("name", shell_complete=completion.services)
@click.option("--input", "source", metavar="INPUT", help="Its input, as in `module.input` (default: the first found).")
@click.pass_obj
def show(invocation: Invocation, name: str, source: str | None) -> None:
    """Show a service's roles, settings, vars and exports.

    Of several services with this name, the project's own comes first.

    Example: rolecall services show borgbackup
    """
    from rolecall import pipeline

    found = pipeline.service(_workspace(invocation), source, name)
    invocation.emit(pipeline.service_document(found), pipeline.service_text(found))


def _workspace(invocation: Invocation) -> Workspace | None:
    """Return the project, or None outside of one."""
    from rolecall.errors import Faults

    try:
        return invocation.workspace
    except Faults:
        return None


def _list_text(found: Sequence[Found]) -> str:
    width = max((len(each.service.name) for each in found), default=0)
    inputs = [f" (input {each.source})" if each.source else "" for each in found]
    return "\n".join(
        f"{each.service.name:{width}}  {each.service.description}{source}"
        for each, source in zip(found, inputs, strict=True)
    )
