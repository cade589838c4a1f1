"""``rolecall machines pin``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rolecall.cli.choosing import choosing
from rolecall.errors import Faults, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolecall.cli.common import Invocation
    from rolecall.pipeline import Choice, HostKeys


@click.command()
@choosing
@click.option("--all", "every", is_flag=True, help="Pin all machines that have a target and no pinned keys.")
@click.option("--known-hosts", is_flag=True, help="Trust the keys that your own known_hosts files have.")
@click.option("--replace", is_flag=True, help="Replace the keys that are pinned now.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask. Differing pinned keys are replaced only with --replace.")
@click.pass_obj
def pin(invocation: Invocation, choice: Choice, *, every: bool, known_hosts: bool, yes: bool, replace: bool) -> None:
    """Pin the SSH host keys of machines.

    Shows the keys that each machine presents, and pins them once you have compared them. On the machine itself,
    `ssh-keygen -lf` prints the fingerprint of each /etc/ssh/ssh_host_*_key.pub.

    Example: rolecall machines pin --all --known-hosts
    """
    from rolecall import pipeline

    if every == (choice != pipeline.Choice()):
        raise click.UsageError("choose machines, or all without pinned keys by --all")
    workspace = invocation.workspace
    names = pipeline.unpinned(workspace) if every else pipeline.chosen(workspace, choice)
    found, faults = pipeline.host_keys(workspace, names, known_hosts=known_hosts)
    new = [keys for keys in found if keys.pinned != keys.presented]
    confirm_host_keys([keys for keys in new if keys.pinned or not keys.verified], yes=yes)
    for keys in new:
        try:
            pipeline.pin(workspace, keys, replace=replace or bool(keys.pinned and not yes))
        except Faults as error:
            faults += error.faults
    done = [keys for keys in found if keys not in new or not keys.pinned or replace or not yes]
    document = {keys.machine: {"keys": keys.presented, "before": keys.pinned} for keys in done}
    lines = [_pinned(keys) for keys in done] or ([] if faults else ["all machines that have a target are pinned"])
    if lines or invocation.json:
        invocation.emit({"machines": document}, "\n".join(lines))
    if faults:
        raise Faults(faults)


def _pinned(keys: HostKeys) -> str:
    count = plural(len(keys.presented), "host key")
    if keys.pinned == keys.presented:
        return f"{count} of {keys.machine} already pinned"
    return f"pinned {count} of {keys.machine}" + (", from your known_hosts" if keys.verified else "")


def confirm_host_keys(presented: Sequence[HostKeys], *, yes: bool) -> None:
    """Show keys beside those that are pinned, and continue only when the user has compared them.

    Args:
        presented: The keys of each machine.
        yes: Whether not to ask; then keys are shown only where others are pinned.

    Raises:
        Abort: When the answer is no.
    """
    for keys in presented:
        if keys.warning:
            click.secho(f"WARNING: {keys.warning}", fg="red", err=True)
            click.echo("\n".join(["pinned:", *(f"  {each}" for each in keys.pinned_fingerprints)]), err=True)
        if keys.pinned or not yes:
            head = "presented:" if len(presented) == 1 else f"presented by {keys.machine}:"
            click.echo("\n".join([head, *(f"  {each}" for each in keys.fingerprints)]), err=True)
    if presented and not yes:
        who = f"{presented[0].machine} itself" if len(presented) == 1 else "the machines themselves"
        what = "replace the pinned ones" if any(keys.pinned for keys in presented) else "are they the same"
        click.confirm(f"did you compare these keys on {who}: {what}?", abort=True, err=True)
