"""``rolecall services``."""

from __future__ import annotations

import sys
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import click

from rolecall.cli import completion
from rolecall.cli.output import tell
from rolecall.errors import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rolecall.cli.common import Invocation
    from rolecall.model.exports import Interface
    from rolecall.project import Project
    from rolecall.service.contract import Role
    from rolecall.service.handles import Need
    from rolecall.service.registry import Found
    from rolecall.service.settings import Settings


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
    from rolecall import pipeline  # noqa: PLC0415 - imported when used, here and below

    found, faults = pipeline.services(_project(invocation))
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
    from rolecall import pipeline  # noqa: PLC0415 - as above
    from rolecall.service.describe import as_json  # noqa: PLC0415 - as above

    found = pipeline.service(_project(invocation), source, name)
    document = {**as_json(found.service), "input": found.source, "distribution": found.distribution}
    invocation.emit(document, _text(found))


def _project(invocation: Invocation) -> Project | None:
    """Return the project, or None outside of one."""
    from rolecall.errors import Faults  # noqa: PLC0415 - as above

    try:
        return invocation.project
    except Faults:
        return None


def _list_text(found: Sequence[Found]) -> str:
    width = max((len(each.service.name) for each in found), default=0)
    inputs = [f" (input {each.source})" if each.source else "" for each in found]
    return "\n".join(
        f"{each.service.name:{width}}  {each.service.description}{source}"
        for each, source in zip(found, inputs, strict=True)
    )


def _text(found: Found) -> str:
    service, most = found.service, found.service.maximum_instances
    origin = "the project's own" if found.source == found.distribution else f"from {found.distribution}"
    limit = "" if most is None else f"; at most {plural(most, 'instance')}"
    lines = [f"{service.name}: {service.description}", f"{origin}{limit}"]
    for role in service.roles.values():
        lines += ["", *_role_lines(role)]
    return "\n".join(lines)


def _role_lines(role: Role[Any]) -> Iterator[str]:
    from rolecall.model.generators import prompts_of  # noqa: PLC0415 - as above
    from rolecall.service import describe  # noqa: PLC0415 - as above

    yield f"role {role.name} ({describe.machines(role)}): {role.description}"
    if role.excluded:
        yield f"  excludes the role {' and '.join(sorted(role.excluded))} on the same machine"
    yield from _field_lines(role.settings)
    for var in role.vars.values():
        files = ", ".join(f"{file.name} ({'secret' if file.secret else 'public'})" for file in var.generator.files)
        yield f"  makes {var.name}: {'; '.join([files + _needs_text(var.needs), *describe.traits(var)])}"
        yield from (f"    asks {prompt.name}: {prompt.description}" for prompt in prompts_of(var.generator))
    for publisher in role.publishers:
        name, meaning = describe.interface_name(publisher.interface), describe.meaning(publisher.interface)
        yield f"  exports {name}{_needs_text(publisher.needs)}{meaning and f': {meaning}'}"
        yield from (f"  {line}" for line in _field_lines(publisher.interface))


def _field_lines(model: type[Settings | Interface]) -> Iterator[str]:
    from rolecall.service import describe  # noqa: PLC0415 - as above

    for entry in describe.entries(model):
        yield f"  {entry.name}: {entry.summary}"
        yield from wrap(entry.description, 100, initial_indent=" " * 6, subsequent_indent=" " * 6)


def _needs_text(needs: tuple[Need, ...]) -> str:
    from rolecall.service import describe  # noqa: PLC0415 - as above

    return f"; reads {', '.join(describe.named(needs))}" if needs else ""
