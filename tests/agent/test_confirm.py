"""The confirmation over a second connection, as `bootstrap` starts it: without the rest of the agent."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from agent_client import META, NearClient
from agent_world import STATE, make

from rolecall_agent import confirm, frames
from rolecall_agent.configuration import Configuration
from rolecall_agent.resources import File

if TYPE_CHECKING:
    from collections.abc import Iterator

NONCE = "n1"  # as the client says it


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """Return the root of a machine that waits for its confirmation."""
    root = make(tmp_path / "m")
    with NearClient(root) as client:
        client.open()
        client.switch(Configuration.of("m", [File("/etc/one", "1\n")]), confirm=True)
        yield root


def ask(root: Path, **message: str) -> dict[str, Any]:
    sink = io.BytesIO()
    status = confirm.serve({"type": "confirm", "agent": "", **message}, io.BytesIO(), sink, str(root))  # type: ignore[typeddict-item]
    frame = frames.read_frame(io.BytesIO(sink.getvalue()))
    assert frame
    assert status == (frame[0]["type"] == "failed")
    return frame[0]


def test_the_right_nonce_confirms(root: Path) -> None:
    assert ask(root, run=META["run"], nonce=NONCE) == {"type": "confirmed"}
    confirmed = root / STATE / "confirmed"
    assert json.loads(confirmed.read_text()) == NONCE
    assert confirmed.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("run", "nonce"), [("run-1", "guessed"), ("another", NONCE), ("run-1", "")])
def test_what_nobody_expects_is_refused(root: Path, run: str, nonce: str) -> None:
    assert f"no provisional switch of run {run}" in ask(root, run=run, nonce=nonce)["message"]
    assert not (root / STATE / "confirmed").exists()


@pytest.mark.parametrize(
    ("journal", "message"), [(None, "no provisional switch"), ("{", "is damaged"), ("[]", "no provisional switch")]
)
def test_a_journal_that_is_gone_or_damaged_confirms_nothing(root: Path, journal: str | None, message: str) -> None:
    path = root / STATE / "journal.json"
    whole = path.read_bytes()
    path.unlink()
    if journal is not None:
        path.write_text(journal)
    answer = ask(root, run=META["run"], nonce=NONCE)
    assert answer["type"] == "failed"
    assert message in answer["message"]
    path.write_bytes(whole)  # so that the client can undo


def test_it_imports_little() -> None:
    source = Path(confirm.__file__).parents[1]
    code = f"import sys; sys.path.insert(0, {str(source)!r}); import rolecall_agent.confirm; print(*sys.modules)"
    printed = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert not {"dataclasses", "subprocess", "rolecall_agent.resources"} & set(printed.stdout.split())


@pytest.mark.parametrize("reaches", [True, False])
def test_the_relay_of_root_confirms_without_an_agent(*, reaches: bool) -> None:
    """If it can reach systemd: otherwise, it leaves that to an agent, which cannot be started then."""
    code = f"""import sys; sys.path.insert(0, {str(Path(confirm.__file__).parents[1])!r})
from rolecall_agent import confirm, early
confirm.confirm = lambda root, run, nonce: print(root, run, nonce, file=sys.stderr)
early._reaches_systemd = lambda: {reaches}
early.answer("", "confirm")"""
    sent = frames.frame({"type": "alive"}) + frames.frame({"type": "confirm", "run": "r", "nonce": NONCE})
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], input=sent, capture_output=True, check=True)
    if not reaches:
        assert done.stdout + done.stderr == b""
        return
    banner, marker, answer = done.stdout.partition(frames.MARKER)
    assert (banner, marker) == (b"", frames.MARKER)
    assert frames.read_frame(io.BytesIO(answer)) == ({"type": "confirmed"}, b"")
    assert done.stderr == f"/ r {NONCE}\n".encode()
