"""Makes `agent_client` and `agent_world` importable for the agent's tests, and disables fsync."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable fsync in this process: tests here do not lose power."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
