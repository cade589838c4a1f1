"""Makes `agent_client` and `agent_world` importable for the agent's tests, and disables fsync."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable fsync in this process: tests here do not lose power."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture(autouse=True)
def _closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Close the folders of machines that a test has left open, as killed agents do: thousands of them add up."""
    folder, base = Path("/proc/self/fd"), tmp_path_factory.getbasetemp()
    before = {path.name for path in folder.iterdir()}
    yield
    for path in list(folder.iterdir()):
        with suppress(OSError):  # that of the listing itself
            if path.name not in before and path.readlink().is_relative_to(base):
                os.close(int(path.name))
