"""A machine's backups, by the commands that backup services export. A failure does not hide other results."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rolecall.errors import Fault, Faults, fault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolecall.deploy.target import Target
    from rolecall.model.exports import Exported
    from rolecall.service import Backups

    Offers = Sequence[Exported[Backups]]

# A shell's start files may print (bash reads ~/.bashrc for sshd too): the answer follows this line.
_BEGIN = "-- rolecall: the answer --"
_ANSWER = ["sh", "-c", f'echo; echo "{_BEGIN}"; exec "$@"', "sh"]


@dataclass(frozen=True, slots=True)
class Archive:
    """One backup of a machine.

    Attributes:
        instance: The instance that made it.
        target: Where it is stored.
        name: Its name at the target; "" when there was nothing to back up.
        time: When it was made, as its service reports it.
    """

    instance: str
    target: str
    name: str
    time: str = ""


def choose(offers: Offers, machine: str, instance: str | None, target: str | None) -> Offers:
    """Return the offers of one instance, to one target, or all.

    Raises:
        Faults: When there is none.
    """
    chosen = [offer for offer in offers if instance in {None, offer.instance} and target in {None, offer.value.target}]
    if not chosen:
        ways = ", ".join(f"--instance {offer.instance} --target {offer.value.target}" for offer in offers)
        raise fault(f"no backup of {machine} matches", hint=f"choose one of: {ways}")
    return chosen


def create(machine: Target, offers: Offers) -> tuple[list[Archive], list[Fault]]:
    """Back up the machine with every offer; return the archives that were created, and what failed."""
    created, faults = [], []
    for offer in offers:
        status, answer = _run(machine, offer.value.create)
        name = answer.rstrip().rpartition("\n")[2]
        if status:
            faults.append(_failed(machine, offer, "the backup of {} to {} failed", status))
        if name or not status:
            created.append(Archive(offer.instance, offer.value.target, name))
    return created, faults


def archives(machine: Target, offers: Offers) -> tuple[list[Archive], list[Fault]]:
    """Return the machine's archives of every offer, oldest first, and the offers that could not be listed."""
    listed, faults = [], []
    for offer in offers:
        status, answer = _run(machine, offer.value.listing)
        try:
            if status:
                raise ValueError(status)  # noqa: TRY301 - handled as an invalid answer is
            entries = json.loads(answer.rstrip().rpartition("\n")[2])
            listed += [Archive(offer.instance, offer.value.target, str(it["name"]), str(it["time"])) for it in entries]
        except (ValueError, KeyError, TypeError, RecursionError):
            faults.append(_failed(machine, offer, "the backups of {} on {} cannot be listed", status))
    return sorted(listed, key=lambda archive: archive.time), faults


def newest(machine: Target, listed: Sequence[Archive], name: str | None) -> Archive:
    """Return the archive of this name, or the newest of all.

    Raises:
        Faults: When there is none.
    """
    chosen = [archive for archive in listed if name in {None, archive.name}]
    if not chosen:
        hint = f"list them: `rolecall backups list {machine.machine}`"
        raise fault(f"{machine.machine} has no backup {name or ''}".rstrip(), hint=hint)
    return max(chosen, key=lambda archive: archive.time)


def restore(machine: Target, offers: Offers, archive: Archive, paths: Sequence[str]) -> str:
    """Restore an archive's files, or some of them, to the machine; return what the service printed.

    Raises:
        Faults: When the restore fails.
    """
    offer = choose(offers, machine.machine, archive.instance, archive.target)[0]
    status, answer = _run(machine, [*offer.value.restore, archive.name, *paths])
    if status:
        raise Faults([_failed(machine, offer, f"the restore of {{}} from {archive.name} on {{}} failed", status)])
    return answer


def _run(machine: Target, argv: Sequence[str]) -> tuple[int, str]:
    """Run a command on the machine, and return its status and answer. Its standard error goes to the terminal.

    Raises:
        Faults: When the target is a directory.
    """
    if machine.root is not None:
        raise fault(f"cannot run a command on {machine.machine}: its target is the directory {machine.root}")
    command = machine.command([*_ANSWER, *argv])
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
    return done.returncode, done.stdout.decode(errors="replace").partition(f"{_BEGIN}\n")[2]


def _failed(machine: Target, offer: Exported[Backups], what: str, status: int) -> Fault:
    hint = "see its own messages above"
    if status == 255:  # noqa: PLR2004 - ssh(1): an error of the connection
        hint = f"check that {machine.machine} can be reached: `rolecall ssh {machine.machine} true`"
    elif not status:
        hint = "its answer is not a list of archives"
    return Fault(f"{what.format(machine.machine, offer.value.target)} ({offer.instance})", hint=hint)
