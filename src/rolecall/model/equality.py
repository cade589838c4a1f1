"""Exact equality: ``true``, ``1``, ``1.0`` and ``"1"`` are four values, wherever data is compared."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterable


def same(one: Any, other: Any) -> bool:  # noqa: ANN401 - values of any type
    """Return whether two values are equal to the last type; the order of keys does not count.

    Python's ``==`` takes ``True``, ``1`` and ``1.0`` for one value, at any depth. What is known of the values of
    models, dataclasses and collections is compared likewise; for anything else its own ``==`` decides.
    """
    if type(one) is not type(other):
        return False
    match one, other:
        case _ if one is other:
            equal = True
        case dict(), dict():
            equal = _exact(one) == _exact(other) and all(
                key in other and same(value, other[key]) for key, value in one.items()
            )
        case (list(), list()) | (tuple(), tuple()):
            equal = len(one) == len(other) and all(map(same, one, other))
        case (set(), set()) | (frozenset(), frozenset()):
            equal = _exact(one) == _exact(other)
        case BaseModel(), BaseModel():
            equal = same(one.__dict__, other.__dict__) and same(one.__pydantic_extra__, other.__pydantic_extra__)
        case float(), _:
            equal = repr(one) == repr(other)  # -0.0 is written in another way than 0.0
        case _ if is_dataclass(one) and type(one).__eq__ is not object.__eq__:
            names = [field.name for field in fields(one) if field.compare]
            equal = all(same(getattr(one, name), getattr(other, name)) for name in names)
        case _:
            equal = one == other
    return equal


def key_of(data: object) -> str:
    """Return a text that two values of JSON-compatible data have in common exactly when they are the same."""
    return json.dumps(data, sort_keys=True)


def _exact(keys: Iterable[object]) -> set[object]:
    """Return keys or elements of a set so that ``==`` tells ``1`` and ``True`` apart, inside of tuples too."""
    return {key if isinstance(key, str) else (type(key), repr(key)) for key in keys}
