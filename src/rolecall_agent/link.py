"""The connection to the controller, and the watchdog of systemd, while the agent is a service (see `relay`).

A thread reads ahead. Every byte is a sign of life of the controller, which sends ``alive`` when it has nothing else to
say. The link is lost when the stream ends, or when the controller is silent for too long. An agent that waits for the
next message then undoes what is provisional. One that is in the middle of a switch ends at once, with everything that
it has started, and systemd runs `recover`: a command that hangs must not delay the way back.

The same happens to an agent that is stuck: the thread tells systemd again and again that it is not (sd_notify(3)).
"""

from __future__ import annotations

import contextlib
import io
import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    from io import BufferedReader

AHEAD = 1 << 20  # bytes that are read before the agent wants them
WATCHDOG = 20  # seconds without a sign of life of this thread after which systemd kills the agent
TICK = 5  # seconds between two of them, once the link is lost


class Link(io.RawIOBase):
    """The stream of bytes from the controller.

    Args:
        source: Where they come from. Its reads fail when nothing comes for too long.
        end: Ends this process at once.
    """

    def __init__(self, source: BufferedReader, end: Callable[[int], Any] = os._exit) -> None:
        self._source = source
        self._end = end
        self._notify = _notifier()
        self._unread = bytearray()
        self._changed = threading.Condition()
        self._lost = False
        self._vital = False
        threading.Thread(target=self._watch, daemon=True).start()

    def readable(self) -> bool:
        """Return true."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        """Fill the buffer as far as bytes are there; return their number, 0 when the link is lost."""
        with self._changed:
            self._changed.wait_for(lambda: self._unread or self._lost)
            size = min(len(buffer), len(self._unread))
            buffer[:size] = self._unread[:size]
            del self._unread[:size]
            self._changed.notify_all()
            return size

    def end_when_lost(self, *, vital: bool) -> None:
        """Set whether the process ends when the link is lost, also before now. Otherwise, the stream ends."""
        with self._changed:
            self._vital = vital
            if vital and self._lost:
                self._end(1)

    def _watch(self) -> None:
        self._notify(f"WATCHDOG_USEC={WATCHDOG * 1_000_000}\nWATCHDOG=1")
        try:
            while True:
                data = self._source.read1(1 << 16)
                if not data:
                    break
                self._notify("WATCHDOG=1")
                self._add(data)
        except OSError:  # also of a timeout
            pass
        with self._changed:
            self._lost = True
            if self._vital:
                self._end(1)
            self._changed.notify_all()
        while True:  # whatever it undoes now
            time.sleep(TICK)
            self._notify("WATCHDOG=1")

    def _add(self, data: bytes) -> None:
        with self._changed:
            self._unread += data
            self._changed.notify_all()
            while len(self._unread) > AHEAD:
                self._changed.wait(TICK)
                self._notify("WATCHDOG=1")


def _notifier() -> Callable[[str], None]:
    """Return a function that tells systemd something about this service; it does nothing outside of a service."""
    address = os.environ.pop("NOTIFY_SOCKET", "")  # children must not use it
    if not address:
        return lambda _: None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    connection.connect("\0" + address[1:] if address.startswith("@") else address)

    def notify(state: str) -> None:
        with contextlib.suppress(OSError):  # systemd restarts itself
            connection.send(state.encode())

    return notify
