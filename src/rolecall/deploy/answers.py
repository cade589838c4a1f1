"""What a machine answers, checked: it may send anything."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints, is_typeddict

from rolecall.errors import TEXT, shown
from rolecall_agent.frames import ProtocolError

Answer = TypeVar("Answer")


def decode(kind: type[Answer], message: object) -> Answer:
    """Return a message as one of the answers of `rolecall_agent.protocol`, without unknown fields.

    Its texts are safe to show: control characters are escaped, and what is very long is cut off.

    Args:
        kind: The class of the answer.
        message: Data from JSON.

    Raises:
        ProtocolError: When it is anything else.
    """
    return cast("Answer", _decode(kind, message, ""))


def _decode(kind: Any, value: Any, place: str) -> Any:  # noqa: ANN401, PLR0911 - any type of the protocol
    origin, inner = get_origin(kind), get_args(kind)
    if is_typeddict(kind) and isinstance(value, dict):
        return {name: _decode(each, value.get(name, ...), f"{place}.{name}") for name, each in _fields(kind).items()}
    if origin is list and isinstance(value, list):
        return [_decode(inner[0], each, f"{place}[{index}]") for index, each in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        return {shown(key): _decode(inner[1], each, f"{place}.{shown(key)}") for key, each in value.items()}
    if origin is Union:
        return None if value is None else _decode(inner[0], value, place)
    if origin is Literal and value in inner:
        return value
    if kind is str and isinstance(value, str):
        return shown(value)
    if type(value) is kind and (kind is bool or (kind is int and 0 <= value < 1 << 63)):
        return value
    problem = "is missing" if value is ... else "is invalid"
    raise ProtocolError(f"invalid answer: {place[1:TEXT] or 'it'} {problem}")


@cache
def _fields(kind: Any) -> dict[str, Any]:  # noqa: ANN401 - a TypedDict
    return get_type_hints(kind)
