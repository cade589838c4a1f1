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

    from rolecall.pipeline import Workspace

    Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def _offering(names: Callable[[Workspace], Iterable[str]]) -> Complete:
    """Return a completer of project names that start with the typed word and are not on the line yet."""

    @wraps(names)
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        folder = ctx.find_root().params.get("folder") or "."
        present = ctx.params.get(param.name or "") or ()
        try:
            with output.reserved():
                found = sorted(set(names(Invocation(Path(folder)).workspace)))
        except (Faults, OSError):
            return []
        return [name for name in found if name.startswith(incomplete) and name not in present]

    return complete


@_offering
def machines(workspace: Workspace) -> Iterable[str]:
    """Yield the machines."""
    return workspace.machine_names()


@_offering
def lab_machines(workspace: Workspace) -> Iterable[str]:
    """Yield the machines of the lab."""
    return workspace.lab.machines if workspace.lab else ()


@_offering
def tags(workspace: Workspace) -> Iterable[str]:
    """Yield the tags."""
    return workspace.loaded().tags


@_offering
def instances(workspace: Workspace) -> Iterable[str]:
    """Yield the instances."""
    return workspace.loaded().inventory.instances


@_offering
def roles(workspace: Workspace) -> Iterable[str]:
    """Yield the roles, without and with their instance."""
    for name, instance in workspace.loaded().inventory.instances.items():
        for role in instance.roles:
            yield from (role, f"{name}.{role}")


@_offering
def vars_(workspace: Workspace) -> Iterable[str]:
    """Yield the stored vars."""
    from rolecall.pipeline import stored_values

    return {str(value.key) for value in stored_values(workspace)}


@_offering
def values(workspace: Workspace) -> Iterable[str]:
    """Yield the files of the stored vars."""
    from rolecall.pipeline import stored_values

    return map(str, stored_values(workspace))


@_offering
def admins(workspace: Workspace) -> Iterable[str]:
    """Yield the admins."""
    from rolecall.pipeline import admins

    return (admin.name for admin in admins(workspace))


@_offering
def services(workspace: Workspace) -> Iterable[str]:
    """Yield the services that can be used."""
    from rolecall.pipeline import services

    return (each.service.name for each in services(workspace)[0])


@_offering
def subjects(workspace: Workspace) -> Iterable[str]:
    """Yield what `rolecall explain` takes: machines, instances, roles and members."""
    from rolecall.pipeline import subjects

    return subjects(workspace)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_obj
def completion(invocation: Invocation, shell: str) -> None:
    """Print the completion script for SHELL.

    It completes commands, options, and the names of your project's machines, vars and services.

    Example: rolecall completion bash >~/.local/share/bash-completion/completions/rolecall
    """
    from click.shell_completion import get_completion_class

    from rolecall.cli import rolecall

    kind = get_completion_class(shell)
    assert kind  # noqa: S101 - one of click's own
    script = kind(rolecall, {}, "rolecall", "_ROLECALL_COMPLETE").source()
    invocation.emit({"shell": shell, "script": script}, script)
