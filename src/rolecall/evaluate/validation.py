"""What pydantic finds wrong with settings, in the inventory's own words and places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from rolecall.errors import Fault, Where, dotted, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic import ValidationError
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
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}


def setting_faults(
    error: ValidationError, role: Role[Any], layers: Sequence[Layer], where: Where, via: tuple[str, ...]
) -> Iterable[Fault]:
    """A fault per mistake, placed in the most specific layer that speaks of it."""
    for detail in error.errors(include_url=False):
        keys = detail["loc"]
        layer = next((layer for layer in reversed(layers) if _speaks(layer.values, keys)), None)
        place = (*layer.at, *keys) if layer else via
        at = Where(keys=(*where.keys, *place))
        yield Fault(_message(detail, dotted(keys), role), at, _hint(detail, keys, role))


def _speaks(values: object, keys: Sequence[str | int]) -> bool:
    for key in keys:
        if isinstance(values, dict) and key in values:
            values = values[key]
        else:
            return isinstance(values, list) and isinstance(key, int)
    return True


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
    model = _model_at(role.settings, keys[:-1])
    if detail["type"] == "extra_forbidden" and keys and model:
        known = [field.alias or name for name, field in model.model_fields.items()]
        return nearest(str(keys[-1]), known, what="settings")
    if detail["type"] == "missing" and keys:
        field = next((f for n, f in role.settings.model_fields.items() if keys[0] in (n, f.alias)), None)
        return (field.description or "") if field else ""
    return ""


def _model_at(model: type[BaseModel] | None, keys: Sequence[str | int]) -> type[BaseModel] | None:
    for key in keys:
        field = next((f for n, f in model.model_fields.items() if key in (n, f.alias)), None) if model else None
        kind = field.annotation if field else None
        model = kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
    return model
