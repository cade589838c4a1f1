"""Diffs of contents."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.model.plan import Diff
from rolecall.plan.differences import declared_content, diff
from rolecall_agent.content import Blob, Secret, parts
from rolecall_agent.showing import describe

if TYPE_CHECKING:
    from rolecall_agent.protocol import Content

HIDDEN: Content = {"lines": [], "size": 0, "sha256": "", "why": "not every user can read it"}
HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


def applied(before: str, lines: tuple[str, ...]) -> str:
    """Return what patch(1) makes of a text."""
    old = re.findall(r"[^\n]*\n|[^\n]+", before)
    new: list[str] = []
    at = 0
    for index, line in enumerate(lines):
        end = "" if lines[index + 1 : index + 2] == ("\\ No newline at end of file",) else "\n"
        if found := HUNK.fullmatch(line):
            start = int(found[1]) - (found[2] != "0")
            new += old[at:start]
            at = start
        elif line[0] == "+":
            new.append(line[1:] + end)
        elif line[0] in " -":
            assert old[at] == line[1:] + end
            new += [old[at]] if line[0] == " " else []
            at += 1
    return "".join(new + old[at:])


@given(
    st.lists(st.sampled_from(["a", "b", "c", "", "-x", "+y", "@@"])),
    st.lists(st.sampled_from(["a", "b", "", "-x"])),
    st.booleans(),
)
def test_a_diff_leads_from_one_text_to_the_other(one: list[str], other: list[str], ended: bool) -> None:  # noqa: FBT001
    before, after = "\n".join(one), "\n".join(other) + ("\n" if ended else "")
    found = diff(describe(before.encode()), describe(after.encode()))
    assert applied(before, found.lines if found else ()) == after
    assert (found is None) == (before == after)


@pytest.mark.parametrize(
    ("before", "after", "note"),
    [
        (HIDDEN, describe(b"x\n"), "what is there is not shown: not every user can read it"),
        (declared_content(parts("x\\r\n")), declared_content(parts("x\r\n")), "4 bytes, SHA-256 "),
        (describe(b"x\n"), HIDDEN, "what comes back is not shown: not every user can read it"),
        (
            describe(b"\x00\x01"),
            describe(b"x\n"),
            "binary, 2 bytes, SHA-256 b413f47d13ee… → 2 bytes, SHA-256 73cb3858a687…",
        ),
        (None, describe(b"\x00\x01"), "nothing → binary, 2 bytes, SHA-256 b413f47d13ee…"),
        (describe(b"a\n" * 50_000), None, "100,000 bytes, SHA-256 "),
    ],
)
def test_what_is_no_text_is_described(before: Content | None, after: Content | None, note: str) -> None:
    found = diff(before, after)
    assert found
    assert (found.lines, found.note[: len(note)]) == ((), note)


def test_nothing_has_no_diff() -> None:
    assert diff(None, None) is None
    assert diff(describe(b"x"), describe(b"x")) is None


def test_another_value_of_a_secret_is_another_line() -> None:
    def of(version: str) -> Content | None:
        return declared_content(parts("pass = ", Secret("i.key", "pass", version), "\n"))

    assert diff(of("one" * 5), of("two" * 5)) == Diff(
        (
            "@@ -1 +1 @@",
            "-pass = <secret i.key/pass, version oneoneon>",
            "+pass = <secret i.key/pass, version twotwotw>",
        ),
        1,
        1,
    )


def test_control_characters_are_escaped_on_both_sides() -> None:
    content = declared_content(parts("\x1b[2J\n"))
    assert content
    assert content["lines"] == ["\\x1b[2J\n"]


def test_a_content_that_only_the_machine_has_is_not_taken_for_an_empty_one() -> None:
    assert declared_content((Blob("0" * 64),)) is None
