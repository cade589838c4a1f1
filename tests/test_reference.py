"""The reference pages are as the code is, and every field in them says what it means."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
REFERENCE: dict[str, Any] = runpy.run_path(str(ROOT / "script/reference.py"))
PAGES: dict[str, str] = REFERENCE["pages"]()


def test_the_pages_are_as_the_code_is() -> None:
    folder = ROOT / "docs/reference"
    written = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.md")}
    assert written == PAGES, "run script/reference"


@pytest.mark.parametrize("page", PAGES)
def test_every_field_says_what_it_means(page: str) -> None:
    rows = [line.split(" | ") for line in PAGES[page].splitlines() if line.startswith("| `")]
    assert len(rows) > 5
    assert [row[0] for row in rows if not row[-1].strip("| ")] == []
