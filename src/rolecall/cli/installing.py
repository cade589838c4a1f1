"""``rolecall machines install``."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING

import click

from rolecall.cli import completion
from rolecall.cli.common import ask
from rolecall.cli.output import tell
from rolecall.cli.pinning import confirm_host_keys
from rolecall.cli.update import bring
from rolecall.errors import fault, plural

if TYPE_CHECKING:
    from rolecall.cli.common import Invocation
    from rolecall.pipeline import NewMachine


@click.command()
@click.argument("name", shell_complete=completion.machines)
@click.option("--target-host", help="Its target, if the inventory does not have it: [user@]host[:port].")
@click.option(
    "--ssh-key", type=click.Path(path_type=Path), metavar="FILE", help="Let this public key log in from now on."
)
@click.option("--known-hosts", is_flag=True, help="Trust the host keys that your own known_hosts files have.")
@click.option("--keep-hostname", is_flag=True, help="Leave its hostname as it is.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask, except for the host keys.")
@click.pass_obj
def install(
    invocation: Invocation,
    name: str,
    *,
    target_host: str | None,
    ssh_key: Path | None,
    known_hosts: bool,
    keep_hostname: bool,
    yes: bool,
) -> None:
    """Prepare a machine, declare its target, and update it.

    The machine needs systemd, an SSH server, and a login as root or as a user who may use sudo; ssh and sudo may ask
    for a password, once. Pins its host keys, lets your SSH key log in, installs Python, and sets its hostname to NAME.
    Then it updates the machine and the peers of its roles. What is done already is not done again.

    Example: rolecall machines install jon --target-host admin@192.0.2.7
    """
    from rolecall import pipeline
    from rolecall.plan.text import report_text

    invocation.side = "real"
    workspace = invocation.workspace
    new = pipeline.new_machine(workspace, name, target_host)
    done = [] if new.is_directory else _pin(invocation, new, known_hosts=known_hosts)
    done += [] if new.is_directory else _prepare(invocation, new, ssh_key, hostname=not keep_hostname, yes=yes)
    if edited := new.declare():
        tell(edited.warnings, as_json=False)
        done.append(f"declared {name} in {edited.files[0].name}")
    if not invocation.json:
        click.echo("\n".join(done or [f"{name} is prepared already"]), err=True)
    report = bring(invocation, pipeline.with_peers(workspace, name), yes=yes)
    invocation.emit({"machine": name, "done": done, "update": report.as_json()}, report_text(report))
    if not report.done:
        sys.exit(1)


def _pin(invocation: Invocation, new: NewMachine, *, known_hosts: bool) -> list[str]:
    """Pin the host keys of a machine, unless that is done, and return what was done, in words."""
    from rolecall import pipeline

    keys = new.host_keys(known_hosts=known_hosts)
    if keys.pinned == keys.presented:
        return []
    if keys.pinned:
        hint = f"compare them on the machine itself; then run `rolecall machines pin {new.name} --replace`"
        raise fault(keys.warning, hint=hint)
    confirm_host_keys([] if keys.verified else [keys], yes=False)
    pipeline.pin(invocation.workspace, keys, replace=False)
    return [f"pinned {plural(len(keys.presented), 'host key')} of {new.name}"]


def _prepare(invocation: Invocation, new: NewMachine, ssh_key: Path | None, *, hostname: bool, yes: bool) -> list[str]:
    """Give a machine what it lacks for Rolecall, and return that in words."""
    with new.log_in() as login:
        lacking = new.lacking(login, ssh_key, hostname=hostname)
        if not str(lacking):
            return []
        click.echo(f"on {new.name} ({new.target.text}):\n{indent(str(lacking), '  ')}", err=True)
        if not yes:
            ask(invocation, f"prepare {new.name}?")
        login.prepare(lacking)
        if left := str(new.lacking(login, ssh_key, hostname=hostname)):
            raise fault(f"{new.name} is not prepared; this is still to be done:\n{indent(left, '  ')}")
    return str(lacking).splitlines()
