"""Progress on a terminal: rows that change in place, and give the terminal back. Elsewhere: lines."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

import services

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run

INVENTORY = """
[machines.a]
deploy.targetHost = "dir:targets/a"
[machines.b]
deploy.targetHost = "dir:targets/b"
[instances.p]
module = {name = "page", input = "self"}
roles.server.tags.all.settings.text = "x"
"""


@pytest.fixture
def project(run: Run, tmp_path: Path) -> Path:
    services.install(tmp_path, "page")
    (tmp_path / "inventory.toml").write_text(INVENTORY)
    assert run("keys", "create", "me")[0] == 0
    return tmp_path


def on_terminal(project: Path, *words: str, term: str = "xterm") -> tuple[int, str]:
    """Run the program with a terminal as its standard error; return its status, and what that terminal got."""
    main, side = pty.openpty()
    os.set_blocking(main, True)
    process = subprocess.Popen(
        [sys.executable, "-m", "rolecall", *words],
        cwd=project,
        env={**os.environ, "TERM": term},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=side,
    )
    os.close(side)
    got: list[bytes] = []

    def read() -> None:
        try:
            while data := os.read(main, 65536):
                got.append(data)
        except OSError:  # the other side is closed
            pass

    reader = threading.Thread(target=read)
    reader.start()
    process.communicate(timeout=60)
    reader.join(10)
    os.close(main)
    return process.returncode, b"".join(got).decode()


def test_rows_end_with_what_became_of_each_machine(project: Path) -> None:
    status, shown = on_terminal(project, "update", "--yes")
    assert status == 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    assert re.findall(r"([ab]) +generation 1 committed", text)[-2:] == ["a", "b"]  # as they stay on the terminal
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is visible again


@pytest.mark.parametrize(("words", "term"), [(("--verbose",), "xterm"), ((), "dumb")])
def test_lines_where_rows_are_not_wanted(project: Path, words: tuple[str, ...], term: str) -> None:
    status, shown = on_terminal(project, "update", "--yes", *words, term=term)
    assert status == 0
    assert re.search(r"^\[ +[0-9.]+ s\] a: generation 1 committed\r$", shown, re.MULTILINE)
    assert "\x1b[?25l" not in shown


def test_json_has_no_progress(project: Path) -> None:
    assert on_terminal(project, "update", "--yes", "--json") == (0, "")
