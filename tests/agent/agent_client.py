"""Small controllers: one conversation with an agent, over real pipes or in this process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import deque
from typing import TYPE_CHECKING, Any

from agent_world import STATE

from rolecall_agent import archive, frames
from rolecall_agent.conversation import Conversation
from rolecall_agent.wire import framed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from typing import Self

    from rolecall_agent.configuration import Configuration

NO_PROVENANCE: dict[str, Any] = {"inputs": {}, "origins": {}}
META = {"run": "run-1", "user": "tester", "commit": "", "at": "2026-01-01T00:00:00Z", "back": None}


class Refused(Exception):  # noqa: N818
    def __init__(self, message: dict[str, Any]) -> None:
        super().__init__(message["message"])
        self.failed = message


class Client:
    """The agent runs in a process of its own, which the bootstrap starts."""

    provenance = NO_PROVENANCE

    def __init__(self, root: Path, python: str = sys.executable, before: str = "") -> None:
        argv = archive.command(str(root), python)
        if before:
            argv = ["sh", "-c", f'{before}; exec "$@"', "sh", *argv]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.progress: list[dict[str, Any]] = []
        self.agent_sent = False
        self.began = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()

    def send(self, message: dict[str, Any], payload: bytes = b"") -> None:
        frames.write_frame(self.process.stdin, message, payload)  # type: ignore[arg-type]

    def read(self) -> dict[str, Any] | None:
        if not self.began:
            frames.skip_banner(self.process.stdout)  # type: ignore[arg-type]
            self.began = True
        frame = frames.read_frame(self.process.stdout)  # type: ignore[arg-type]
        return frame[0] if frame else None

    def receive(self) -> dict[str, Any]:
        while message := self.read():
            if message["type"] == "alive":
                continue
            if message["type"] == "progress":
                self.progress.append(message)
                continue
            if message["type"] == "failed":
                raise Refused(message)
            return message
        raise EOFError

    def ask(self, **message: object) -> dict[str, Any]:
        self.send(message)
        return self.receive()

    def open(self, expect: str | None = None, patience: float = 5) -> dict[str, Any]:
        who = {"machine": "m", "user": "tester", "patience": patience}
        return self.first(type="open", protocol=frames.PROTOCOL, formerly=[], expect=expect, **who)

    def first(self, **message: object) -> dict[str, Any]:
        digest, packed = archive.build()
        answer = self.ask(agent=digest, **message)
        if answer["type"] == "need-agent":
            self.agent_sent = True
            self.send({"type": "agent"}, packed)
            answer = self.receive()
        return answer

    def compare(self, configuration: Configuration) -> dict[str, Any]:
        self.configuration = configuration
        return self.ask(type="compare", configuration=configuration.as_json())

    def stage(self, comparison: str, secrets: Mapping[str, bytes], skip: Sequence[str] = ()) -> dict[str, Any]:
        what = {"meta": META, "provenance": self.provenance, "skip": list(skip)}
        need = self.ask(type="stage", comparison=comparison, **what)
        blobs = {blob.sha256: blob.data for blob in self.configuration.blobs}
        for sha256 in need["blobs"]:
            self.send({"type": "blob", "sha256": sha256}, blobs[sha256] or b"")
        for name, file, version in need["secrets"]:
            self.send({"type": "secret", "name": name, "file": file, "version": version}, secrets[version])
        assert self.ask(type="verify") == {"type": "staged"}
        return need

    def switch(
        self,
        configuration: Configuration,
        secrets: Mapping[str, bytes] | None = None,
        *,
        confirm: bool = False,
        skip: Sequence[str] = (),
    ) -> dict[str, Any]:
        self.stage(self.compare(configuration)["digest"], secrets or {}, skip)
        return self.ask(type="switch", nonce="n1", confirm=confirm, reboot="planned")

    def commit(self) -> int:
        assert self.ask(type="decide") == {"type": "decided"}
        number: int = self.ask(type="commit")["number"]
        return number


class NearClient(Client):
    """The agent runs in this process: it answers the same, in a tenth of the time, but no bootstrap takes part."""

    def __init__(self, root: Path) -> None:
        (root / STATE / "agent").mkdir(parents=True, exist_ok=True)
        self.talk = Conversation(lambda message: self.answers.append(framed(message)), str(root))
        self.answers: deque[bytes] = deque()
        self.progress = []
        self.began = False

    def __exit__(self, *_: object) -> None:
        self.talk.end()

    def send(self, message: dict[str, Any], payload: bytes = b"") -> None:
        message = json.loads(json.dumps(message))
        if self.began:
            self.talk.answer(message, payload)
        else:
            self.began = True
            self.talk.begin(message)

    def read(self) -> dict[str, Any] | None:
        return json.loads(self.answers.popleft()[4:]) if self.answers else None


def update(
    root: Path,
    configuration: Configuration,
    secrets: Mapping[str, bytes] | None = None,
    client_type: Callable[[Path], Client] = NearClient,
) -> int:
    with client_type(root) as client:
        client.open()
        client.switch(configuration, secrets)
        return client.commit()
