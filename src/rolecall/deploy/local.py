"""The agent of a `dir:` target, which runs in this process: while it has nothing to do, it costs next to nothing."""

from __future__ import annotations

import contextlib
import json
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from rolecall.deploy.answers import decode
from rolecall.deploy.connection import AgentFailedError, as_step
from rolecall.errors import shown
from rolecall.files import make_local
from rolecall_agent import archive, bootstrap, frames, protocol
from rolecall_agent.conversation import Conversation
from rolecall_agent.wire import framed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Local:
    """A conversation with the agent of a directory; it has the methods of `Connection`.

    Args:
        root: The directory.
    """

    refused = would_ask = False

    def __init__(self, root: Path) -> None:
        with contextlib.suppress(OSError):  # the agent says what is wrong there
            make_local(root)  # it holds secrets, and may stand in the project
        self._root = str(root)
        self._busy = threading.RLock()  # after a second Ctrl-C, it is closed while it still works
        self._talk: Conversation | None = None
        self._pending: list[tuple[dict[str, Any], bytes]] = []
        self._answers: deque[dict[str, Any]] = deque()
        self._progress: Callable[[str], None] | None = None
        self._over: AgentFailedError | None = None

    def send(self, message: Any, payload: bytes = b"") -> None:  # noqa: ANN401 - any of the protocol's
        """Give the agent a message, which it answers at the next `receive`."""
        if self._over:
            raise self._over
        self._work()
        self._pending.append((json.loads(json.dumps(message)), payload))

    def receive(self, progress: Callable[[str], None] | None = None) -> dict[str, Any]:
        """Return the next answer, as `Connection.receive`."""
        self._progress = progress
        self._work()
        if not self._answers:
            raise self._over or self.refuse("it sends no answer")
        return self._answers.popleft()

    def refuse(self, problem: str) -> AgentFailedError:
        """End the conversation, and return the error to raise."""
        self.close(0)
        self._over = AgentFailedError(problem)
        return self._over

    def close(self, patience: float) -> None:  # noqa: ARG002 - it needs none
        """End the conversation; the agent undoes what is provisional."""
        with self._busy:
            talk, self._talk, self._pending = self._talk, None, []
            self._over = self._over or AgentFailedError("the session has ended")
            if talk:
                with contextlib.suppress(Exception):  # the journal is still there: the next conversation recovers
                    talk.end()

    def _work(self) -> None:
        """Let the agent answer what was sent."""
        with self._busy:
            while self._pending:
                message, payload = self._pending.pop(0)
                try:
                    if self._talk:
                        self._talk.answer(message, payload)
                    else:
                        self._begin(message)
                except frames.ProtocolError as error:
                    raise self.refuse(shown(str(error))) from None

    def _begin(self, first: dict[str, Any]) -> None:
        problem = bootstrap.obstacle(self._root)
        if not problem:
            _, problem = bootstrap.install(self._root, first["agent"], lambda: archive.build()[1])
        if problem:
            failed = {"message": problem, "restored": True, "detail": "", "locked": False, "damaged": []}
            self._answers.append({"type": "failed", **failed})
            return
        self._talk = Conversation(self._take, self._root)
        if not self._talk.begin(first):
            self.close(0)

    def _take(self, message: dict[str, Any]) -> None:
        """Take what the agent sends."""
        answer = json.loads(framed(message)[4:])
        if answer["type"] != "progress":
            self._answers.append(answer)
        elif self._progress:
            self._progress(as_step(decode(protocol.Progress, answer)))
