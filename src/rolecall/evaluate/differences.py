"""The differences between two definitions of one resource, in words; of a secret only its name."""

from __future__ import annotations

from dataclasses import fields
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from rolecall_agent.content import Blob, Secret

if TYPE_CHECKING:
    from rolecall_agent.configuration import Check, Health
    from rolecall_agent.resources import Resource

_UNITED = {"groups"}  # of two definitions of a user they never exclude each other
_WIDTH = 50  # of a value in a message
_BEFORE = 15  # signs shown before the first that differs


def difference(one: Resource | Check | Health, other: Resource | Check | Health) -> str:
    """Return the fields in which two definitions of a kind differ, with both values: ``mode 0644 and 0600``."""
    values = ((field.name, getattr(one, field.name), getattr(other, field.name)) for field in fields(one))
    differing = ((name, *both) for name, *both in values if name not in _UNITED and both[0] != both[1])
    return ", ".join(_difference(*each) for each in differing)


def _difference(name: str, one: Any, other: Any) -> str:  # noqa: ANN401 - any field's values
    if name == "mode":
        return f"mode {one:04o} and {other:04o}"
    if name in {"content", "text"}:
        return f"{name} {_contents(_text(one), _text(other))}"
    if isinstance(one, tuple) and isinstance(other, tuple):
        pairs = enumerate(zip_longest(one, other))
        return next(f"{name}[{index}] {_values(*pair)}" for index, pair in pairs if pair[0] != pair[1])
    return f"{name} {_values(one, other)}"


def _contents(one: str | int, other: str | int) -> str:
    if isinstance(one, int) or isinstance(other, int):
        sizes = (size if isinstance(size, int) else len(size.encode()) for size in (one, other))
        return "of {} and {} bytes".format(*sizes)
    for number, (first, second) in enumerate(zip_longest(one.splitlines(), other.splitlines()), 1):
        if first != second:
            return f"line {number} {_values(first, second)}"
    return "with secrets of different members" if one == other else "in its line breaks"


def _text(content: Blob | tuple[Blob | Secret, ...]) -> str | int:
    """Return a content as text, with secrets as ``{NAME/FILE}``; its size in bytes if it is not text."""
    parts = (content,) if isinstance(content, Blob) else content
    data = b"".join(
        f"{{{part.name}/{part.file}}}".encode() if isinstance(part, Secret) else part.data or b"" for part in parts
    )
    try:
        return data.decode()
    except UnicodeDecodeError:
        return len(data)


def _values(one: object, other: object) -> str:
    """Return both values, of long texts what is around the first sign that differs."""
    if isinstance(one, str) and isinstance(other, str):
        first = next((n for n, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), len(one))
        begin = max(first - _BEFORE, 0) if max(len(one), len(other)) > _WIDTH else 0
        return f"{_short(one, begin)} and {_short(other, begin)}"
    return f"{_short(one)} and {_short(other)}"


def _short(value: object, begin: int = 0) -> str:
    if value is None:
        return "nothing"
    if not isinstance(value, str):
        return str(value)
    end = begin + _WIDTH
    return repr(("…" if begin else "") + value[begin:end] + ("…" if len(value) > end else ""))
