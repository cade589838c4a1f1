"""The program, run in a folder of its own."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import pytest

from rolecall.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The program in a folder of its own, with its arguments: exit status, output, errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO())  # nobody answers
    monkeypatch.setenv("ROLECALL_IDENTITY", str(tmp_path / "identity"))

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rolecall", *words])
        status = 0
        try:
            main()
        except SystemExit as ended:
            status = int(ended.code or 0)
        except KeyboardInterrupt:
            status = 130  # see rolecall.__main__
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return status, out, err

    return call
