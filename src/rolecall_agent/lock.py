"""The lock of a machine: one agent at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import Iterator

from rolecall_agent.errors import Failure
from rolecall_agent.state import HOME

PATIENCE = 5.0  # seconds to wait for another agent
PATIENCE_WITH_RECOVERY = 300.0  # the same for one that only recovers an interrupted switch
RECOVERY = "the recovery of an interrupted update"  # what such an agent is called


class LockedError(Failure):
    """Another agent holds the machine's lock."""


@contextlib.contextmanager
def locked(root: str, holder: str, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the machine's lock.

    Args:
        root: The root of the machine.
        holder: Who holds it, for the messages of others that wait for it.
        patience: Seconds to wait for another agent; for one that only recovers, `PATIENCE_WITH_RECOVERY`.

    Raises:
        LockedError: When another agent holds it for longer.
    """
    path = os.path.join(root, HOME[1:], "lock")
    began = time.monotonic()
    fd = _opened(path)
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.exists(path) and os.path.samestat(os.fstat(fd), os.stat(path)):
                    break
                new = _opened(path)  # who held it has purged the machine
                os.dup2(new, fd, inheritable=False)
                os.close(new)
            except BlockingIOError:
                noted = os.pread(fd, 500, 0).decode(errors="replace") or "another agent"
                recovers = noted.startswith(RECOVERY)
                if time.monotonic() - began > (PATIENCE_WITH_RECOVERY if recovers and patience else patience):
                    raise LockedError(f"the machine is locked by {noted}") from None
                time.sleep(0.05)
        note_holder(root, holder)
        yield
    finally:
        os.close(fd)


def holder(root: str) -> str:
    """Return who holds the machine's lock, as noted there, or "". The lock is not touched."""
    try:
        with open(os.path.join(root, HOME[1:], "lock"), encoding="utf-8", errors="replace") as file:
            inode, noted = os.fstat(file.fileno()).st_ino, file.read(500)
        with open("/proc/locks", encoding="ascii", errors="replace") as lines:
            held = [line.split() for line in lines if " FLOCK " in line and " -> " not in line]
    except OSError:
        return ""
    # proc(5): the process, then the device, which some file systems number otherwise than stat(2), and the inode.
    same = any(words[5].endswith(f":{inode}") and f"(pid {words[4]})" in noted for words in held)
    return noted if same else ""


def _opened(path: str) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        raise Failure("the machine has just been purged; try again") from None


def note_holder(root: str, holder: str) -> None:
    """Write who holds the lock, and since when."""
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    with open(os.path.join(root, HOME[1:], "lock"), "w", encoding="utf-8") as file:
        file.write(f"{holder} since {since} UTC (pid {os.getpid()})")
