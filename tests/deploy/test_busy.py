"""A machine or jump host that is too busy to let us in (MaxStartups of sshd_config(5)) is tried again."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest
from speaking import speaking

from rolecall.deploy import session as sessions
from rolecall.deploy.connection import AgentFailedError, UnreachableError
from rolecall.deploy.session import ATTEMPTS, Session
from rolecall_agent import archive

if TYPE_CHECKING:
    from pathlib import Path

REFUSALS = [
    "kex_exchange_identification: Connection closed by remote host\nConnection closed by UNKNOWN port 65535",
    "kex_exchange_identification: read: Connection reset by peer",
    "ssh_exchange_identification: Connection closed by remote host",
    "Connection closed by 10.0.0.1 port 22",
]
# Refuses so many times, then starts the agent of a directory.
DOOR = """
if [ "$(cat "$1/tries" 2>/dev/null | wc -l)" -lt "$2" ]; then
    echo >>"$1/tries"
    echo "$3" >&2
    exit "$4"
fi
shift 4
exec "$@"
"""


DENIED = "root@eve: Permission denied (publickey)."


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return how long is waited before each further attempt; the test does not wait."""
    waits: list[float] = []
    monkeypatch.setattr(sessions, "sleep", waits.append)
    return waits


def behind(folder: Path, times: int, refusal: str, status: int = 255, *, early: bool = False) -> Session:
    agent = archive.command(str(folder / "eve"), sys.executable)
    door = speaking(["sh", "-c", DOOR, "sh", str(folder), str(times), refusal, str(status), *agent])
    return Session(door, early=early)


@pytest.mark.parametrize(
    "refusal", [REFUSALS[0], *(pytest.param(each, marks=pytest.mark.slow) for each in REFUSALS[1:])]
)
def test_a_connection_that_is_refused_is_tried_again(tmp_path: Path, waits: list[float], refusal: str) -> None:
    with behind(tmp_path, 3, refusal) as session:
        assert session.open(None)["machine"] == "eve"
    assert len(waits) == 3
    assert 0.2 <= waits[0] <= 1
    assert 0.8 <= waits[2] <= 4


def test_it_is_not_tried_for_ever(tmp_path: Path, waits: list[float]) -> None:
    with behind(tmp_path, 1000, REFUSALS[1]) as session, pytest.raises(AgentFailedError, match="reset by peer"):
        session.open(None)
    assert len(waits) == ATTEMPTS - 1
    assert sum(waits) < 60


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (DENIED, 255),
        ("ssh: connect to host eve port 22: Connection refused", 255),
        ("Host key verification failed.", 255),
        (REFUSALS[0], 1),
    ],
)
def test_other_failures_are_final(tmp_path: Path, waits: list[float], refusal: str, status: int) -> None:
    with behind(tmp_path, 1000, refusal, status) as session, pytest.raises(AgentFailedError):
        session.open(None)
    assert not waits


@pytest.mark.slow
def test_an_early_session_that_may_not_ask_for_a_passphrase_is_followed_by_one_that_may(
    tmp_path: Path, waits: list[float]
) -> None:
    with behind(tmp_path, 1, DENIED, early=True) as session:
        assert session.open(None)["machine"] == "eve"
    assert not waits
    with behind(tmp_path, 1000, DENIED, early=True) as session, pytest.raises(AgentFailedError, match="denied"):
        session.open(None)


@pytest.mark.parametrize(
    ("cause", "after"),
    [
        ("ssh: connect to host jump port 22: Connection refused", REFUSALS[0]),
        ("channel 0: open failed: connect failed: No route to host", f"stdio forwarding failed\n{REFUSALS[0]}"),
    ],
)
def test_a_jump_host_that_is_down_is_not_busy(tmp_path: Path, waits: list[float], cause: str, after: str) -> None:
    with (
        pytest.raises(UnreachableError, match=f"^{re.escape(cause)}$"),
        behind(tmp_path, 99, f"{cause}\n{after}") as session,
    ):
        session.open(None)
    assert waits == []
