"""Services in words, for `services show` and the reference: roles, settings, vars and exports.

Models are described from their JSON Schema, which editors get too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic.json_schema import GenerateJsonSchema

from rolecall.model.generators import prompts_of
from rolecall.service.handles import Var
from rolecall.service.packages import shown
from rolecall.service.settings import MARKED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from pydantic import BaseModel
    from pydantic.json_schema import JsonSchemaValue, JsonSchemaWarningKind
    from pydantic_core import PydanticOmit, core_schema

    from rolecall.model.exports import Interface
    from rolecall.service.contract import Role, Service
    from rolecall.service.handles import Need

_MERGED: Final = {"replace": ", replaced as a whole", "unique": ", each item once", "lines": ", joined line by line"}
_NAMES = {
    "string": "string",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "array": "list",
    "object": "table",
    "null": "null",
}
_NO_DEFAULT = object()


@dataclass(frozen=True, slots=True)
class Entry:
    """One field of a model, or of a table inside of it.

    Attributes:
        name: Key path as the inventory writes it; ``NAME`` is any key of a table, ``[]`` any item of a list.
        type: Its type in words, e.g. ``"whole number 1 to 65535 or null"``.
        required: Whether it must be set.
        default: Its default as JSON text; "" when it has none, or when its own entries show it.
        description: What it means, or "".
    """

    name: str
    type: str
    required: bool
    default: str
    description: str

    @property
    def summary(self) -> str:
        """The type, and whether it is required or what its default is."""
        if self.required:
            return f"{self.type}; required"
        return f"{self.type}; default {self.default}" if self.default else self.type


def schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a model, with the names that files use.

    A type without a form in JSON accepts anything, and a default without one is left out.
    """
    return model.model_json_schema(by_alias=True, schema_generator=_Generator)


class _Generator(GenerateJsonSchema):
    """Pydantic's own, without its errors and warnings for types and defaults that have no form in JSON."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - as pydantic declares it

    def handle_invalid_for_json_schema(
        self, schema: core_schema.CoreSchema | core_schema.ModelField | PydanticOmit, error_info: str
    ) -> JsonSchemaValue:
        """Return a schema that accepts anything."""
        del schema, error_info
        return {}


def entries(model: type[BaseModel]) -> list[Entry]:
    """Return every field of a model, each followed by the fields of the tables inside of it."""
    whole = schema(model)
    models = whole.get("$defs", {})
    if name := whole.get("$ref", "").rpartition("/")[2]:  # one that contains itself
        return [*_entries(models[name], models, "", _NO_DEFAULT, (name,))]
    return [*_entries(whole, models, "", _NO_DEFAULT, ())]


def machines(role: Role[Any]) -> str:
    """Return how many machines may play a role, e.g. ``"at least 1 machine"``."""
    low, high = role.minimum, role.maximum
    if high is None:
        return f"at least {_count(low)}" if low else "any number of machines"
    if low == high:
        return f"exactly {_count(high)}"
    return f"{low} to {_count(high)}" if low else f"at most {_count(high)}"


def as_json(service: Service) -> dict[str, Any]:
    """Return all that a service declares: the documented form of ``services show --json`` (docs/reference/json.md)."""
    return {
        "name": service.name,
        "description": service.description,
        "maximumInstances": service.maximum_instances,
        "roles": {role.name: _role(role) for role in service.roles.values()},
    }


def interface_name(interface: type[Interface]) -> str:
    """Return the full name of an interface, which differs between modules."""
    return shown(f"{interface.__module__}.{interface.__qualname__}")


def meaning(model: type[BaseModel]) -> str:
    """Return the first line of a model's description, or ""."""
    return str(schema(model).get("description", "")).partition("\n")[0]


def named(needs: tuple[Need, ...]) -> list[str]:
    """Return the needs of a step: vars as ``ROLE.NAME``, interfaces by their full names."""
    return [f"{need.role.name}.{need.name}" if isinstance(need, Var) else interface_name(need) for need in needs]


def traits(var: Var[Any]) -> list[str]:
    """Return the special properties of a var, in words."""
    scopes = {"machine": "one per machine, for all instances", "shared": "one for all members"}
    found = [scopes[var.scope]] if var.scope in scopes else []
    found += ["rotated without a gap"] if var.accepted else []
    found += [f"kept unless forced: {var.binds}"] if var.binds else []
    return found


def _role(role: Role[Any]) -> dict[str, Any]:
    return {
        "description": role.description,
        "minimum": role.minimum,
        "maximum": role.maximum,
        "excludes": sorted(role.excluded),
        "settings": schema(role.settings),
        "vars": {
            var.name: {file.name: "secret" if file.secret else "public" for file in var.generator.files}
            for var in role.vars.values()
        },
        "prompts": {
            var.name: {prompt.name: prompt.description for prompt in prompts}
            for var in role.vars.values()
            if (prompts := prompts_of(var.generator))
        },
        "traits": {
            var.name: {
                "scope": var.scope,
                "accepted": var.accepted,
                "binds": var.binds,
                "delivered": sorted(var.deliver),
            }
            for var in role.vars.values()
        },
        "needs": {var.name: named(var.needs) for var in role.vars.values() if var.needs},
        "exports": [
            {
                "interface": interface_name(publisher.interface),
                "fields": schema(publisher.interface),
                "needs": named(publisher.needs),
            }
            for publisher in role.publishers
        ],
    }


def _count(number: int) -> str:
    return "1 machine" if number == 1 else f"{number} machines"


def _entries(
    table: Mapping[str, Any], models: Mapping[str, Any], prefix: str, default: object, inside: tuple[str, ...]
) -> Iterator[Entry]:
    """Yield the fields of one table.

    Args:
        table: Its schema.
        models: The schemas that references name.
        prefix: The key path of the table, with a dot at the end.
        default: The default of its field, which overrides the defaults of its own fields.
        inside: The models around it, since a model can contain itself.
    """
    for name, field in table.get("properties", {}).items():
        own = field.get("default", _NO_DEFAULT)
        if isinstance(default, dict):
            own = default.get(name, own)
        below = [*_tables(field, models, f"{prefix}{name}", inside)]
        required = own is _NO_DEFAULT and name in table.get("required", ())
        shown = own is not _NO_DEFAULT and not (below and own and isinstance(own, dict))
        text = json.dumps(own, ensure_ascii=False) if shown else ""
        yield Entry(f"{prefix}{name}", _type(field, models), required, text, _description(field, models))
        for place, model, seen in below:
            yield from _entries(model, models, f"{place}.", own, seen)
    if others := table.get("additionalProperties"):  # the author allows keys of any name
        schema: Mapping[str, Any] = {} if others is True else others
        yield Entry(f"{prefix}NAME", _type(schema, models), required=False, default="", description="Any other key.")
        for place, model, seen in _tables(schema, models, f"{prefix}NAME", inside):
            yield from _entries(model, models, f"{place}.", _NO_DEFAULT, seen)


def _description(field: Mapping[str, Any], models: Mapping[str, Any]) -> str:
    """Return the description of a field, or of its model."""
    model = models.get(field.get("$ref", "").rpartition("/")[2], {})
    return str(field.get("description") or model.get("description", ""))


def _tables(
    field: Mapping[str, Any], models: Mapping[str, Any], place: str, inside: tuple[str, ...]
) -> Iterator[tuple[str, Mapping[str, Any], tuple[str, ...]]]:
    """Yield the key paths and schemas of the tables in a field that have fields of their own."""
    if reference := field.get("$ref"):
        name = reference.rpartition("/")[2]
        if name not in inside:
            yield from _tables(models[name], models, place, (*inside, name))
        return
    if "properties" in field:
        yield place, field, inside
    for each in (*field.get("anyOf", ()), *field.get("oneOf", ())):
        yield from _tables(each, models, place, inside)
    for each, word in ((field.get("items"), "[]"), (_named_values(field), ".NAME")):
        if isinstance(each, dict):
            yield from _tables(each, models, f"{place}{word}", inside)


def _named_values(field: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a schema, or what stands in its place
    """Return the schema of values under free keys; pydantic has it elsewhere if the keys have a pattern.

    Return None for a model that has fields too: these and other keys have entries of their own.
    """
    if "properties" in field:
        return None
    return next(iter(field.get("patternProperties", {}).values()), field.get("additionalProperties"))


def _type(field: Mapping[str, Any], models: Mapping[str, Any]) -> str:
    """Return the type of a schema, in words."""
    if reference := field.get("$ref"):
        return _type(models[reference.rpartition("/")[2]], models)
    if options := field.get("anyOf") or field.get("oneOf"):
        *others, last = dict.fromkeys(_type(each, models) for each in options)
        return f"{', '.join(others)} or {last}" if others else last
    if "const" in field or "enum" in field:
        *others, last = (json.dumps(value, ensure_ascii=False) for value in field.get("enum", [field.get("const")]))
        return f"{', '.join(others)} or {last}" if others else last
    name = _NAMES.get(field.get("type", ""), "anything")
    match name:
        case "string" if "format" in field:
            return str(field["format"]).replace("-", " ")  # which implies the pattern
        case "string" if "pattern" in field:
            name += f" matching {field['pattern']}"
        case "list" if "prefixItems" in field:
            name = f"list of {', '.join(_type(each, models) for each in field['prefixItems'])}"
        case "list" if field.get("items"):
            name = f"list of {_plural(_type(field['items'], models))}"
        case "table" if isinstance(_named_values(field), dict):
            name = f"table of {_plural(_type(_named_values(field), models))}"
    return f"{name}{_bounds(field)}{_MERGED.get(field.get(MARKED, ''), '')}"


def _plural(kind: str) -> str:
    """Return the plural of a type, ``list of tables``; a type of several words stays as it is."""
    plain = kind.replace(" ", "").isalpha() and not any(
        word in kind.split() for word in ("or", "of", "null", "anything")
    )
    return f"{kind}s" if plain else kind


def _bounds(field: Mapping[str, Any]) -> str:
    words = [f" {between}"] if (between := _between(field, "minimum", "maximum")) else []
    words += [f" above {field['exclusiveMinimum']}"] if "exclusiveMinimum" in field else []
    words += [f" below {field['exclusiveMaximum']}"] if "exclusiveMaximum" in field else []
    lengths = (("minLength", "maxLength"), ("minItems", "maxItems"))
    words += [f", length {between}" for names in lengths if (between := _between(field, *names))]
    return "".join(words)


def _between(field: Mapping[str, Any], lowest: str, highest: str) -> str:
    low, high = field.get(lowest), field.get(highest)
    if low is not None and high is not None:
        return f"{low} to {high}" if low != high else f"exactly {high}"
    return f"at least {low}" if low is not None else f"at most {high}" if high is not None else ""
