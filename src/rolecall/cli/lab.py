"""``rolecall lab``: runs the inventory on throw-away machines on this computer."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from rolecall.cli import completion, output

if TYPE_CHECKING:
    from rolecall.cli.common import Invocation
    from rolecall.lab import Lab


@click.group()
def lab() -> None:
    """Run the inventory on throw-away machines, locally."""


@lab.command()
@click.option("--disk", is_flag=True, help="Keep the machines' files on disk instead of in memory.")
@click.option(
    "--release", metavar="NAME", default="", help="Run a release of Debian, such as trixie. Default: this one's."
)
@click.pass_obj
def up(invocation: Invocation, *, disk: bool, release: str) -> None:
    """Boot the machines that are not running yet."""
    from rolecall.lab import Lab

    workspace = invocation.workspace
    made = Lab(workspace.project.lab, workspace.machine_names(), disk=disk, release=release)
    took = made.up(progress=_progress)
    _progress("")
    text = _table({name: f"up after {seconds:.2f} s" for name, seconds in took.items()})
    invocation.emit({"machines": took, "ssh_config": str(made.ssh_config)}, text or "all machines are running already")


@lab.command()
@click.pass_obj
def down(invocation: Invocation) -> None:
    """Stop and remove all machines of the lab."""
    from rolecall.lab import Lab

    Lab(invocation.workspace.project.lab, ()).down()
    invocation.emit({"machines": {}}, "the lab is down")


@lab.command()
@click.pass_obj
def status(invocation: Invocation) -> None:
    """List the lab's machines, and whether they run."""
    from rolecall.lab import Lab

    running = Lab(invocation.workspace.project.lab, ()).running()
    text = _table({name: "running" if runs else "off" for name, runs in running.items()})
    invocation.emit({"machines": running}, text or "the lab is down")


@lab.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--all", "everywhere", is_flag=True, help="Run it on all machines, one after the other.")
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="[MACHINE] [--] COMMAND…")
@click.pass_obj
def run(invocation: Invocation, *, everywhere: bool, words: tuple[str, ...]) -> NoReturn:
    """Run a command as root on MACHINE, or on all.

    Exits with the command's exit status; with --all, with the first one that is not 0.

    Example: rolecall lab run jon -- systemctl --failed
    """
    here = _lab(invocation)
    machine, *command = ("", *words) if everywhere else words
    command = command[1:] if command[:1] == ["--"] else command
    if not command:
        raise click.UsageError("missing machine or command: `rolecall lab run MACHINE -- COMMAND…`")
    if not everywhere:
        with output.results():
            status = subprocess.call(here.argv(machine, *command))
        sys.exit(status)
    done = {name: here.run(name, *command, check=False) for name in here.machines}
    outputs = {name: (ended.stdout + ended.stderr).decode(errors="replace") for name, ended in done.items()}
    text = "\n".join(f"{name}: {line}" for name, output in outputs.items() for line in output.splitlines())
    machines = {name: {"status": ended.returncode, "output": outputs[name]} for name, ended in done.items()}
    invocation.emit({"machines": machines}, text)
    sys.exit(next((ended.returncode for ended in done.values() if ended.returncode), 0))


@lab.command()
@click.argument("machine", shell_complete=completion.machines)
@click.pass_obj
def ssh(invocation: Invocation, machine: str) -> NoReturn:
    """Log in to MACHINE as root."""
    argv = _lab(invocation).argv(machine)
    with output.results():
        os.execvp(argv[0], argv)  # noqa: S606 - the terminal becomes ssh's


def _lab(invocation: Invocation) -> Lab:
    """Return the project's lab.

    Raises:
        Faults: When it is down.
    """
    from rolecall.errors import fault
    from rolecall.lab import find

    found = find(invocation.workspace.project.lab)
    if found is None:
        raise fault("the lab is down", hint="boot it: `rolecall lab up`")
    return found


def _table(rows: dict[str, str]) -> str:
    width = max(map(len, rows), default=0)
    return "\n".join(f"{name:{width}}  {text}" for name, text in rows.items())


def _progress(line: str) -> None:
    """Show progress: on a terminal as one line that changes, which "" clears."""
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{line}", nl=False, err=True)
    elif line:
        click.echo(line, err=True)
