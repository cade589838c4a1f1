"""How faults look."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.errors import Fault, Faults, Where, dotted, fault, nearest, raised_at, sentences, undotted


@pytest.mark.parametrize(
    ("where", "text"),
    [
        (Where(), ""),
        (Where(Path("a.toml")), "a.toml"),
        (Where(Path("a.toml"), line=3), "a.toml:3"),
        (Where(Path("a.toml"), ("x", "y"), 3, 4), "a.toml:3:4 x.y"),
        (Where(keys=("x", 0, "y z")), 'x[0]."y z"'),
    ],
)
def test_places(where: Where, text: str) -> None:
    assert str(where) == text


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ((), ""),
        (("a", "b-c_d", 0, 1), "a.b-c_d[0][1]"),
        ((0,), "[0]"),
        (("a.b", "", "ü", "x\ny"), '"a.b"."".ü."x\\ny"'),
    ],
)
def test_key_paths(keys: tuple[str | int, ...], text: str) -> None:
    assert dotted(keys) == text


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5) | st.integers(0, 99)))
def test_a_key_path_can_be_read_again(keys: list[str | int]) -> None:
    assert undotted(dotted(keys)) == tuple(keys)


def test_a_key_path_as_a_person_writes_it() -> None:
    assert undotted('ä.b-c."ü.\u00e4"[0].d') == ("ä", "b-c", "ü.ä", 0, "d")


@pytest.mark.parametrize("text", ["a..b", ".a", "a.", "a[", "a[x]", "a.[0]", 'a"b"', 'a."b', r'a."\x4"', "[0]a"])
def test_invalid_key_paths(text: str) -> None:
    with pytest.raises(Faults, match="invalid path"):
        undotted(text)


def test_a_fault_is_up_to_three_lines() -> None:
    assert str(Fault("it is wrong")) == "error: it is wrong"
    whole = Fault("it is odd", Where(keys=("a",)), "look", warning=True)
    assert str(whole) == "warning: it is odd\n  at a\nhint: look"


def test_nothing_in_a_fault_steers_the_terminal_or_adds_a_line() -> None:
    fault = Fault("a\x1b[2J\nerror: b", Where(Path("x\ny")), "one\ntwo\r")
    assert str(fault) == "error: a\\x1b[2J\\nerror: b\n  at x\\ny\nhint: one\ntwo\\r"


def test_as_json() -> None:
    assert Fault("m").as_json() == {
        "level": "error", "message": "m", "file": None, "line": None, "column": None, "path": [], "hint": None,
    }  # fmt: skip
    placed = Fault("m", Where(Path("a"), ("k", 0), 1, 2), "h", warning=True).as_json()
    assert placed == {
        "level": "warning", "message": "m", "file": "a", "line": 1, "column": 2, "path": ["k", 0], "hint": "h",
    }  # fmt: skip


def test_several_faults_are_reported_together() -> None:
    assert str(Faults([Fault("a"), Fault("b", hint="c")])) == "error: a\nerror: b\nhint: c"
    assert fault("a", hint="b").faults == (Fault("a", hint="b"),)


def test_the_nearest_name() -> None:
    assert nearest("jno", ["jon", "sara"], what="machines") == "did you mean 'jon'?"
    assert nearest("x", ["b", "a"], what="machines") == "available machines: a, b"
    assert nearest("x", [], what="machines") == "no machines exist"
    many = nearest("x", [f"m{number:02}" for number in range(12)], what="tags")
    assert many.endswith("m09, … (12 in all)")


def test_hints_are_joined_as_sentences() -> None:
    assert sentences("did you mean 'a'?", "Or b") == "did you mean 'a'? Or b"
    assert sentences("there are: a", "Or b") == "there are: a. Or b"


def test_the_place_in_an_authors_code() -> None:
    def theirs() -> None:
        Path("/nonexistent/file").read_text()

    with pytest.raises(OSError, match="nonexistent") as caught:
        theirs()
    line = theirs.__code__.co_firstlineno + 1
    assert raised_at(caught.value) == f"{__file__}:{line}"
    assert raised_at(ValueError("never raised")) == ""
    with pytest.raises(SyntaxError) as wrong:
        compile("x = \n", "/their/module.py", "exec")
    assert raised_at(wrong.value) == "/their/module.py:1"
