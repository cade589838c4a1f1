"""Each row of the table in docs/reference/clan.md: its inventory is evaluated, and does what the row shows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import services
from rolecall import pipeline
from rolecall.errors import Faults
from rolecall.project import Project

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "clan.md"
ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split(" | "))
    for line in PAGE.read_text().partition("## Differences")[2].splitlines()
    if line.startswith("| `")
]


def test_the_table_is_read_whole() -> None:
    assert len(ROWS) >= 30
    for word in ("zerotier", "destinations"):  # what a Clan is likely to have
        assert any(word in row[0] and word in row[2] for row in ROWS)
    assert {len(row) for row in ROWS} == {4}
    assert len({row[0] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=[row[0][1:60] for row in ROWS])
def test_rolecall_does_what_a_row_says(row: tuple[str, ...], tmp_path: Path) -> None:
    text, _, message, _ = row
    for name in ("svc", "me-svc"):
        services.install(tmp_path, "kept_settings", ('"svc"', f'"{name}"'), module=name)
    (tmp_path / "clan.nix").write_text(f"{{ self, inputs, lib, ... }}: {{ {text.strip('`')} }}")
    expected = message.strip("`")
    if expected.startswith(("error: ", "warning: ")):
        assert [expected] == outcome(Project(tmp_path))
        return
    path, _, value = expected.partition(" = ")
    members = pipeline.Workspace(Project(tmp_path)).check()
    assert not members.warnings
    found: Any = pipeline.as_json(members)
    for key in path.split("."):
        found = found[key]
    found = sorted(found) if value.startswith("[") and isinstance(found, dict) else found
    assert json.dumps(found) == value


def outcome(project: Project) -> list[str]:
    """What `check` says is wrong, or where nothing is, what it warns of; in the quotes of the page."""
    try:
        faults = pipeline.Workspace(project).check().warnings
    except Faults as error:
        faults = error.faults
    return [re.sub("`", "'", str(fault).splitlines()[0]) for fault in faults]
