"""A machine that answers whatever it likes, or not at all: one fault of this machine, and nothing else."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from speaking import speaking

from rolecall.deploy import connection
from rolecall.deploy.connection import AgentFailedError
from rolecall.deploy.fleet import Fleet
from rolecall.deploy.machine import MachineUpdate
from rolecall.deploy.session import Session
from rolecall.errors import TEXT
from rolecall_agent import frames
from rolecall_agent.configuration import Configuration
from rolecall_agent.resources import File

if TYPE_CHECKING:
    from pathlib import Path

    from rolecall.deploy.target import Target

pytestmark = pytest.mark.slow

STATE = {"type": "state", "machine": "eve", "same": False, "current": None, "drift": [], "recovered": None}
STATE |= {"agent_python": "3.11.2", "os": {"ID": "debian"}}
GENERATION = {"run": "r", "user": "u", "commit": "", "at": "", "number": 1, "digest": "", "back": None}
COMPARISON = {"type": "comparison", "changes": [], "restarts": [], "digest": "d"}
FAILED = {"type": "failed", "message": "no", "restored": True, "detail": "", "locked": False, "damaged": []}
PROGRESS = {"type": "progress", "step": "file", "detail": "/etc/motd"}

# Answers each frame with a file of bytes, the last one again and again.
PROGRAM = """
import itertools, sys
from rolecall_agent import frames
sys.stdout.buffer.write(frames.MARKER)
for path in itertools.chain(sys.argv[1:], itertools.repeat(sys.argv[-1])):
    while (frame := frames.read_frame(sys.stdin.buffer)) and frame[0]["type"] == "alive":
        pass
    if not frame:
        break
    with open(path, "rb") as file:
        sys.stdout.buffer.write(file.read())
        sys.stdout.buffer.flush()
"""


def framed(text: bytes) -> bytes:
    return len(text).to_bytes(4, "big") + text


def frame(message: object) -> bytes:
    return framed(json.dumps(message).encode())


def answering(folder: Path, *answers: bytes) -> Target:
    paths = [folder / f"answer-{number}" for number in range(len(answers))]
    for path, answer in zip(paths, answers, strict=True):
        path.write_bytes(answer)
    return speaking([sys.executable, "-c", PROGRAM, *map(str, paths)])


def without(message: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name != key}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (frame(without(STATE, "machine")), "invalid answer: machine is missing"),
        (frame(without(FAILED, "detail")), "invalid answer: detail is missing"),
        (frame({**STATE, "same": 1}), "invalid answer: same is invalid"),
        (frame({**STATE, "machine": ["eve"]}), "invalid answer: machine is invalid"),
        (frame({**STATE, "current": "1"}), "invalid answer: current is invalid"),
        (frame({**STATE, "current": {**GENERATION, "number": True}}), "invalid answer: current.number is invalid"),
        (frame({**STATE, "current": {**GENERATION, "number": -1}}), "invalid answer: current.number is invalid"),
        (frame({**STATE, "current": {**GENERATION, "number": 10**30}}), "invalid answer: current.number is invalid"),
        (frame({**STATE, "drift": [{"key": "file:/x"}]}), "invalid answer: drift[0].reason is missing"),
        (frame({**STATE, "os": {"\x1b[2J": 1}}), r"invalid answer: os.\x1b[2J is invalid"),
        (frame({**STATE, "recovered": "maybe"}), "invalid answer: recovered is invalid"),
        (frame({**FAILED, "damaged": [{}]}), "invalid answer: damaged[0].key is missing"),
        (frame(COMPARISON), "invalid answer: 'comparison' instead of 'state'"),
        (frame({"type": "\x1b[2J" * TEXT}), "invalid answer: '"),
        (frame({**STATE, "payload": 900 << 20}), "invalid frame: a payload of 943718400 bytes"),
        (frame({**STATE, "payload": True}), "invalid frame: a payload of True bytes"),
        (frame([]), "invalid frame: no type"),
        (frame({"type": 1}), "invalid frame: no type"),
        (framed(b'{"type": ' + b"[" * 200_000), "invalid frame: not JSON"),
        (framed(b'{"type": "state", "drift": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"), "invalid frame: not JSON"),
        (framed(b'{"type": ' + b"1" * 10_000 + b"}"), "invalid frame: not JSON"),
        (framed(b"\xff\xfe"), "invalid frame: not JSON"),
        (framed(b" " * (60 << 20)), "a message of 62,914,560 bytes is too large: the limit is 1,048,576"),
        (b"\xff\xff\xff\xff", "a message of 4,294,967,295 bytes is too large: the limit is 1,048,576"),
        (b"GET ", "a message of 1,195,725,856 bytes is too large"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_an_invalid_answer_is_an_error(tmp_path: Path, answer: bytes, message: str) -> None:
    with Session(answering(tmp_path, answer)) as session:
        with pytest.raises(AgentFailedError) as caught:
            session.open(None)
        assert str(caught.value).startswith(message)
        assert len(str(caught.value)) < TEXT * 5
        with pytest.raises(AgentFailedError):
            session.open(None)


@pytest.mark.parametrize(
    ("comparison", "message"),
    [
        ({"changes": [{"key": "file:/x", "action": "burn", "detail": ""}]}, "changes[0].action is invalid"),
        ({"changes": {"key": "file:/x"}}, "changes is invalid"),
        ({"restarts": [{"name": "a.service", "verb": "kill", "also": []}]}, "restarts[0].verb is invalid"),
        ({"restarts": [{"name": "a.service", "verb": ["stop"], "also": []}]}, "restarts[0].verb is invalid"),
    ],
)
def test_an_invalid_comparison_is_a_failure_of_its_machine_alone(
    tmp_path: Path, comparison: dict[str, object], message: str
) -> None:
    configuration = Configuration.of("eve", (File("/x", "x"),))
    honest = answering(tmp_path, frame(STATE), frame(COMPARISON))
    hostile = answering(tmp_path, frame(STATE), frame({**COMPARISON, **comparison}))
    updates = [MachineUpdate([target], 0, configuration, {}) for target in (hostile, honest)]
    with Fleet(updates, lambda *_: None) as fleet:
        assert {each.plan.failure for each in fleet.look()} <= {"", f"invalid answer: {message}"}


def test_long_texts_are_shown_shortened(tmp_path: Path) -> None:
    answer = frame({**FAILED, "message": "m" * 100_000, "detail": "\x1b" * 100_000})
    with Session(answering(tmp_path, answer)) as session, pytest.raises(AgentFailedError) as caught:
        session.open(None)
    assert str(caught.value) == "m" * TEXT + "… (100,000 characters)"
    assert caught.value.detail.startswith(r"\x1b\x1b")
    assert len(caught.value.detail) < TEXT * 5


@pytest.mark.parametrize("sent", [PROGRESS, {"type": "alive"}])
def test_endless_progress_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: dict[str, Any]) -> None:
    monkeypatch.setattr(connection, "FRAMES", 1000)
    with (
        Session(answering(tmp_path, frame(sent) * 2000)) as session,
        pytest.raises(AgentFailedError, match="progress without end"),
    ):
        session.open(None)


def test_silence_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "SILENCE", 0.1)
    for answer in (b"", frame(STATE)[:-1]):
        with Session(answering(tmp_path, answer)) as session, pytest.raises(AgentFailedError, match="no sign of life"):
            session.open(None)


def test_signs_of_life_do_not_delay_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "ANSWER", 0.1)
    with (
        Session(answering(tmp_path, frame({"type": "alive"}))) as session,
        pytest.raises(AgentFailedError, match=r"no sign of life|no answer"),
    ):
        session.open(None)


def test_a_machine_that_reads_nothing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "SILENCE", 0.1)
    configuration = Configuration.of("eve", (File("/x", "x" * (1 << 20)),))
    message = {"type": "compare", "configuration": {**configuration.as_json(), "more": "x" * (1 << 20)}}
    with (
        Session(speaking(["sleep", "infinity"])) as session,
        pytest.raises(AgentFailedError, match="has read nothing"),
    ):
        session.connection.send(message)


@pytest.mark.parametrize("program", [["sleep", "infinity"], ["sh", "-c", "yes >&2"]])
def test_a_login_that_does_not_start_the_agent_is_explained(
    monkeypatch: pytest.MonkeyPatch, program: list[str]
) -> None:
    monkeypatch.setattr(connection, "LOGIN", 0.1)
    with Session(speaking(program)) as session, pytest.raises(AgentFailedError) as caught:
        session.open(None)
    assert "did not start within" in str(caught.value)
    assert "`exec fish`, `screen`, `tmux`" in str(caught.value)
    assert len(caught.value.detail) <= connection.TAIL


def test_a_login_shell_that_ends_is_explained() -> None:
    with Session(speaking(["false"])) as session, pytest.raises(AgentFailedError) as caught:
        session.open(None)
    assert str(caught.value) == (
        "its login shell ended with status 1 and did not start the agent; set one that can run commands: `chsh`"
    )


def test_messages_that_are_too_large_are_not_sent() -> None:
    with pytest.raises(frames.ProtocolError, match="too large"):
        frames.frame({"type": "x" * 100}, limit=100)
