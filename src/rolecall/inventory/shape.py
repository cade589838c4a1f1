"""Validate plain data against the inventory's model, with a fault in its users' terms for each invalid part."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from rolecall.errors import Fault, Where, dotted, nearest
from rolecall.inventory.data import named, shown
from rolecall.inventory.forms import form_at, forms_of
from rolecall.model.inventory import Inventory
from rolecall.model.names import NAME_LENGTH

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic_core import ErrorDetails

    from rolecall.inventory.data import Data, Keys

_EXPECTED: Final = {
    "string_type": "a string",
    "list_type": "a list of strings",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "int_type": "a whole number",
    "bool_type": "true or false",
}
_NAMED: Final = {
    "machines": "machine",
    "tags": "tag",
    "instances": "instance",
    "roles": "role",
    "vars": "var",
    "prompts": "prompt",
    "state": "state",
    "machineClass": "class",
}
NAMES: Final = f"use 1 to {NAME_LENGTH} letters, digits, `_` and `-`; the first character cannot be `-`"
_DOMAIN: Final = "use labels of a to z, 0 to 9 and `-`, separated by dots, such as home.example"
_ADDRESS: Final = "write a host name or an IP address, without user, port and brackets"
_BELOW: Final = {"machines": "MACHINE", "tags": "TAG", "instances": "INSTANCE", "roles": "ROLE"}  # free names
_WORDS: Final = {"[key]", "[list]", "[table]"}  # parts of pydantic's paths that are not keys; no name has brackets
_TRIES: Final = 5  # after removing faulty parts, the rest can show new faults; in practice once


def inventory(data: Data) -> tuple[Inventory, list[Fault]]:
    """Return the valid parts of ``data`` as an inventory, and a fault for each invalid part.

    So faults of later stages can be reported in the same run.
    """
    faults: list[Fault] = []
    for _ in range(_TRIES):
        try:
            return Inventory.model_validate(data, by_alias=True, by_name=False), faults
        except ValidationError as error:
            data = copy.deepcopy(data)
            for detail in error.errors(include_url=False):
                faults.append(_fault(detail))
                _remove(data, detail)
    return Inventory(), faults


def _fault(detail: ErrorDetails) -> Fault:
    keys = _keys(detail)
    message, hint = _message(keys, detail)
    return Fault(message, Where(keys=keys), hint)


def _message(keys: Keys, detail: ErrorDetails) -> tuple[str, str]:
    """Return what is wrong, and a hint."""
    key, value = shown(str(keys[-1])) if keys else "", detail["input"]
    match detail["type"]:
        case "string_pattern_mismatch" | "string_too_long" if keys == ("meta", "domain"):
            result = f"invalid domain name {shown(value)}", _DOMAIN
        case "string_pattern_mismatch" | "string_too_long":
            result = f"invalid {_kind(keys)} name {shown(str(value))}", NAMES
        case "string_too_short":
            result = f"{key} is empty", "write a name, or remove the key"
        case "extra_forbidden":
            result = f"unknown key {key}", _elsewhere(keys)
        case "missing":
            result = f"{key} is missing", ""
        case "literal_error":
            result = f"expected {detail['ctx']['expected']}, found {named(value)}", ""
        case "host_address":
            result = f"invalid address {shown(value)}", _ADDRESS
        case kind if kind in _EXPECTED:
            by_name = isinstance(value, list) and form_at(keys).named
            hint = "write each name as a key; its value is a table, which may be empty" if by_name else ""
            result = f"expected {_EXPECTED[kind]}, found {named(value)}", hint
        case _:
            result = detail["msg"], ""
    return result


def _elsewhere(keys: Keys) -> str:
    """Return a hint where an unknown key may belong: a slip in its letters, or one table too high or too low."""
    around, key = keys[:-1], str(keys[-1])
    known = _names(around)
    close = nearest(key, known, what="keys")
    if close.startswith("did you mean"):
        return close
    below = [(name, *more) for name in known for more in ((), (_BELOW.get(name, ""),))]
    places = [(*path, key) for path in below if key in _names((*around, *path))]
    places += [(*keys[:depth], key) for depth in range(len(around) - 1, -1, -1) if key in _names(keys[:depth])]
    if places:
        return f"did you mean `{dotted(places[0])}`?"
    return f"write a setting of the service as `settings.{key}`" if "settings" in known else close


def _names(keys: Keys) -> Iterable[str]:
    """Return the keys that a table may have."""
    model = form_at(keys).model
    return forms_of(model) if model else ()


def _keys(detail: ErrorDetails) -> Keys:
    return tuple(key for key in detail["loc"] if key not in _WORDS)


def _kind(keys: Keys) -> str:
    if isinstance(keys[-1], int):
        return "machine" if keys[0] == "tags" and keys[2] not in {"any", "all", "none"} else "tag"
    return _NAMED.get(str(keys[-2])) or _NAMED.get(str(keys[-1]), "")


def _remove(data: Data, detail: ErrorDetails) -> None:
    """Remove the smallest faulty entry of a table; a list is removed as a whole, so that its positions stay valid."""
    path: list[tuple[Data, str]] = []
    value: Any = data
    for key in _keys(detail):
        if not isinstance(value, dict) or key not in value:
            break
        path.append((value, str(key)))
        value = value[key]
    if path:
        table, key = path[-1]
        table.pop(key, None)
    else:
        data.clear()
