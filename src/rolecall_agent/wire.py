"""A conversation over a pair of streams."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING, BinaryIO, Optional, Tuple, Union

from rolecall_agent import frames
from rolecall_agent.conversation import Conversation, Message
from rolecall_agent.errors import Failure
from rolecall_agent.link import Link

if TYPE_CHECKING:
    import io
    import socket


def serve(
    first: Message,
    source: io.BufferedReader,
    sink: BinaryIO,
    root: Optional[str],
    connection: Optional[socket.socket] = None,
) -> int:
    """Answer until the controller ends the conversation.

    Args:
        first: The message that the bootstrap has read.
        source: The stream of frames from the controller.
        sink: The stream of frames to the controller.
        root: Root directory of a recorded system; None for this machine.
        connection: What both are streams of, if another relay may join.

    Returns:
        The exit status: 0, or 1 when the last answer was a failure.
    """
    os.umask(0o022)  # what packages' scripts and useradd(8) expect
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a lost connection shows as the end of the stream
    link = Link(connection, source, first.get("token", "")) if connection else None
    wire = Wire(link or Streams(source, sink))
    talk = Conversation(wire.send, root)
    try:
        with contextlib.suppress(frames.ProtocolError, OSError):
            if link:
                link.end_when_lost(vital=first["type"] == "rejoin")
            more = talk.begin(first)
            if link:
                link.end_when_lost(vital=False)
            while more and (frame := wire.read()):
                if link:
                    link.end_when_lost(vital=frame[0]["type"] in {"switch", "check"})
                talk.answer(*frame)
                if link:
                    link.end_when_lost(vital=False)
        status = talk.end()
    finally:
        wire.ended.set()
        if link:
            link.close()
    if link:
        talk.remember()
    return status


def framed(message: Message) -> bytes:
    """Return an answer as a frame.

    Raises:
        Failure: When it is too large.
    """
    try:
        return frames.frame(message, limit=frames.MAX_ANSWER)
    except frames.ProtocolError as error:
        raise Failure(f"the machine has too many resources: {error}") from None


class Streams:
    """The streams of frames from and to the controller; nobody else can join."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self._source = source
        self._sink = sink
        self._sending = threading.Lock()

    def receive(self) -> Optional[Tuple[Message, bytes]]:
        """Return the next frame; None at the end."""
        return frames.read_frame(self._source)

    def send(self, frame: bytes, *, counts: bool) -> None:  # noqa: ARG002 - as of a link
        """Send a frame."""
        # A lost connection must not end a switch halfway. The next read sees the end of the stream.
        with contextlib.suppress(OSError), self._sending:
            self._sink.write(frame)
            self._sink.flush()


class Wire:
    """The frames from and to the controller, with signs of life while an answer takes time.

    Attributes:
        ended: Whether the conversation has ended.
    """

    def __init__(self, streams: Union[Streams, Link]) -> None:
        self._streams = streams
        self._working = True  # on an answer
        self.ended = threading.Event()
        threading.Thread(target=self._show_life, daemon=True).start()

    def read(self) -> Optional[Tuple[Message, bytes]]:
        """Return the next frame that is more than a sign of life; None at the end."""
        self._working = False
        while True:
            frame = self._streams.receive()
            if frame is None or frame[0]["type"] == "end":
                return None
            if frame[0]["type"] != "alive":
                self._working = True
                return frame

    def send(self, message: Message) -> None:
        """Send a message.

        Raises:
            Failure: When it is too large.
        """
        self._streams.send(framed(message), counts=message["type"] != "alive")

    def _show_life(self) -> None:
        while not self.ended.wait(frames.HEARTBEAT):
            if self._working:
                self.send({"type": "alive"})
