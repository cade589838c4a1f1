"""The command line: one file per group of commands, and no logic. Commands are imported only when they are used."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from pathlib import Path

import click

from rolecall import __version__
from rolecall.cli import output
from rolecall.cli.common import Invocation
from rolecall.cli.output import tell
from rolecall.errors import Fault, Faults, nearest

COMMANDS = {
    "backups": "rolecall.cli.backups:backups",
    "check": "rolecall.cli.show:check",
    "completion": "rolecall.cli.completion:completion",
    "explain": "rolecall.cli.explain:explain",
    "init": "rolecall.cli.init:init",
    "instances": "rolecall.cli.instances:instances",
    "inventory": "rolecall.cli.inventory:inventory",
    "keys": "rolecall.cli.keys:keys",
    "lab": "rolecall.cli.lab:lab",
    "log": "rolecall.cli.log:log",
    "machines": "rolecall.cli.machines:machines",
    "network": "rolecall.cli.network:network",
    "plan": "rolecall.cli.update:plan",
    "run": "rolecall.cli.run:run",
    "rollback": "rolecall.cli.rollback:rollback",
    "services": "rolecall.cli.services:services",
    "show": "rolecall.cli.show:show",
    "ssh": "rolecall.cli.ssh:ssh",
    "status": "rolecall.cli.status:status",
    "update": "rolecall.cli.update:update",
    "vars": "rolecall.cli.vars:vars_",
}


class Commands(click.Group):
    """The commands by name, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of all commands, in alphabetical order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """Return a command by its name.

        Raises:
            UsageError: When no command has this name.
        """
        if cmd_name not in COMMANDS:
            hint = nearest(cmd_name, COMMANDS, what="commands")
            raise click.UsageError(f"unknown command {cmd_name!r}; {hint}", ctx)
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        _prepare(command)
        return command


def _prepare(command: click.Command) -> None:
    """Add --json to a command, or to each command of a group, and keep standard output for its result."""
    if isinstance(command, click.Group):
        for below in command.commands.values():
            _prepare(below)
    elif not any(param.name == "json" for param in command.params):
        text = "Print one JSON document (see docs/reference/json.md)."
        command.params.append(
            click.Option(["--json"], is_flag=True, expose_value=False, is_eager=True, callback=_remember, help=text)
        )
        if command.callback:
            command.callback = output.reserved()(command.callback)


def _remember(ctx: click.Context, _param: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's signature
    ctx.obj.json = ctx.obj.json or value


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rolecall", message="%(prog)s %(version)s")
@click.option(
    "-C", "--project", "folder", default=".", metavar="FOLDER", help="Project folder (default: this one or a parent)."
)
@click.option("--nix", is_flag=True, help="Evaluate an inventory in Nix with Nix itself.")
@click.option("--no-sandbox", is_flag=True, help="Run generator scripts without a sandbox.")
@click.option(
    "--answers",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Answers to the prompts of generators, as JSON.",
)
@click.pass_obj
def rolecall(invocation: Invocation, folder: str, *, nix: bool, no_sandbox: bool, answers: Path | None) -> None:
    """Declare a distributed service once; every machine plays its role."""
    invocation.folder = Path(folder)
    invocation.nix = nix
    invocation.sandbox = not no_sandbox
    invocation.answers = answers


def main() -> None:
    """Run the program, and exit with 0 for done, 1 for failed, 2 for wrong usage.

    Raises:
        KeyboardInterrupt: When the user aborts it.
    """
    os.umask(os.umask(0o077) | 0o022)  # nothing that we write may be changed by others
    gc.set_threshold(
        100_000
    )  # a run makes many values and few reference cycles; looking for those would take a fifth of it
    invocation = Invocation()
    try:
        rolecall.main(prog_name="rolecall", standalone_mode=False, obj=invocation)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.exceptions.Exit as ended:
        sys.exit(ended.exit_code)
    except click.Abort:  # an answer of no, or Ctrl-C
        raise KeyboardInterrupt from None
    except Faults as error:
        tell(error.faults, as_json=invocation.json)
        sys.exit(1)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has closed it
        sys.exit(1)
    except OSError as error:
        # As text: it may be standard output that cannot be written.
        tell([Fault(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "))], as_json=False)
        sys.exit(1)
