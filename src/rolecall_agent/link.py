"""The link to the controller, and the watchdog of systemd, while the agent is a service (see `relay`).

A thread reads ahead. Every byte is a sign of life of the controller, which sends ``alive`` when it has nothing else to
say, and ``end`` when it is done. A connection that breaks is not the end: until the controller has been silent for too
long, another relay of the same user can join, if the controller sends the token that it chose in `protocol.Open`. Both
sides then continue after the last frame that each of them has received, so nobody else notices.

The link is lost after ``end``, or when the controller is silent for too long. An agent that waits for the next message
then undoes what is provisional. One that is in the middle of a switch ends at once, with everything that it has
started, and systemd runs `recover`: a command that hangs must not delay the way back.

The same happens to an agent that is stuck: the thread tells systemd again and again that it is not (sd_notify(3)).
"""

from __future__ import annotations

import contextlib
import hmac
import io
import os
import socket
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, BinaryIO, Callable, Deque, Dict, List, Optional, Tuple, cast

from rolecall_agent import frames
from rolecall_agent.frames import meeting_point
from rolecall_agent.relay import peer

if TYPE_CHECKING:
    from io import BufferedReader

    Frame = Tuple[Dict[str, Any], bytes]

AHEAD = 1 << 20  # bytes that are read before the agent wants them
WATCHDOG = 20  # seconds without a sign of life of this thread after which systemd kills the agent
TICK = 5  # seconds between two of them, once the link is lost
JOIN = 5  # seconds for a relay that joins to send the token
_RESUME = 1000  # bytes of `protocol.Resume`


class Link:
    """The frames from and to the controller.

    Args:
        connection: The connection to the first relay. Its timeout is how long the controller may be silent.
        source: The bytes from there.
        token: What another relay that joins must send; "" if none may.
        end: Ends this process at once.
    """

    def __init__(
        self,
        connection: socket.socket,
        source: BufferedReader,
        token: str = "",
        end: Callable[[int], Any] = os._exit,
    ) -> None:
        self._connection = connection
        self._silence = connection.gettimeout() or 0.0
        self._user = peer(connection)
        self._token = token
        self._end = end
        self._notify = _notifier()
        self._changed = threading.Condition()
        self._unread: Deque[Frame] = deque()
        self._last_sign = time.monotonic()
        self._received = 0  # frames, without ``alive``
        self._joining: Optional[Tuple[socket.socket, BinaryIO, int]] = None
        self._lost = False
        self._vital = False
        self._sending = threading.RLock()
        self._sent = 0  # frames, without ``alive``
        self._unconfirmed: List[bytes] = []  # the last of them
        self._listener = socket.socket(socket.AF_UNIX)
        if token:
            self._listener.bind("\0" + meeting_point(token))  # nobody else knows this name before it is bound
            self._listener.listen(8)
            threading.Thread(target=self._admit, daemon=True).start()
        threading.Thread(target=self._watch, args=(self._watched(source),), daemon=True).start()

    def receive(self) -> Optional[Frame]:
        """Return the next frame; None when the link is lost."""
        with self._changed:
            self._changed.wait_for(lambda: self._unread or self._lost)
            if not self._unread:
                return None
            self._changed.notify_all()
            return self._unread.popleft()

    def send(self, frame: bytes, *, counts: bool) -> None:
        """Send a frame, now or to the next relay that joins.

        Args:
            frame: The frame.
            counts: Whether it is more than a sign of life.
        """
        with self._sending:
            if counts:
                self._sent += 1
                self._unconfirmed.append(frame)
            try:
                self._connection.sendall(frame)
            except OSError:  # perhaps in the middle of the frame
                self._hang_up()

    def end_when_lost(self, *, vital: bool) -> None:
        """Set whether the process ends when the link is lost, also before now. Otherwise, `receive` returns None."""
        with self._changed:
            self._vital = vital
            if vital and self._lost:
                self._end(1)

    def close(self) -> None:
        """Close the connection, which shows the controller that the agent ends."""
        self._hang_up()
        self._connection.close()

    def _watch(self, source: BinaryIO) -> None:
        self._notify(f"WATCHDOG_USEC={WATCHDOG * 1_000_000}\nWATCHDOG=1")
        stream: Optional[BinaryIO] = source
        while stream and not self._read(stream):
            stream = self._joined()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # nobody can join any more
        self._listener.close()
        with self._changed:
            self._lost = True
            if self._vital:
                self._end(1)
            self._changed.notify_all()
        while True:  # whatever it undoes now
            time.sleep(TICK)
            self._notify("WATCHDOG=1")

    def _read(self, stream: BinaryIO) -> bool:
        """Read frames until the connection breaks; return whether the controller has ended the conversation."""
        with contextlib.suppress(OSError, frames.ProtocolError):  # also of a timeout
            while frame := frames.read_frame(stream):
                if frame[0]["type"] == "end":
                    return True
                if frame[0]["type"] != "alive":
                    self._received += 1
                    with self._sending:  # the controller goes on only after it has received the answer
                        self._unconfirmed.clear()
                    self._add(frame)
        return False

    def _add(self, frame: Frame) -> None:
        with self._changed:
            self._unread.append(frame)
            self._changed.notify_all()
            while sum(len(payload) for _, payload in self._unread) > AHEAD:
                self._changed.wait(TICK)
                self._note_life()  # what it sends waits

    def _joined(self) -> Optional[BinaryIO]:
        """Return the stream of a relay that joins before the controller has been silent for too long, or None."""
        self._notify("WATCHDOG=1")
        with self._changed:
            left = self._last_sign + self._silence - time.monotonic()
            if not self._token or not self._changed.wait_for(lambda: self._joining, max(left, 0)):
                return None
            assert self._joining  # noqa: S101 - as awaited
            connection, stream, received = self._joining
            self._joining = None
        with self._sending:
            self._connection = connection
            missed = self._unconfirmed[max(received - self._sent + len(self._unconfirmed), 0) :]
            resumed = frames.frame({"type": "resumed", "received": self._received})
            try:
                connection.sendall(b"".join((frames.MARKER, resumed, *missed)))
            except OSError:
                self._hang_up()
        return stream

    def _admit(self) -> None:
        """Let relays join until the link is lost; the connection before is given up then."""
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                source = connection.makefile("rb")
                received = self._admitted(connection, source)
                if received is None:
                    source.close()
                    connection.close()
                    continue
                self._note_life()
                self._hang_up()
                with self._changed:
                    self._joining = connection, self._watched(source), received
                    self._changed.notify_all()

    def _admitted(self, connection: socket.socket, source: BinaryIO) -> Optional[int]:
        """Return how many frames the controller has received; None for another user, or one without the token."""
        if peer(connection) != self._user:
            return None
        try:
            connection.settimeout(JOIN)
            frame = frames.read_frame(source, _RESUME, 0)
            connection.settimeout(self._silence)
            message = frame[0] if frame else {}
            known = hmac.compare_digest(str(message["token"]).encode(), self._token.encode())
            return int(message["received"]) if known else None
        except (OSError, frames.ProtocolError, KeyError, TypeError, ValueError):
            return None

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def _watched(self, source: BufferedReader) -> BinaryIO:
        return cast("BinaryIO", io.BufferedReader(_Watched(source, self._note_life)))

    def _note_life(self) -> None:
        self._last_sign = time.monotonic()
        self._notify("WATCHDOG=1")


class _Watched(io.RawIOBase):
    """Bytes from a relay; each of them is a sign of life."""

    def __init__(self, source: BufferedReader, note_life: Callable[[], None]) -> None:
        self._source = source
        self._note_life = note_life

    def readable(self) -> bool:
        """Return true."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        """Fill the buffer as far as bytes are there; return their number, 0 at the end."""
        data = self._source.read1(len(buffer))
        if data:
            self._note_life()
        buffer[: len(data)] = data
        return len(data)


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
