"""What the agent's tests share: `agent_client` and `agent_world`, importable; and no waiting for disks."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process alone: nothing here loses power."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
