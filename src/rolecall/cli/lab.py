"""``rolecall lab``: the inventory on throw-away machines of this computer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from rolecall.errors import fault, nearest

if TYPE_CHECKING:
    from rolecall.lab import Lab
    from rolecall.project import Project


@click.group()
def lab() -> None:
    """Run the whole inventory on throw-away real machines, here."""


@lab.command()
@click.option("--disk", is_flag=True, help="Let machines write to the disk, not to memory.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def up(*, disk: bool, as_json: bool) -> None:
    """Boot a machine for each machine of the inventory that has none yet."""
    from rolecall.lab import Lab  # noqa: PLC0415 - commands import what they use: the others start faster
    from rolecall.pipeline import machine_names  # noqa: PLC0415

    project = _project()
    made = Lab(project.lab, machine_names(project.root), disk=disk)
    took = made.up(progress=_progress)
    _progress("")
    if as_json:
        click.echo(json.dumps({"machines": took, "ssh_config": str(made.ssh_config)}, indent=2))
        return
    width = max(map(len, took), default=0)
    for name, seconds in took.items():
        click.echo(f"{name:{width}}  up after {seconds:.2f} s")
    if not took:
        click.echo("all machines are there already")


@lab.command()
def down() -> None:
    """End the lab and leave nothing of it."""
    from rolecall.lab import Lab  # noqa: PLC0415

    Lab(_project().lab, ()).down()


@lab.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(*, as_json: bool) -> None:
    """Say which machines run."""
    from rolecall.lab import Lab  # noqa: PLC0415

    running = Lab(_project().lab, ()).running()
    if as_json:
        click.echo(json.dumps({"machines": running}, indent=2))
        return
    width = max(map(len, running), default=0)
    for name, runs in running.items():
        click.echo(f"{name:{width}}  {'runs' if runs else 'is off'}")
    if not running:
        click.echo("the lab is down")


@lab.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--all", "everywhere", is_flag=True, help="On all machines, one after the other.")
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="[MACHINE --] COMMAND…")
def run(*, everywhere: bool, words: tuple[str, ...]) -> NoReturn:
    """Run a command as root on one machine, or on --all.

    It ends with the command's exit status; with --all, with the first that is not 0.
    """
    here = _lab()
    if everywhere:
        failed = 0
        for name in here.machines:
            done = here.run(name, *words, check=False)
            for line in (done.stdout + done.stderr).decode(errors="replace").splitlines():
                click.echo(f"{name}: {line}")
            failed = failed or done.returncode
        sys.exit(failed)
    machine, *command = words
    command = command[1:] if command[:1] == ["--"] else command
    if not command:
        raise click.UsageError("a machine and a command, please: rolecall lab run MACHINE -- COMMAND…")
    sys.exit(subprocess.call(here.argv(_known(here, machine), *command)))


@lab.command()
@click.argument("machine")
def ssh(machine: str) -> NoReturn:
    """Log in to a machine as root."""
    here = _lab()
    argv = here.argv(_known(here, machine))
    os.execvp(argv[0], argv)  # noqa: S606 - the terminal becomes ssh's


def _project() -> Project:
    """The project of ``--project FOLDER``, an option of the whole command, or of the current folder."""
    from rolecall.project import Project, find_root  # noqa: PLC0415

    folder = click.get_current_context().find_root().params.get("project")
    return Project(find_root(Path(folder or ".")))


def _lab() -> Lab:
    """The project's lab.

    Raises:
        Faults: It is down.
    """
    from rolecall.lab import find  # noqa: PLC0415

    found = find(_project().lab)
    if found is None:
        raise fault("the lab is down", hint="boot it: rolecall lab up")
    return found


def _known(here: Lab, machine: str) -> str:
    """The machine's name, if the lab has it."""
    if machine not in here.machines:
        raise fault(
            f"the lab has no machine {machine!r}",
            hint=nearest(machine, here.machines, what="machines of the lab"),
        )
    return machine


def _progress(line: str) -> None:
    """Shows what is going on: on a terminal one line that changes, and "" clears it."""
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{line}", nl=False, err=True)
    elif line:
        click.echo(line, err=True)
