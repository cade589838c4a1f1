"""A command for `rolecall run`, as a machine runs it: its output and status, and its end with the connection."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rolecall_agent import supervisor
from rolecall_agent.supervisor import BEGIN, END

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="it becomes root by sudo, which a test must not")

SOURCE = Path(supervisor.__file__).read_text().replace("GRACE = 5.0", "GRACE = 0.2")


def begin(*words: str) -> subprocess.Popen[bytes]:
    argv, pipe = [sys.executable, "-ISc", SOURCE, *words], subprocess.PIPE
    return subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe)


@pytest.mark.parametrize(
    ("words", "output", "status"),
    [
        (["sh", "-c", "echo a; echo b >&2; exit 3"], b"a\nb\n", 3),
        (["sh", "-c", "kill -15 $$"], b"", 143),
        (["cat"], b"", 0),
        (["/nowhere/x"], b"/nowhere/x: No such file or directory\n", 127),
        (["/etc/passwd"], b"/etc/passwd: Permission denied\n", 126),
        (["printf", "%s", "\udcff'\"\n"], b"\xff'\"\n", 0),
    ],
)
def test_what_it_reports(words: list[str], output: bytes, status: int) -> None:
    with begin(*words) as command:
        assert command.stdout
        assert command.stderr
        printed, errors = command.stdout.read(), command.stderr.read()  # its input stays open, as a connection does
    assert (printed, errors, command.returncode) == (BEGIN + output, END + str(status).encode(), status)


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("echo; sleep 1000", 143),
        ("trap 'exit 7' TERM; echo; sleep 1000 & wait", 7),
        ("trap '' TERM; echo; while :; do sleep 0.1; done", 137),
    ],
)
def test_it_ends_the_command_with_the_connection(script: str, status: int) -> None:
    command = begin("sh", "-c", script)
    assert command.stdout
    assert command.stdout.readline() == BEGIN + b"\n"
    began = time.monotonic()
    _, errors = command.communicate(timeout=30)  # which closes its input
    assert (errors, command.returncode) == (END + str(status).encode(), status)
    assert time.monotonic() - began < 5
