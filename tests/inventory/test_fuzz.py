"""Coverage-guided fuzzing of every reader, for as many runs as fit the tests; `fuzz.py` runs longer by hand."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not find_spec("atheris"), reason="needs atheris, which has no wheel for this Python"),
]


@pytest.mark.parametrize("name", ["inventory.toml", "inventory.yaml", "inventory.json", "inventory.nix"])
def test_a_reader_survives(name: str, tmp_path: Path) -> None:
    fuzz = [sys.executable, str(Path(__file__).with_name("fuzz.py")), name, "1500", "7"]
    done = subprocess.run(
        fuzz, env={"TMPDIR": str(tmp_path), "PATH": ""}, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "stat::number_of_executed_units: 15" in done.stderr
