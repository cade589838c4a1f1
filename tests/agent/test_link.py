"""The link to the controller: who may join when a connection breaks, and when the link is lost."""

from __future__ import annotations

import contextlib
import secrets
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from rolecall_agent import frames, link
from rolecall_agent.frames import meeting_point

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Controller:
    """The other side of a link. Its first connection may be silent for so many seconds."""

    def __init__(self, silence: float, token: str) -> None:
        self.token = token
        self.connection, agent = socket.socketpair()
        agent.settimeout(silence)
        self.ended: list[int] = []
        self.link = link.Link(agent, agent.makefile("rb"), token, self.ended.append)
        self.stream = self.connection.makefile("rb")

    def send(self, kind: str, **fields: object) -> None:
        self.connection.sendall(frames.frame({"type": kind, **fields}))

    def receive(self) -> dict[str, Any]:
        message, _ = frames.read_frame(self.stream) or ({}, b"")
        return message

    def join(self, token: str | None = None, received: int = 0) -> dict[str, Any]:
        """Join over a new connection; return the answer, {} if it is refused."""
        connection = socket.socket(socket.AF_UNIX)
        connection.connect("\0" + meeting_point(self.token))
        stream = connection.makefile("rb")
        with contextlib.suppress(ConnectionError):  # it may be refused before the token is sent
            connection.sendall(
                frames.frame({"type": "resume", "token": self.token if token is None else token, "received": received})
            )
            if stream.readline() == frames.MARKER:
                self.hang_up()
                self.connection, self.stream = connection, stream
                return self.receive()
        stream.close()
        connection.close()
        return {}

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.send("end")
        self.hang_up()
        while self.link.receive():
            pass
        self.link.close()

    def hang_up(self) -> None:
        self.stream.close()
        self.connection.close()

    def answer(self) -> str:
        """Let the agent receive a frame, and return its type."""
        frame = self.link.receive()
        return frame[0]["type"] if frame else ""


def sent(kind: str) -> bytes:
    return frames.frame({"type": kind})


@pytest.fixture
def connect() -> Iterator[Callable[..., Controller]]:
    with ExitStack() as ends:

        def make(silence: float = 60, token: str | None = None) -> Controller:
            made = Controller(silence, secrets.token_hex() if token is None else token)
            ends.callback(made.close)
            return made

        yield make


@pytest.fixture
def controller(connect: Callable[..., Controller]) -> Controller:
    return connect()


def test_each_frame_is_received_once(controller: Controller) -> None:
    controller.send("one")
    assert controller.answer() == "one"
    controller.link.send(sent("first"), counts=True)
    controller.link.send(sent("second"), counts=True)
    assert controller.receive() == {"type": "first"}
    controller.connection.shutdown(socket.SHUT_RDWR)
    assert controller.join(received=1) == {"type": "resumed", "received": 1}
    assert controller.receive() == {"type": "second"}
    controller.send("two")
    assert controller.answer() == "two"


def test_a_relay_that_joins_replaces_one_that_seems_to_work(controller: Controller) -> None:
    controller.connection.sendall(sent("half")[:6])
    assert controller.join() == {"type": "resumed", "received": 0}
    controller.send("one")
    assert controller.answer() == "one"


@pytest.mark.parametrize("token", ["", "another token", "a tokén"])
def test_nobody_joins_without_the_token(controller: Controller, token: str) -> None:
    assert controller.join(token) == {}
    controller.send("one")
    assert controller.answer() == "one"


def test_no_other_user_joins(controller: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "peer", lambda _: 12345)
    assert controller.join() == {}
    controller.send("one")
    assert controller.answer() == "one"


@pytest.mark.parametrize("vital", [True, False])
def test_the_link_is_lost_when_nobody_joins_in_time(connect: Callable[..., Controller], *, vital: bool) -> None:
    controller = connect(silence=0.2)
    controller.link.end_when_lost(vital=vital)
    controller.hang_up()
    assert controller.answer() == ""
    assert controller.ended == [1] * vital


def test_the_link_is_lost_at_once_when_the_controller_says_so(controller: Controller) -> None:
    controller.send("end")
    assert controller.answer() == ""


def test_without_a_token_the_end_of_the_stream_is_the_end(connect: Callable[..., Controller]) -> None:
    controller = connect(token="")
    controller.hang_up()
    assert controller.answer() == ""
