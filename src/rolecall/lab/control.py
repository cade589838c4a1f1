"""The client of a lab's control socket, on which `boss` answers, and the lock that a running lab holds."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import time
from typing import IO, TYPE_CHECKING, Any

from rolecall.errors import fault

if TYPE_CHECKING:
    from pathlib import Path


class Control:
    """The control socket of one lab.

    Args:
        directory: The lab's state directory, absolute.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def request(self, verb: str, **details: object) -> dict[str, Any]:
        """Send a request to the boss, and return its answer.

        Raises:
            OSError: The lab is down.
            Faults: The boss could not do it.
        """
        with self._connect() as connection, connection.makefile("rwb") as stream:
            stream.write(json.dumps({"verb": verb, **details}).encode() + b"\n")
            stream.flush()
            line = stream.readline()
        if not line:
            raise ConnectionResetError("the lab has stopped")
        answer: dict[str, Any] = json.loads(line)
        if error := answer.get("error"):
            raise fault(f"lab {verb}: {error}", hint=f"see {self.directory}/log/boss")
        return answer

    def is_up(self) -> bool:
        """Return whether the lab is up."""
        try:
            self._connect().close()
        except OSError:
            return False
        return True

    def boss(self) -> int | None:
        """Return the boss's process id, as the kernel reports it; None when the lab is down."""
        try:
            with self._connect() as connection:
                peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        except OSError:
            return None
        return int(struct.unpack("3i", peer)[0])

    def _connect(self) -> socket.socket:
        """Connect to the boss.

        Raises:
            OSError: The lab is down.
        """
        # The path of a Unix socket has at most 107 bytes; this path to the directory is always short.
        directory = os.open(self.directory, os.O_PATH)
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(f"/proc/self/fd/{directory}/control")
        except OSError:
            connection.close()
            raise
        finally:
            os.close(directory)
        return connection


def locked(lock: IO[Any], timeout: float) -> bool:
    """Try to lock a file for some seconds; return whether it is locked."""
    until = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(0.005)
        else:
            return True
