"""``rolecall ssh``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from rolecall.cli import completion, output
from rolecall.cli.sides import sides

if TYPE_CHECKING:
    from rolecall.cli.common import Invocation


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("machine", shell_complete=completion.machines)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@sides
@click.pass_obj
def ssh(invocation: Invocation, machine: str, command: tuple[str, ...]) -> None:
    """Log in to MACHINE, or run COMMAND there.

    The machine must present its pinned host key. COMMAND runs as root, in a shell as with ssh. Options stand before
    MACHINE.

    Example: rolecall ssh jon systemctl --failed
    """
    from rolecall import pipeline

    words = command[1:] if command[:1] == ("--",) else command
    argv = pipeline.login(invocation.workspace, machine, words)
    with output.results():
        os.execvp(argv[0], argv)  # noqa: S606 - no shell is what is wanted
