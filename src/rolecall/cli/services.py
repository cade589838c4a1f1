"""``rolecall services``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rolecall.cli.common import Invocation
    from rolecall.service import Service


@click.group()
def services() -> None:
    """What services there are, and what can be set."""


@services.command("list")
@click.pass_obj
def list_(invocation: Invocation) -> None:
    """List the shipped services."""
    found = [_loaded(name) for name in _registry().names(None)]
    width = max(len(service.name) for service in found)
    text = "\n".join(f"{service.name:{width}}  {service.description}" for service in found)
    invocation.emit({service.name: {"description": service.description} for service in found}, text)


@services.command()
@click.argument("name")
@click.pass_obj
def show(invocation: Invocation, name: str) -> None:
    """Show the roles of a service and their settings."""
    service = _loaded(name)
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


def _registry() -> Any:  # noqa: ANN401 - imported when used
    from pathlib import Path  # noqa: PLC0415 - as above

    from rolecall.service.registry import Registry  # noqa: PLC0415 - as above

    return Registry(Path("modules"))


def _loaded(name: str) -> Service:
    from rolecall.errors import Where  # noqa: PLC0415 - as above

    service: Service = _registry().find(None, name, Where()).service
    return service
