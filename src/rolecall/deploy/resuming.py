"""A conversation that goes on over another connection when its own is lost.

The agent waits for a new connection as long as the controller may be silent. Both sides count frames, and each keeps
those that the other one may not have received (`rolecall_agent.link`), so that every command is answered once.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from typing import TYPE_CHECKING, Any

from rolecall.deploy.answers import decode
from rolecall.deploy.connection import SSH_FAILED, AgentFailedError, Connection, LostError
from rolecall_agent import bootstrap, frames, protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolecall.deploy.target import Target

_random = random.SystemRandom()


class Resuming:
    """A conversation with the agent of one machine, after its state was received; it has the methods of `Connection`.

    Args:
        connection: The connection to the agent.
        target: The machine.
        token: What the agent was told in `protocol.Open`.
        progress: Called when the conversation goes on over another connection.

    Attributes:
        connection: The connection that it uses now.
    """

    refused = would_ask = False

    def __init__(self, connection: Connection, target: Target, token: str, progress: Callable[[str], None]) -> None:
        self.connection = connection
        self._target = target
        self._token = token
        self._progress = progress
        self._received = 1  # frames, without ``alive``: the state
        self._sent = 0  # frames that it has received for certain
        self._unconfirmed: list[tuple[Any, bytes]] = []  # those that it may not have received
        self._busy = threading.Lock()
        self._over = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def send(self, message: Any, payload: bytes = b"") -> None:  # noqa: ANN401 - any of the protocol's
        """Send a frame, as `Connection.send`."""
        with self._busy:
            self._unconfirmed.append((message, payload))
            try:
                self.connection.send(message, payload)
            except LostError as lost:
                self._join_again(lost)

    def receive(self, progress: Callable[[str], None] | None = None) -> dict[str, Any]:
        """Return the next answer, as `Connection.receive`."""

        def count(step: str) -> None:
            self._received += 1
            if progress:
                progress(step)

        with self._busy:
            while True:
                try:
                    answer = self.connection.receive(count)
                except LostError as lost:
                    self._join_again(lost)
                else:
                    self._received += 1
                    self._sent += len(self._unconfirmed)
                    self._unconfirmed.clear()
                    return answer

    def refuse(self, problem: str) -> AgentFailedError:
        """End the conversation because of what the machine does, and return the error to raise."""
        self._tell_end()
        return self.connection.refuse(problem)

    def close(self, patience: float) -> None:
        """End the conversation, and wait so many seconds for the agent to end."""
        self._tell_end()
        self.connection.close(patience)

    def _tell_end(self) -> None:
        self._over.set()
        with contextlib.suppress(AgentFailedError):
            self.connection.send({"type": "end"})

    def _watch(self) -> None:
        """Also notice that the connection is lost while nobody uses it."""
        while not self._over.is_set():
            connection = self.connection
            if not connection.breaks_within(frames.HEARTBEAT):
                continue
            if self._busy.acquire(blocking=False):
                try:
                    if connection is self.connection and not self._over.is_set():
                        self._join_again(connection.ended())
                except AgentFailedError:  # the next step fails with it
                    return
                finally:
                    self._busy.release()
            else:  # who uses it notices, too
                self._over.wait(0.1)

    def _join_again(self, lost: AgentFailedError) -> None:
        """Connect to the same agent again, and send what it has not received.

        Raises:
            AgentFailedError: The given one, when that does not succeed before the agent has given up.
        """
        until = time.monotonic() + bootstrap.SILENCE
        while not self._over.is_set() and (left := until - time.monotonic()) > 0:
            try:
                connection = Connection(self._target, token=self._token, login=left)
            except OSError:
                break
            try:
                self._resume(connection)
            except AgentFailedError:
                if connection.status not in {None, SSH_FAILED}:  # the relay ran, and found no agent
                    break
                time.sleep(_random.uniform(0.1, 0.5))
            else:
                self.connection = connection
                self._progress("connection lost, connected again")
                return
        self._over.set()
        raise lost

    def _resume(self, connection: Connection) -> None:
        connection.send(protocol.Resume(type="resume", token=self._token, received=self._received))
        try:
            missing = decode(protocol.Resumed, connection.receive())["received"] - self._sent
        except frames.ProtocolError as error:
            raise connection.refuse(str(error)) from None
        for message, payload in self._unconfirmed[missing:]:
            connection.send(message, payload)
