"""``rolecall services``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rolecall.cli.common import Invocation
    from rolecall.service import Service
    from rolecall.service.registry import Registry

SOURCES = (None, "self")  # shipped, and the project's own


@click.group()
def services() -> None:
    """What services there are, and what can be set."""


@services.command("list")
@click.pass_obj
def list_(invocation: Invocation) -> None:
    """List the shipped services and the project's own."""
    from rolecall.errors import Faults, Where  # noqa: PLC0415 - imported when used, here and below

    registry = _registry(invocation)
    rows: list[dict[str, str | None]] = []
    for source in SOURCES:
        for name in registry.names(source):
            try:
                description = registry.find(source, name, Where()).service.description
            except Faults as error:  # of one module, which hides no other
                description = error.faults[0].message
            rows.append({"name": name, "input": source, "description": description})
    width = max(len(str(row["name"])) for row in rows)
    own = " (input self)"
    lines = [f"{row['name']:{width}}  {row['description']}{own if row['input'] else ''}" for row in rows]
    invocation.emit({"services": rows}, "\n".join(lines))


@services.command()
@click.argument("name")
@click.option(
    "--input", "source", metavar="INPUT", help="Where it comes from, as `module.input`; else the first found."
)
@click.pass_obj
def show(invocation: Invocation, name: str, source: str | None) -> None:
    """Show the roles of a service and their settings; the project's own are found first.

    Example: rolecall services show borgbackup
    """
    from rolecall.errors import Where, fault, nearest  # noqa: PLC0415 - as above

    registry = _registry(invocation)
    sources = [each for each in reversed(SOURCES) if name in registry.names(each)]
    if not source and not sources:
        known = [each for where in SOURCES for each in registry.names(where)]
        raise fault(f"there is no service {name!r}", hint=nearest(name, known, what="services"))
    service: Service = registry.find(source or sources[0], name, Where()).service
    document = {
        "name": service.name,
        "description": service.description,
        "roles": {role.name: _role(role) for role in service.roles.values()},
    }
    lines = [f"{service.name}: {service.description}"]
    for role in service.roles.values():
        bounds = f"at least {role.minimum}" if role.minimum else "any number of"
        bounds += f", at most {role.maximum}" if role.maximum is not None else ""
        lines += ["", f"role {role.name} ({bounds} machines): {role.description}"]
        for field_name, field in role.settings.model_fields.items():
            default = "required" if field.is_required() else f"default {field.default!r}"
            lines.append(f"  {field.alias or field_name} ({default}): {field.description or ''}".rstrip(": "))
        lines += [
            f"  makes {var.name}: {', '.join(file.name for file in var.generator.files)}" for var in role.vars.values()
        ]
    invocation.emit(document, "\n".join(lines))


def _role(role: Any) -> dict[str, object]:  # noqa: ANN401 - a role of any settings
    return {
        "description": role.description,
        "minimum": role.minimum,
        "maximum": role.maximum,
        "settings": role.settings.model_json_schema(by_alias=True),
        "vars": {
            var.name: {file.name: "secret" if file.secret else "public" for file in var.generator.files}
            for var in role.vars.values()
        },
    }


def _registry(invocation: Invocation) -> Registry:
    """The project's services; outside of one, the shipped ones."""
    from rolecall.errors import Faults  # noqa: PLC0415 - as above
    from rolecall.service.registry import Registry  # noqa: PLC0415 - as above

    try:
        return Registry(invocation.project.modules)
    except Faults:
        return Registry(invocation.folder / ".rolecall" / "no modules")
