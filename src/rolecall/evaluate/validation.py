"""What pydantic finds wrong with settings, in the inventory's own words and places."""

from __future__ import annotations

from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from rolecall.errors import Fault, Where, dotted, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pydantic import ValidationError
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

    from rolecall.evaluate.merge import Layer
    from rolecall.service.contract import Role

# Kinds of pydantic's errors (docs: "Validation Errors") by what was expected instead.
_EXPECTED = {
    "string_type": "a text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}


def setting_faults(
    error: ValidationError,
    role: Role[Any],
    merged: Mapping[str, Any],
    layers: Sequence[Layer],
    where: Where,
    via: tuple[str, ...],
) -> Iterable[Fault]:
    """A fault per mistake, placed in the most specific layer that speaks of it."""
    for detail in error.errors(include_url=False):
        keys = _keys(detail, merged)
        told = keys[:-1] if detail["type"] == "missing" else keys  # of what is missing, its table is there
        own = ((layer, _own(layer.values, told, merged)) for layer in reversed(layers) if told)
        place = next(((*layer.at, *path) for layer, path in own if path is not None), via)
        at = Where(keys=(*where.keys, *place))
        yield Fault(_message(detail, dotted(keys), role), at, _hint(detail, keys, role))


def _keys(detail: ErrorDetails, merged: object) -> tuple[str | int, ...]:
    """The path of what is wrong in the settings, without the names of types that pydantic puts into it."""
    keys: list[str | int] = []
    for key in detail["loc"]:
        inside: Any = (
            merged if isinstance(merged, dict) else dict(enumerate(merged)) if isinstance(merged, list) else {}
        )
        if key in inside:
            merged = inside[key]
        elif detail["type"] != "missing" or key != detail["loc"][-1]:
            continue
        keys.append(key)
    return tuple(keys)


def _own(values: Any, keys: Sequence[str | int], merged: Any) -> tuple[str | int, ...] | None:  # noqa: ANN401 - any data
    """The path in one layer of what stands at ``keys`` in the merged settings; None when it does not speak of it."""
    path: list[str | int] = []
    for key in keys:
        merged = merged[key]
        if isinstance(values, dict) and values.get("_type") in ("override", "order", "if", "merge"):
            break  # what is inside it is part of this layer
        if isinstance(values, list) and merged in values:
            key = values.index(merged)  # noqa: PLW2901 - lists were joined: each layer counts from 0
        elif not (isinstance(values, dict) and key in values):
            return None
        values = values[key]
        path.append(key)
    return tuple(path)


def _message(detail: ErrorDetails, name: str, role: Role[Any]) -> str:
    kind = detail["type"]
    owner = f"the role {role.name!r} of {role.service.name}"
    if kind == "extra_forbidden":
        return f"{owner} has no setting {name!r}"
    if kind == "missing":
        return f"{owner} needs the setting {name!r}"
    if kind in _EXPECTED:
        return f"{name} must be {_EXPECTED[kind]}, not {_found(detail['input'])}"
    text = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{name}: {text}"


def _found(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return f"the text {value[:40]!r}"
        case int() | float():
            return f"the number {value}"
        case list():
            return "a list"
        case _:
            return "a table"


def _hint(detail: ErrorDetails, keys: Sequence[str | int], role: Role[Any]) -> str:
    fields = _fields_at(role.settings, keys[:-1])
    if detail["type"] == "extra_forbidden" and keys:
        return nearest(str(keys[-1]), fields, what="settings")
    if detail["type"] == "missing" and keys and keys[-1] in fields:
        return fields[str(keys[-1])].description or ""
    return ""


def _fields_at(kind: Any, keys: Sequence[str | int]) -> dict[str, FieldInfo]:  # noqa: ANN401 - any annotation
    """The fields, by their names in the inventory, of the table at a path; {} where it is not known."""
    for key in keys:
        fields = _fields(kind)
        kind = fields[str(key)].annotation if str(key) in fields else (get_args(kind) or (None,))[-1]
    return _fields(kind)


def _fields(kind: Any) -> dict[str, FieldInfo]:  # noqa: ANN401 - as above
    while get_origin(kind) in {Annotated, Union, UnionType}:
        kind = get_args(kind)[0]
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return {}
    return {field.alias or name: field for name, field in kind.model_fields.items()}
