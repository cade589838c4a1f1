"""Rules for a service's models that their base classes cannot enforce, checked when the service is loaded."""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, RootModel, TypeAdapter

from rolecall.service.settings import MARKED, Merging, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_KEPT = {"strict": (True,), "frozen": (True,), "extra": ("forbid", "allow")}  # of the configuration of settings
_JOINED = {"list", "set", "frozenset", "tuple"}
_MARKS = {  # the forms that a mark is for, by the names of core schemas
    Merging.JOIN: {*_JOINED, "dict", "model"},
    Merging.REPLACE: {*_JOINED, "dict", "model", "tagged-union"},
    Merging.UNIQUE: _JOINED,
    Merging.LINES: {"str"},
}
_FITS = {
    Merging.JOIN: "lists and tables",
    Merging.REPLACE: "lists and tables",
    Merging.UNIQUE: "lists",
    Merging.LINES: "strings",
}
_OTHER_TABLES = {"dataclass", "typed-dict", "named-tuple", "call"}


class _Field(NamedTuple):
    """The field of a model that a part of its core schema belongs to; with name "" the model itself."""

    model: type[BaseModel]
    name: str

    def __str__(self) -> str:
        """``FILE:LINE: MODEL.FIELD``."""
        name = f"{self.model.__name__}.{self.name}" if self.name else self.model.__name__
        return ": ".join(filter(None, (declared_at(self.model, self.name), name)))


def declared_at(model: type[BaseModel], field: str = "") -> str:
    """Return ``FILE:LINE`` of a model, or of one of its fields; "" when a program made it."""
    try:
        lines, first = inspect.getsourcelines(model)
    except (OSError, TypeError):
        return ""
    offset = next((number for number, line in enumerate(lines) if field and line.lstrip().startswith(f"{field}:")), 0)
    return f"{inspect.getsourcefile(model)}:{first + offset}"


def mistakes(model: type[BaseModel]) -> list[str]:
    """Return what breaks the contract in a model of settings or exports, each with the author's file and line."""
    schema: Any = TypeAdapter(model).core_schema
    definitions = {each["ref"]: each for each in schema.get("definitions", ())}
    whole = schema["schema"] if schema["type"] == "definitions" else schema
    parts = _parts(whole, _Field(model, ""), definitions)
    found = (f"{field}: {problem}" for field, part in parts if (problem := _problem(part, field)))
    return list(dict.fromkeys(found))


def _parts(
    part: Any,  # noqa: ANN401 - any part of a core schema
    field: _Field,
    definitions: dict[str, Any],
) -> Iterator[tuple[_Field, Mapping[str, Any]]]:
    """Yield every part of a core schema with its field, a definition's insides once: a model may contain itself."""
    if isinstance(part, list | tuple):
        for each in part:
            yield from _parts(each, field, definitions)
    elif isinstance(part, dict):
        yield field, part
        if meant := definitions.get(part.get("schema_ref", "")):
            definitions[part["schema_ref"]] = {key: meant[key] for key in ("type", "cls") if key in meant}
            yield from _parts(meant, field, definitions)
        if part.get("type") == "model" and not issubclass(part["cls"], RootModel):
            field = _Field(part["cls"], "")
        for key, value in part.items():
            if key == "fields" and isinstance(value, dict):
                for name, each in value.items():
                    yield from _parts(each, _Field(field.model, name), definitions)
            elif key not in {"metadata", "default", "config"}:
                yield from _parts(value, field, definitions)


def _problem(part: Mapping[str, Any], field: _Field) -> str:
    """Return why a field of this type would accept invalid values, or ""."""
    kind, cls = part.get("type"), part.get("cls") or part.get("function")
    mark = part.get("metadata", {}).get(MARKED)
    if mark and not (forms := set(_forms(part))) & {*_MARKS[mark], "definition-ref", "any"}:
        return f"the mark `{mark.value}` does not fit: it is for {_FITS[mark]}, not for {' or '.join(sorted(forms))}"
    for name in ("default", "ge", "gt", "le", "lt"):
        if _is_no_json(part.get(name)):
            return f"{name}={part[name]!r} holds a number that JSON does not have"
    if not (kind in {"model", *_OTHER_TABLES} and isinstance(cls, type) and issubclass(field.model, Settings)):
        return ""
    if issubclass(cls, RootModel):
        return "" if cls.model_config.get("strict") else f"the RootModel {cls.__name__} must set strict=True"
    if not issubclass(cls, Settings):
        return f"the table {cls.__name__} must be a class below Settings"
    changed = (key for key, kept in _KEPT.items() if cls.model_config.get(key) not in kept)
    return ", ".join(f"{cls.__name__} must keep {' or '.join(f'{key}={v!r}' for v in _KEPT[key])}" for key in changed)


def _forms(part: Mapping[str, Any]) -> Iterator[str]:
    """Yield the kinds of core schemas that a value may have, without what only wraps them."""
    if part.get("type") == "union":
        for choice in part["choices"]:
            yield from _forms(choice[0] if isinstance(choice, tuple) else choice)
    elif isinstance(part.get("schema"), dict) and part["type"] not in _MARKS[Merging.REPLACE]:
        yield from _forms(part["schema"])
    else:
        yield str(part.get("type"))


def _is_no_json(value: object) -> bool:
    """Return whether a default contains ``inf`` or ``nan``."""
    if isinstance(value, BaseModel):
        return any(map(_is_no_json, value.__dict__.values()))
    if isinstance(value, dict):
        return any(map(_is_no_json, value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(_is_no_json, value))
    return isinstance(value, float) and not math.isfinite(value)
