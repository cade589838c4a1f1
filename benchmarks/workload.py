"""The workload of fleet.py, as a service: the resources of an average machine, without packages."""

from __future__ import annotations

import base64
import hashlib
import random
from dataclasses import replace
from typing import TYPE_CHECKING

from rolecall.service import (
    AuthorizedKey,
    Directory,
    File,
    Group,
    Member,
    Resource,
    Service,
    Settings,
    User,
    service_unit,
    timer_unit,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

service = Service("workload", description="A group, users with keys, folders, files, services and a timer.")

FILES = 30


class NodeSettings(Settings):
    """What the benchmark changes.

    Attributes:
        change: A part of the first file.
        settle: How many seconds the services must run before an update counts; None for the default.
    """

    change: int = 0
    settle: float | None = None


node = service.role("node", NodeSettings, description="Has all of it.")


def public_key(name: str) -> str:
    """Return a valid public key that has no private key."""
    field = b"ssh-ed25519"
    data = len(field).to_bytes(4, "big") + field + (32).to_bytes(4, "big") + hashlib.sha256(name.encode()).digest()
    return f"ssh-ed25519 {base64.b64encode(data).decode()}"


@node.configure
def resources(me: Member[NodeSettings]) -> Iterator[Resource]:
    """Yield 1 group, 2 users with 2 keys each, 3 folders, 30 files of 1 to 4 KiB, 2 services and 1 timer."""
    yield Group("workers")
    for user in ("alice", "bob"):
        yield User(user, home=f"/home/{user}", shell="/bin/bash", groups=("workers",))  # noqa: S604 - a login shell
        for key in range(2):
            yield AuthorizedKey(user, public_key(f"{user} {key}"))
    for name in ("cache", "data", "spool"):
        yield Directory(f"/srv/workload/{name}", owner="alice", group="workers", mode=0o750)
    files = [File(f"/etc/workload/{number:02}.conf", content(me, number)) for number in range(FILES)]
    yield from files
    sleep = ["/bin/sleep", "infinity"]
    for name, half in (("a", files[: FILES // 2]), ("b", files[FILES // 2 :])):
        unit = service_unit(f"workload-{name}.service", sleep, description="Half of the files", restart_on=half)
        yield replace(unit, settle_seconds=me.settings.settle)
    job = service_unit("workload-job.service", ["/bin/true"], description="A job", oneshot=True)
    yield job
    yield timer_unit(job, "*-*-* 01:00:00", description="Starts the job")


def content(me: Member[NodeSettings], number: int) -> str:
    """Return the text of a file, which differs between machines."""
    dice = random.Random(f"{me.machine} {number}")  # noqa: S311 - no secret
    lines = [f"machine = {me.machine}", *(f"option-{line} = {dice.random()}" for line in range(dice.randint(30, 120)))]
    return "\n".join(lines) + (f"\nchange = {me.settings.change}\n" if number == 0 else "\n")
