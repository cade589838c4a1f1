"""The data that an inventory may hold, JSON-compatible and bounded in size, and its names in messages."""

from __future__ import annotations

import json
import math
import re
from datetime import date, datetime, time
from typing import Any, Final

from rolecall.errors import Fault, Faults, Where

DEPTH: Final = 100  # levels of nesting; far more than an inventory needs, far less than Python's stack
VALUES: Final = 5_000_000  # 10,000 machines named in 100 instances have a fifth of that
LARGEST: Final = 2**63  # what every notation and reader of JSON can hold
BYTES: Final = 64 * 1024 * 1024


Data = dict[str, Any]
Keys = tuple[str | int, ...]

_TOO_LARGE: Final = "the number does not fit in 64 bits"
_DIGITS: Final = re.compile(r"(?<![\"'\w])\d[\d_]{4300,}")  # more than Python reads as a number

_DATA: Final = "use only strings, numbers, true, false, lists and tables; put dates in quotes"


def syntax_fault(message: str, line: int = 0, column: int = 0, *, hint: str = "") -> Faults:
    """Return a fault of a file's notation, ready to raise; the caller that opened the file adds its name."""
    return Faults([Fault(message, Where(line=line, column=column), hint)])


def long_number(error: Exception, text: str) -> Faults | None:
    """Return our own fault, with its line, for Python's refusal to read a number of thousands of digits; else None."""
    match = _DIGITS.search(text) if "int_max_str_digits" in str(error) else None
    if match is None:
        return None
    line, before = text.count("\n", 0, match.start()) + 1, text.rfind("\n", 0, match.start())
    return syntax_fault(_TOO_LARGE, line, match.start() - before, hint="put it in quotes if it is a string")


def shown(text: str, *, quote: str = "'", limit: int = 60) -> str:
    """Return a user's text for a message: one short line in quotes, without control characters."""
    short = text if len(text) <= limit else text[: limit - 1] + "…"
    return quote + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in short) + quote


def code(text: str) -> str:
    """Return a piece of a user's code for a message, as `shown` but in backticks."""
    return shown(text, quote="`")


def named(value: object) -> str:
    """Return a value in words, for "expected …, found …"."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"the number {shown(str(value), quote='')}"
    if isinstance(value, str):
        return f"the string {shown(json.dumps(value, ensure_ascii=False), quote='')}"
    words = {list: "a list", dict: "a table", date: "a date", datetime: "a date", time: "a time"}
    return words.get(type(value)) or f"a Python {shown(type(value).__name__, quote='')}"


def once(name: object) -> str:
    """Return what to do about a key that is set twice."""
    more = "; to give a tag settings, write it as a table: `tags.NAME.settings`" if name == "tags" else ""
    return f"remove one of the two{more}"


def check(data: object) -> list[Fault]:
    """Return faults for what JSON cannot hold (other types, keys that are not texts) and for endless or huge data."""
    faults: list[Fault] = []
    left = VALUES
    todo: list[tuple[object, Keys]] = [(data, ())]
    while todo:
        value, keys = todo.pop()
        left -= 1
        if left < 0:
            return [Fault(f"more than {VALUES:,} values", Where(), "check for references that multiply each other")]
        if not isinstance(value, dict | list):
            if problem := _problem(value):
                faults.append(Fault(problem, Where(keys=keys), _DATA))
            continue
        if len(keys) >= DEPTH:
            # Without a place: deep files crash the parser that would look for it (tree-sitter-yaml).
            return [Fault(f"nested deeper than {DEPTH} levels", Where(), "check whether it contains itself")]
        if isinstance(value, list):
            todo += [(item, (*keys, index)) for index, item in reversed(list(enumerate(value)))]
            continue
        for key in value:
            if not isinstance(key, str) or not _encodable(key):
                where = Where(keys=(*keys, str(key)))
                faults.append(Fault(f"key {shown(str(key))} is not a string", where, "put it in quotes"))
        todo += [(item, (*keys, str(key))) for key, item in reversed(value.items())]
    return faults


def _problem(value: object) -> str:
    """Return why a value that is neither list nor table is not data, or ""."""
    if isinstance(value, str):
        if "\0" in value:
            return "the string contains a NUL character"
        return "" if _encodable(value) else "the string contains an unpaired surrogate"
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, int):
        return "" if -LARGEST <= value < LARGEST else _TOO_LARGE
    if isinstance(value, float):
        return "" if math.isfinite(value) else f"{value} is not a finite number"
    return f"{named(value)} is not allowed here"


def _encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def merge(general: Data, specific: Data) -> Data:
    """Merge two tables by key at every depth; where one value is not a table, the specific value wins."""
    merged = dict(specific)
    for key, value in general.items():
        if key not in merged:
            merged[key] = value
        elif isinstance(value, dict) and isinstance(merged[key], dict):
            merged[key] = merge(value, merged[key])
    return merged
