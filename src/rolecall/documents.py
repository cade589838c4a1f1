"""JSON documents that Rolecall prints and writes: always valid JSON, which has no infinity."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from rolecall.errors import dotted, fault

if TYPE_CHECKING:
    from collections.abc import Iterator


def as_text(document: object) -> str:
    """Return a document as indented JSON (RFC 8259), without a newline at its end.

    Raises:
        Faults: When a number in it has no form in JSON, with its key path.
    """
    # Imported when used: it indents ten times as fast as json does, but takes long to load.
    from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

    try:
        text = to_json(document, indent=2).decode()
    except PydanticSerializationError:  # of a text with half a surrogate pair, which json escapes
        text = json.dumps(to_jsonable_python(document), indent=2)
    if "Infinity" in text or "NaN" in text:
        for path, number in _not_finite(to_jsonable_python(document), ()):
            hint = "use a finite number; a service can use null for no limit"
            raise fault(f"{dotted(path)} is {number}, which JSON cannot represent", hint=hint)
    return text


def _not_finite(value: object, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], float]]:
    if isinstance(value, float) and not math.isfinite(value):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _not_finite(item, (*path, str(key)))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _not_finite(item, (*path, index))
