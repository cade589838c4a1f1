"""``rolecall lab``: runs the inventory on throw-away machines on this computer."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, NoReturn, get_args

import click

from rolecall.cli import completion, output
from rolecall.model.inventory import Release

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rolecall.cli.common import Invocation
    from rolecall.lab import Lab


@click.group()
def lab() -> None:
    """Run the inventory on throw-away machines, locally."""


@lab.command()
@click.option("--all", "everything", is_flag=True, help="Also boot twins of machines that name a real target.")
@click.option("--disk", is_flag=True, help="Keep the machines' files on disk instead of in memory.")
@click.option(
    "--release",
    type=click.Choice(get_args(Release)),
    help="Run this release of Debian where the inventory names none. Default: this computer's.",
)
@click.pass_obj
def up(invocation: Invocation, *, everything: bool, disk: bool, release: str | None) -> None:
    """Boot the machines that are not running yet.

    Boots those that name no real target, and those that the lab has already. With --all, the lab also gets a twin of
    each machine that names one; commands then ask for --lab or --real.
    """
    from rolecall.errors import fault
    from rolecall.lab import Lab

    project = invocation.workspace.project
    declared = invocation.workspace.loaded().inventory.machines
    there = Lab(project.lab, ()).running()
    names = sorted(
        name for name, machine in declared.items() if everything or machine.deploy.target_host is None or name in there
    )
    if declared and not names:
        raise fault("every machine names a real target", hint="to boot a twin of each, run `rolecall lab up --all`")
    releases = {name: chosen for name in names if (chosen := declared[name].lab.release or release)}
    made = Lab(project.lab, names, disk=disk, releases=releases)
    took = made.up(progress=_progress)
    _progress("")
    text = _ready(took) or "all machines are running already"
    invocation.emit({"machines": took, "ssh_config": str(made.ssh_config)}, text)


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

    found = Lab(invocation.workspace.project.lab, ())
    running, unplugged = found.running(), found.unplugged()
    words = {name: "unplugged" if name in unplugged else "running" if runs else "off" for name, runs in running.items()}
    invocation.emit({"machines": running, "unplugged": unplugged}, _table(words) or "the lab is down")


_machines = click.argument("machines", nargs=-1, required=True, shell_complete=completion.lab_machines)


@lab.command()
@_machines
@click.pass_obj
def kill(invocation: Invocation, machines: tuple[str, ...]) -> None:
    """Cut the power of MACHINES: all processes end at once."""
    _lab(invocation).kill(*machines)
    _are(invocation, machines, "off")


@lab.command()
@_machines
@click.pass_obj
def start(invocation: Invocation, machines: tuple[str, ...]) -> None:
    """Switch on MACHINES, and wait until they accept logins."""
    here = _lab(invocation)
    here.start(*machines)
    _took(invocation, here.wait(machines))


@lab.command()
@_machines
@click.pass_obj
def reboot(invocation: Invocation, machines: tuple[str, ...]) -> None:
    """Reboot MACHINES, and wait until they accept logins."""
    _took(invocation, _lab(invocation).reboot(*machines))


@lab.command()
@_machines
@click.pass_obj
def cut(invocation: Invocation, machines: tuple[str, ...]) -> None:
    """Unplug the network of MACHINES, until `plug` or a boot."""
    _lab(invocation).cut(*machines)
    _are(invocation, machines, "unplugged")


@lab.command()
@_machines
@click.pass_obj
def plug(invocation: Invocation, machines: tuple[str, ...]) -> None:
    """Plug in the network of MACHINES again."""
    _lab(invocation).plug(*machines)
    _are(invocation, machines, "running")


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


def _are(invocation: Invocation, machines: Sequence[str], state: str) -> None:
    """Print the state in which machines are now."""
    rows = dict.fromkeys(machines, state)
    invocation.emit({"machines": rows}, _table(rows))


def _took(invocation: Invocation, seconds: Mapping[str, float]) -> None:
    """Print in how many seconds machines came up."""
    invocation.emit({"machines": seconds}, _ready(seconds))


def _ready(seconds: Mapping[str, float]) -> str:
    return _table({name: f"up after {each:.2f} s" for name, each in seconds.items()})


def _table(rows: dict[str, str]) -> str:
    width = max(map(len, rows), default=0)
    return "\n".join(f"{name:{width}}  {text}" for name, text in rows.items())


def _progress(line: str) -> None:
    """Show progress: on a terminal as one line that changes, which "" clears."""
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{line}", nl=False, err=True)
    elif line:
        click.echo(line, err=True)
