"""A JSON Schema for the inventory of one project, with which editors complete and validate what is typed.

Draft 7 (json-schema.org) is the newest that both taplo and yaml-language-server support. It describes files that may
each hold a part of the inventory: a missing key is valid, null is ignored, and a setting may have one of the forms of
the Nix module system. What one file alone cannot show (whether a machine is declared) is left to `rolecall check`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rolecall.inventory.clan import LEFT_OUT
from rolecall.inventory.forms import form_at
from rolecall.model.inventory import Inventory
from rolecall.model.names import NAME_LENGTH, NAME_PATTERN
from rolecall.service import describe
from rolecall.service.inputs import SHIPPED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rolecall.model.inventory import Loaded
    from rolecall.service.contract import Role, Service

Schema = dict[str, Any]
_TABLE: Final = ["object", "null"]
_WRAPPED: Final[Mapping[str, Any]] = {
    "description": "A value with a priority, an order or a condition, as the Nix module system writes it; or literal.",
    "type": "object",
    "properties": {"_type": {"enum": ["override", "order", "if", "merge", "literal"]}},
    "required": ["_type"],
}
_WHOLE: Final = frozenset({"required", "minItems", "minProperties"})  # valid for all sources together, not for each
_DATA: Final = frozenset({"default", "const", "enum", "examples"})  # keys whose values are not schemas


def schema(
    loaded: Loaded, services: Mapping[str, Service], modules: Mapping[tuple[str | None, str], Service]
) -> Schema:
    """Return the schema of a project's inventory files; it is the same for the same project.

    Args:
        loaded: The inventory.
        services: The service of each instance, if it was found.
        modules: The services that other instances could use, by ``module.input`` (None for shipped ones) and name.
    """
    whole = _plain(describe.schema(Inventory))
    definitions: Schema = {**whole.pop("$defs"), "wrapped": _WRAPPED}
    for table in (whole, *definitions.values()):
        for field in table.get("properties", {}).values():
            _allow_null(field)
    for path, (why, _) in LEFT_OUT.items():
        model = form_at(path[:-1]).model
        table = definitions[model.__name__] if path[:-1] and model else whole
        table["properties"][path[-1]] = {"description": f"Ignored: {why}."}
    used = {id(service): service for service in (*services.values(), *modules.values())}
    names = dict(zip(used, _unique(service.name for service in used.values()), strict=True))
    for number, service in used.items():
        definitions |= _service(names[number], service, loaded)
    known = [(source, name, names[id(service)]) for (source, name), service in modules.items()]
    by_own_name = {name: target for source, name, target in known if source is None}
    instances = by_own_name | {name: names[id(service)] for name, service in services.items()}
    properties = whole["properties"]
    properties["instances"] = {
        "description": properties["instances"]["description"],
        "type": _TABLE,
        "propertyNames": {"pattern": NAME_PATTERN, "maxLength": NAME_LENGTH},
        "properties": {name: {"$ref": f"#/$defs/{instances[name]}"} for name in sorted(instances)},
        "additionalProperties": {"allOf": [{"$ref": "#/$defs/Instance"}, *(_named(*each) for each in known)]},
    }
    classes = {machine.machine_class for machine in loaded.inventory.machines.values()}
    definitions["Machine"]["properties"]["tags"]["items"] = _one_of(loaded.tags.keys() - {"all"} - classes)
    definitions["Role"]["properties"]["tags"] = _tags(loaded, {"$ref": "#/$defs/RoleTag"})
    definitions["inventory"] = {"type": _TABLE, "properties": properties, "additionalProperties": False}
    inventory = {"$ref": "#/$defs/inventory"}
    around = {
        "$schema": {"type": "string"},
        "clan": {"type": "object", "properties": {"inventory": inventory}},
        "inputs": {"type": "object"},
        "inventory": inventory,
    }
    name = loaded.inventory.meta.name
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": f"The inventory of {name}" if name else "An inventory of Rolecall",
        "type": _TABLE,
        "properties": {**properties, **around},
        "additionalProperties": False,
        "$defs": {name: definitions[name] for name in sorted(definitions)},
    }


def _named(source: str | None, name: str, target: str) -> Schema:
    """Return the condition that an instance which names this module is one of its service."""
    if source is None:
        module = {"properties": {"name": {"const": name}, "input": {"enum": list(SHIPPED)}}, "required": ["name"]}
    else:
        module = {
            "properties": {"name": {"const": name}, "input": {"const": source}},
            "required": ["name", "input"],
        }
    return {
        "if": {"properties": {"module": module}, "required": ["module"]},
        "then": {"$ref": f"#/$defs/{target}"},
    }


def _service(name: str, service: Service, loaded: Loaded) -> Schema:
    """Return schemas for the instances of one service, its roles and their settings."""
    definitions: Schema = {}
    for role in service.roles.values():
        definitions |= _role(f"{name}.{role.name}", role, loaded)
    roles = {role: {"$ref": f"#/$defs/{name}.{role}"} for role in service.roles}
    module = {"$ref": "#/$defs/Module"}
    definitions[name] = _table({"module": module, "roles": _table(roles)}, service.description)
    return definitions


def _role(name: str, role: Role[Any], loaded: Loaded) -> Schema:
    settings = _layer(_plain(describe.schema(role.settings)), name)
    definitions = {f"{name}.{each}": table for each, table in settings.pop("$defs", {}).items()}
    definitions[f"{name}.settings"] = {"anyOf": [settings, {"$ref": "#/$defs/wrapped"}]}
    definitions[f"{name}.entry"] = _table({"settings": {"$ref": f"#/$defs/{name}.settings"}})
    entry = {"$ref": f"#/$defs/{name}.entry"}
    fields = {
        "machines": _by_name(loaded.inventory.machines, entry),
        "tags": _tags(loaded, entry),
        "settings": {"$ref": f"#/$defs/{name}.settings"},
        "extraModules": {"$ref": "#/$defs/Role/properties/extraModules"},
    }
    definitions[name] = _table(fields, role.description)
    return definitions


def _table(fields: Schema, description: str = "") -> Schema:
    """Return the schema of a table that has these fields only."""
    about = {"description": description} if description else {}
    return {**about, "type": _TABLE, "properties": fields, "additionalProperties": False}


def _by_name(names: Iterable[str], value: Schema) -> Schema:
    """Return the schema of a table by name; editors offer the existing names, and others are valid too."""
    return {
        "type": _TABLE,
        "properties": dict.fromkeys(sorted(names), value),
        "propertyNames": {"pattern": NAME_PATTERN, "maxLength": NAME_LENGTH},
        "additionalProperties": value,
    }


def _tags(loaded: Loaded, entry: Schema) -> Schema:
    """Return the schema of a role's tags: a table with settings, or a list."""
    return {"anyOf": [_by_name(loaded.tags, entry), {"type": "array", "items": _one_of(loaded.tags)}]}


def _one_of(names: Iterable[str]) -> Schema:
    """Return the schema of a name; editors offer the existing ones."""
    known = sorted(names)
    name = {"type": "string", "pattern": NAME_PATTERN, "maxLength": NAME_LENGTH}
    return {"anyOf": [{"enum": known}, name]} if known else name


def _layer(schema: Any, prefix: str) -> Any:  # noqa: ANN401 - any part of a schema
    """Return a schema of settings that one of several sources sets; its definitions get a prefix."""
    if isinstance(schema, list):
        return [_layer(each, prefix) for each in schema]
    if not isinstance(schema, dict):
        return schema
    layer = {key: value if key in _DATA else _layer(value, prefix) for key, value in schema.items()}
    if isinstance(layer.get("$ref"), str):
        layer["$ref"] = layer["$ref"].replace("#/$defs/", f"#/$defs/{prefix}.")
    for table in ("properties", "patternProperties"):
        if table in schema and isinstance(schema.get("type"), list):
            layer[table] = {name: _or_wrapped(each) for name, each in layer[table].items()}
    if isinstance(layer.get("additionalProperties"), dict):
        layer["additionalProperties"] = _or_wrapped(layer["additionalProperties"])
    return layer


def _or_wrapped(value: Schema) -> Schema:
    """Return the schema of a value, or of one of the module system's forms of it."""
    about: Schema = {key: value[key] for key in ("description", "default") if key in value}
    bare = {key: each for key, each in value.items() if key != "default"}
    return {**about, "anyOf": [bare, {"$ref": "#/$defs/wrapped"}]}


def _plain(schema: Any, *, named: bool = False) -> Any:  # noqa: ANN401 - any part of a schema
    """Return a schema of pydantic's as draft 7 for one source: without titles, and a table may be null.

    Args:
        schema: The schema, or a part of it.
        named: Whether its keys are the user's names rather than keywords of JSON Schema.
    """
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if named:
        return {name: _plain(each) for name, each in schema.items()}
    plain = {
        key: value if key in _DATA else _plain(value, named=key in {"properties", "patternProperties", "$defs"})
        for key, value in schema.items()
        if key != "title" and key not in _WHOLE
    }
    if "$ref" in plain and len(plain) > 1:  # draft 7 ignores what stands beside a reference
        plain["allOf"] = [{"$ref": plain.pop("$ref")}]
    if "prefixItems" in plain:
        plain["items"] = plain.pop("prefixItems")
    if "patternProperties" in plain:
        plain.setdefault("additionalProperties", False)
    if "description" in plain:
        plain["description"] = " ".join(plain["description"].split("\n\n")[0].split())
    if plain.get("type") == "object":
        plain["type"] = _TABLE
    return plain


def _allow_null(field: Schema) -> None:
    """Allow null, which is ignored in tables of the inventory."""
    if isinstance(field.get("type"), str):
        field["type"] = [field["type"], "null"]
    elif "anyOf" in field:
        field["anyOf"] = [*field["anyOf"], {"type": "null"}]


def _unique(names: Iterable[str]) -> list[str]:
    """Return the names, with a number where one is repeated."""
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unique.append(f"service.{name}" if seen[name] == 1 else f"service.{name}.{seen[name]}")
    return unique
