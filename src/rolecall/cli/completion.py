"""Shell completion of a project's names. When anything goes wrong it offers nothing: errors would disturb typing."""

from __future__ import annotations

from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rolecall.cli import output
from rolecall.cli.common import Invocation
from rolecall.errors import Faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rolecall.project import Project

    Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def _offering(names: Callable[[Project], Iterable[str]]) -> Complete:
    """Return a completer of project names that start with the typed word and are not on the line yet."""

    @wraps(names)
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        folder = ctx.find_root().params.get("folder") or "."
        said = ctx.params.get(param.name or "") or ()
        try:
            with output.reserved():
                found = sorted(set(names(Invocation(Path(folder)).project)))
        except (Faults, OSError):
            return []
        return [name for name in found if name.startswith(incomplete) and name not in said]

    return complete


@_offering
def machines(project: Project) -> Iterable[str]:
    """Yield the machines."""
    from rolecall.pipeline import machine_names  # noqa: PLC0415 - imported when used, here and below

    return machine_names(project.root)


@_offering
def vars_(project: Project) -> Iterable[str]:
    """Yield the stored vars."""
    from rolecall.vars import pending, stored_all  # noqa: PLC0415

    return map(str, pending(project) | stored_all(project))


@_offering
def values(project: Project) -> Iterable[str]:
    """Yield the files of the stored vars."""
    from rolecall.vars import pending, stored_all  # noqa: PLC0415

    return (f"{key}/{name}" for key, var in (pending(project) | stored_all(project)).items() for name in var)


@_offering
def admins(project: Project) -> Iterable[str]:
    """Yield the admins."""
    from rolecall.vars import admins as found  # noqa: PLC0415

    return (admin.name for admin in found(project))


@_offering
def services(project: Project) -> Iterable[str]:
    """Yield the services that can be used."""
    from rolecall.pipeline import services as found  # noqa: PLC0415

    return (each.service.name for each in found(project)[0])


@_offering
def subjects(project: Project) -> Iterable[str]:
    """Yield what `rolecall explain` takes: machines, instances, roles and members."""
    from rolecall.pipeline import members  # noqa: PLC0415

    found = members(project)
    for machine in found.loaded.inventory.machines:
        yield f"machines.{machine}"
    for instance, roles in found.membership.role_members.items():
        yield instance
        for role, played in roles.items():
            yield f"{instance}.{role}"
            yield from (f"{instance}.{role}.{machine}" for machine in played.settings)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_obj
def completion(invocation: Invocation, shell: str) -> None:
    """Print the completion script for SHELL.

    It completes commands, options, and the names of your project's machines, vars and services.

    Example: rolecall completion bash >~/.local/share/bash-completion/completions/rolecall
    """
    from click.shell_completion import get_completion_class  # noqa: PLC0415

    from rolecall.cli import rolecall  # noqa: PLC0415

    kind = get_completion_class(shell)
    assert kind  # noqa: S101 - one of click's own
    script = kind(rolecall, {}, "rolecall", "_ROLECALL_COMPLETE").source()
    invocation.emit({"shell": shell, "script": script}, script)
