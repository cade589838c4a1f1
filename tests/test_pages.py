"""The pages of the documentation as texts: their links, their lines, and the index. test_docs.py runs their blocks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GLOBS = ("*.md", "docs/**/*.md", "examples/**/*.md", "src/**/*.md")
PAGES = [str(page.relative_to(ROOT)) for glob in GLOBS for page in sorted(ROOT.glob(glob))]
WIDTH = 100

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


def links(page: Path) -> list[str]:
    """Return the targets of a page's links, without those to other sites."""
    text = CODE.sub("", FENCED.sub("", page.read_text()))
    return [target for target in LINK.findall(text) if not target.startswith("https://")]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = HEADING.findall(FENCED.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path) -> list[str]:
    """Return those of a page's links that lead nowhere."""
    found = []
    for target in links(page):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            found.append(target)
    return found


def too_long(text: str) -> list[str]:
    """Return the lines that could be wrapped; rows of tables cannot, nor a link that is longer than a line."""
    lines = [line for line in text.splitlines() if len(line) > WIDTH and not line.startswith("|")]
    return [line for line in lines if not re.fullmatch(r"\S*https?://\S+", line.strip())]


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    assert broken(ROOT / page) == []


@pytest.mark.parametrize("page", PAGES)
def test_no_line_is_too_long(page: str) -> None:
    assert too_long((ROOT / page).read_text()) == []


@pytest.mark.parametrize("page", PAGES)
def test_no_block_is_indented(page: str) -> None:
    """Blocks inside of list items would not run; `text` blocks do not run anyway."""
    assert [found for found in re.findall(r"^ +```(\w*)$", (ROOT / page).read_text(), re.MULTILINE) if found] in (
        [],
        ["text"],
    )


def test_the_index_has_every_page() -> None:
    """Pages of services are listed by reference/inventory.md, and records by decisions/README.md."""
    folders = {"decisions", "services"}
    pages = {page.resolve() for page in (ROOT / "docs").rglob("*.md") if page.parent.name not in folders}
    index = ROOT / "docs" / "README.md"
    listed = {(index.parent / link).resolve() for link in links(index)}
    assert pages - listed == {index}


def test_the_index_of_decisions_has_every_record() -> None:
    folder = ROOT / "docs" / "decisions"
    records = sorted(path for path in folder.glob("0*.md"))
    titles = [path.read_text().partition("\n")[0].removeprefix("# ").replace(": ", " ", 1) for path in records]
    index = re.findall(r"^- \[(.+)\]\((.+)\)$", (folder / "README.md").read_text(), re.MULTILINE)
    assert index == [(title, path.name) for title, path in zip(titles, records, strict=True)]


def test_every_page_that_the_code_names_exists() -> None:
    named = {
        (str(file.relative_to(ROOT)), name)
        for folder in ("src", "script", "tests", "benchmarks")
        for file in sorted((ROOT / folder).rglob("*"))
        if file.is_file() and file.suffix != ".pyc"
        for name in re.findall(r"\bdocs/[\w/-]+\.md\b", file.read_text(errors="replace"))
    }
    assert len(named) > 5
    assert [(file, name) for file, name in named if not (ROOT / name).exists()] == []


def test_what_these_tests_find(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A `b`: c-d\n\n[1](#a-b-c-d) [2](#e) [3](page.md#a-b-c-d) [4](none.md) `[5](x.md)`\n")
    assert anchors(page) == {"a-b-c-d"}
    assert broken(page) == ["#e", "none.md"]
    assert too_long(f"{'x' * 101}\n| {'x' * 101}\nhttps://{'x' * 101}\n{'x' * 100}\n") == ["x" * 101]
