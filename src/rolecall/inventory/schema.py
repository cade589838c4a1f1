"""One JSON Schema for the inventory of one project, from which editors complete and check what is typed.

Draft 7 (json-schema.org), the newest that both taplo and yaml-language-server follow. It is made for files, of which
each may say a part: what is missing is no mistake in it, null says nothing, and a setting may stand in one of the forms
of the Nix module system. What a file alone cannot tell (whether a machine is declared elsewhere) is left to `check`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rolecall.inventory.clan import LEFT_OUT
from rolecall.inventory.forms import form_at
from rolecall.model.inventory import NAME_LENGTH, NAME_PATTERN, Inventory
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
_WHOLE: Final = frozenset({"required", "minItems", "minProperties"})  # true of all layers together, not of each
_DATA: Final = frozenset({"default", "const", "enum", "examples"})  # what is no schema in a schema


def schema(
    loaded: Loaded, services: Mapping[str, Service], modules: Mapping[tuple[str | None, str], Service]
) -> Schema:
    """The schema of a project's inventory files; the same bytes for the same project.

    Args:
        loaded: The inventory.
        services: The service of each instance, where it was found.
        modules: What other instances could use: services by ``module.input`` (None for shipped ones) and name.
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
    """An instance that names this module is one of its service."""
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
    """An instance of one service, under its name; and what its roles need, under names that begin with it."""
    found: Schema = {}
    for role in service.roles.values():
        found |= _role(f"{name}.{role.name}", role, loaded)
    roles = {role: {"$ref": f"#/$defs/{name}.{role}"} for role in service.roles}
    module = {"$ref": "#/$defs/Module"}
    found[name] = _table({"module": module, "roles": _table(roles)}, service.description)
    return found


def _role(name: str, role: Role[Any], loaded: Loaded) -> Schema:
    settings = _layer(_plain(describe.schema(role.settings)), name)
    found = {f"{name}.{each}": table for each, table in settings.pop("$defs", {}).items()}
    found[f"{name}.settings"] = {"anyOf": [settings, {"$ref": "#/$defs/wrapped"}]}
    found[f"{name}.told"] = _table({"settings": {"$ref": f"#/$defs/{name}.settings"}})
    told = {"$ref": f"#/$defs/{name}.told"}
    fields = {
        "machines": _by_name(loaded.inventory.machines, told),
        "tags": _tags(loaded, told),
        "settings": {"$ref": f"#/$defs/{name}.settings"},
        "extraModules": {"$ref": "#/$defs/Role/properties/extraModules"},
    }
    found[name] = _table(fields, role.description)
    return found


def _table(fields: Schema, description: str = "") -> Schema:
    """A table of these fields alone."""
    about = {"description": description} if description else {}
    return {**about, "type": _TABLE, "properties": fields, "additionalProperties": False}


def _by_name(names: Iterable[str], value: Schema) -> Schema:
    """A table by name; those that there are, are offered, and others may follow."""
    return {
        "type": _TABLE,
        "properties": dict.fromkeys(sorted(names), value),
        "propertyNames": {"pattern": NAME_PATTERN, "maxLength": NAME_LENGTH},
        "additionalProperties": value,
    }


def _tags(loaded: Loaded, told: Schema) -> Schema:
    """The tags of a role: a table with settings, or a list."""
    return {"anyOf": [_by_name(loaded.tags, told), {"type": "array", "items": _one_of(loaded.tags)}]}


def _one_of(names: Iterable[str]) -> Schema:
    """A name; those that there are, are offered."""
    known = sorted(names)
    name = {"type": "string", "pattern": NAME_PATTERN, "maxLength": NAME_LENGTH}
    return {"anyOf": [{"enum": known}, name]} if known else name


def _layer(schema: Any, prefix: str) -> Any:  # noqa: ANN401 - any part of a schema
    """A schema of settings as one of several layers may say them; what it refers to gets names of its own."""
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
    """The value; or one of the module system's forms of it."""
    about: Schema = {key: value[key] for key in ("description", "default") if key in value}
    bare = {key: each for key, each in value.items() if key != "default"}
    return {**about, "anyOf": [bare, {"$ref": "#/$defs/wrapped"}]}


def _plain(schema: Any, *, named: bool = False) -> Any:  # noqa: ANN401 - any part of a schema
    """A schema of pydantic's as draft 7 has it, for one layer: without titles, and a table may be null.

    Args:
        schema: The schema, or a part of it.
        named: Whether its keys are names of the user's rather than words of JSON Schema.
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
    """In the inventory's own tables null says nothing."""
    if isinstance(field.get("type"), str):
        field["type"] = [field["type"], "null"]
    elif "anyOf" in field:
        field["anyOf"] = [*field["anyOf"], {"type": "null"}]


def _unique(names: Iterable[str]) -> list[str]:
    """The names, with a number where one was there before."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(f"service.{name}" if seen[name] == 1 else f"service.{name}.{seen[name]}")
    return found
