"""What an inventory may hold: JSON-compatible data of bounded size; and how values are named in messages."""

from __future__ import annotations

import json
import math
from typing import Any, Final

from rolecall.errors import Fault, Faults, Where

DEPTH: Final = 100  # levels of nesting; far more than an inventory needs, far less than Python's stack
VALUES: Final = 5_000_000  # 10,000 machines named in 100 instances have a fifth of that
LARGEST: Final = 2**63  # what every notation and reader of JSON can hold
BYTES: Final = 64 * 1024 * 1024

Data = dict[str, Any]


def syntax_fault(message: str, line: int = 0, column: int = 0, *, hint: str = "") -> Faults:
    """A fault of a file's notation; whoever opened the file adds its name."""
    return Faults([Fault(message, Where(line=line, column=column), hint)])


def shown(text: str, *, quote: str = "`", limit: int = 60) -> str:
    """Text of a user's as it can stand in a message: one short line without control characters."""
    short = text if len(text) <= limit else text[: limit - 1] + "…"
    return quote + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in short) + quote


def named(value: object) -> str:
    """A value in words, for "expected …, found …"."""
    match value:
        case None:
            return "nothing (null)"
        case bool():
            return str(value).lower()
        case int() | float():
            return f"the number {shown(str(value), quote='')}"
        case str():
            return f"the text {shown(json.dumps(value, ensure_ascii=False), quote='')}"
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            return f"a Python {shown(type(value).__name__, quote='')}"


def check(data: object) -> list[Fault]:
    """What in ``data`` could not stand in a JSON file: other types, keys that are no texts, endless or huge data."""
    faults: list[Fault] = []
    left = VALUES
    todo: list[tuple[object, tuple[str | int, ...]]] = [(data, ())]
    while todo:
        value, keys = todo.pop()
        left -= 1
        if left < 0:
            return [Fault(f"more than {VALUES} values", Where(), "do repeated references multiply each other?")]
        if isinstance(value, str):
            problem = "" if value.isascii() or _encodable(value) else "a text with half a surrogate pair"
        elif value is None or isinstance(value, int):
            problem = "" if value is None or -LARGEST <= value < LARGEST else "a number of more than 64 bits"
        elif isinstance(value, float):
            problem = "" if math.isfinite(value) else f"{value} is no number that JSON has"
        elif isinstance(value, dict | list):
            problem = ""
            if len(keys) >= DEPTH:
                return [Fault(f"nested deeper than {DEPTH} levels", Where(keys=keys[:8]), "does it contain itself?")]
            if isinstance(value, list):
                todo.extend((item, (*keys, index)) for index, item in enumerate(value))
            else:
                for key, item in value.items():
                    if isinstance(key, str) and (key.isascii() or _encodable(key)):
                        todo.append((item, (*keys, key)))
                    else:
                        faults.append(
                            Fault(
                                f"the key {shown(str(key))} is no text",
                                Where(keys=keys),
                                "put it in quotes",
                            )
                        )
        else:
            problem = f"{named(value)} is no data"
        if problem:
            hint = "write texts, numbers, true, false, lists and tables; put a date in quotes"
            faults.append(Fault(problem, Where(keys=keys), hint))
    return faults


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def merge(general: Data, specific: Data) -> Data:
    """Both tables as one: tables merge by key at every depth, of anything else the specific one is kept."""
    merged = dict(specific)
    for key, value in general.items():
        if key not in merged:
            merged[key] = value
        elif isinstance(value, dict) and isinstance(merged[key], dict):
            merged[key] = merge(value, merged[key])
    return merged
