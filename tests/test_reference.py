"""The generated pages of the reference are up to date, and describe every field."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
REFERENCE: dict[str, Any] = runpy.run_path(str(ROOT / "script/reference.py"))
PAGES: dict[str, str] = REFERENCE["pages"]()


def test_the_generated_pages_are_up_to_date() -> None:
    folder = ROOT / "docs/reference"
    pages = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.md")}
    generated = {path: text for path, text in pages.items() if REFERENCE["NOTE"] in text}
    assert generated == PAGES, "run script/reference"


@pytest.mark.parametrize("page", PAGES)
def test_every_field_is_described(page: str) -> None:
    rows = [line.split(" | ") for line in PAGES[page].splitlines() if line.startswith("| `")]
    assert len(rows) > 2
    assert [row[0] for row in rows if not row[-1].strip("| ")] == []
