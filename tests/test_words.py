"""Messages are plain English: patterns that are hard to read do not come back."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SRC = Path(__file__).parent.parent / "src"

# What does not belong in a message, and why, or what to write instead.
FORBIDDEN = {
    r"\b(is|are) (no|none)\b(?! (longer|more))": "archaic: 'is not a …', or better 'invalid …', '… not found'",
    r"\bthere (is|are) no\b": "name the object first: '… does not exist', 'no … named …'",
    r"\b(nobody|somebody|whoever|who has|who had)\b": "name the user, the machine or the program",
    r"\b(is|are|was|were|been|not) (said|told|heard|asked|spoken)\b": "data is set, read, passed or reported",
    r"\b(say|says|tell|tells|speaks?)\b": "files have values, programs report them; people speak",
    r"\b(stand|stands)\b": "a value 'is' in a file, or is 'set' there",
    r"\b(anew|besides|save that|of a sudden|for the rest|in silence|without a word)\b": "archaic or idiomatic",
    r"\b(lets? go of|takes? along|brought to an end)\b": "use one verb: remove, keep, finish",
    r"\b(by which|of which|which others)\b": "two sentences are easier to read",
    r"\b(exists|is there|there) already\b": "'already exists'",
    r"\bof the name\b": "'named …'",
    r"\bthere are: ": "'available …: '",
    r" .*[^.]\.$": "messages and hints have no full stop",
}

CALLS = re.compile(r"(\w*[fF]aults?|\w+Error|SystemExit|beyond|nearest|sentences|ignore_faults)")
NAMES = re.compile(r"_*(hint|hints|message|messages|reason)", re.IGNORECASE)


def units() -> list[str]:
    paths = [*(SRC / "rolecall").iterdir(), SRC / "rolecall_agent", *(SRC / "rolecall_services").iterdir()]
    return sorted(str(path.relative_to(SRC)) for path in paths if path.is_dir() or path.suffix == ".py")


def messages(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the texts that are arguments of faults and errors, or hints, with `…` for their computed parts."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(name) | ast.Attribute(attr=name)) if CALLS.fullmatch(name):
                yield from texts(node)
            case ast.keyword(arg=str(name), value=value) if NAMES.fullmatch(name):
                yield from texts(value)
            case ast.Assign(targets=targets, value=value) if any(map(names_message, targets)):
                yield from texts(value)
            case ast.AnnAssign(target=target, value=ast.expr() as value) if names_message(target):
                yield from texts(value)


def names_message(target: ast.expr) -> bool:
    return any(isinstance(node, ast.Name) and NAMES.fullmatch(node.id) for node in ast.walk(target))


def texts(node: ast.AST) -> Iterator[tuple[int, str]]:
    match node:
        case ast.JoinedStr(values=values):
            yield node.lineno, "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in values)
        case ast.Constant(value=str(text)):
            yield node.lineno, text
    if not isinstance(node, ast.JoinedStr):
        for child in ast.iter_child_nodes(node):
            yield from texts(child)


@pytest.mark.parametrize("unit", units())
def test_messages_are_plain_english(unit: str) -> None:
    path = SRC / unit
    wrong = [
        f"{file.relative_to(SRC)}:{line}: {text!r} has {found[0]!r}: {reason}"
        for file in sorted(path.rglob("*.py") if path.is_dir() else [path])
        if "tests" not in file.parts
        for line, text in sorted(set(messages(ast.parse(file.read_text()))))
        for pattern, reason in FORBIDDEN.items()
        if (found := re.search(pattern, text, re.IGNORECASE))
    ]
    assert not wrong, "\n".join(wrong)


def test_the_messages_of_faults_errors_and_hints_are_found() -> None:
    code = """
hint = f"a {b} c" if d else "e"
raise Faults([Fault("f", hint="g")])
raise AgentFailedError("h" + i)
self.fault("j", offset)
k = "l"
"""
    assert sorted({text for _, text in messages(ast.parse(code))}) == ["a … c", "e", "f", "g", "h", "j"]
