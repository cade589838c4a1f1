"""The options that say whether a command reaches the lab or real machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolecall.cli.common import Invocation

_Command = TypeVar("_Command", bound="Callable[..., object]")


def sides(command: _Command) -> _Command:
    """Add --lab and --real to a command that reaches machines."""
    return _option("--lab", "Reach all machines in the lab; nothing is recorded in the project.")(
        real("Reach machines that name a target there, although the lab is up.")(command)
    )


def real(text: str) -> Callable[[_Command], _Command]:
    """Return a decorator that adds --real to a command."""
    return _option("--real", text)


def _option(name: str, text: str) -> Callable[[_Command], _Command]:
    return click.option(name, is_flag=True, expose_value=False, callback=_remember, help=text)


def _remember(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's signature
    if value:
        invocation: Invocation = ctx.obj
        if invocation.side:
            raise click.UsageError("--lab and --real exclude each other", ctx)
        invocation.side = "lab" if param.name == "lab" else "real"
