"""The arguments with which commands choose machines, and how many they work on at once."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from rolecall.cli import completion
from rolecall.model.plan import PARALLEL

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolecall.cli.completion import Complete

    Command = Callable[..., None]


def _option(name: str, values: str, text: str, complete: Complete) -> Callable[[Command], Command]:
    metavar = "MACHINE" if name == "--except" else name.removeprefix("--").upper()
    return click.option(name, values, multiple=True, metavar=metavar, help=text, shell_complete=complete)


_PARAMETERS = (
    click.argument("machines", nargs=-1, shell_complete=completion.machines),
    _option("--tag", "tags", "Only machines with this tag.", completion.tags),
    _option("--instance", "instances", "Only machines with a role in this instance.", completion.instances),
    _option("--role", "roles", "Only machines with this role (ROLE or INSTANCE.ROLE).", completion.roles),
    _option("--except", "excluded", "Leave out this machine (a name or pattern).", completion.machines),
)

parallel_option = click.option(
    "--parallel",
    type=click.IntRange(min=1),
    default=PARALLEL,
    show_default=True,
    metavar="N",
    help="Work on N machines at once.",
)


def choosing(command: Command) -> Command:
    """Give a command MACHINES and the options that choose machines; it receives them as `choice`."""

    @wraps(command)
    def choose(
        *positional: object,
        machines: tuple[str, ...],
        tags: tuple[str, ...],
        instances: tuple[str, ...],
        roles: tuple[str, ...],
        excluded: tuple[str, ...],
        **others: Any,  # noqa: ANN401 - what the command takes besides
    ) -> None:
        from rolecall.pipeline import Choice

        command(*positional, choice=Choice(machines, tags, instances, roles, excluded), **others)

    extended: Command = choose
    for parameter in reversed(_PARAMETERS):
        extended = parameter(extended)
    return extended
