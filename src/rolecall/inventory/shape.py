"""Plain data to the inventory's model, with a fault in the inventory's own words for each part that does not fit."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from rolecall.errors import Fault, Where, dotted, nearest
from rolecall.inventory.data import named, shown
from rolecall.inventory.forms import form_at, forms_of
from rolecall.model.inventory import NAME_LENGTH, Inventory

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic_core import ErrorDetails

    from rolecall.inventory.data import Data, Keys

_EXPECTED: Final = {
    "string_type": "a text",
    "list_type": "a list of texts",
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
_BELOW: Final = {"machines": "MACHINE", "tags": "TAG", "instances": "INSTANCE", "roles": "ROLE"}  # free names
_WORDS: Final = {"[key]", "[list]", "[table]"}  # what pydantic's paths hold besides keys; no name has brackets
_TRIES: Final = 5  # what is left after removing the faulty can show new faults; in practice once


def inventory(data: Data) -> tuple[Inventory, list[Fault]]:
    """The inventory that ``data`` describes, as far as it fits, and a fault for each part that does not.

    The rest is given too so that faults of later stages can be reported in the same run.
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
    message, hint = _told(keys, detail)
    return Fault(message, Where(keys=keys), hint)


def _told(keys: Keys, detail: ErrorDetails) -> tuple[str, str]:
    """What is wrong, and what to do."""
    key, found = shown(str(keys[-1])) if keys else "", detail["input"]
    match detail["type"]:
        case "string_pattern_mismatch" | "string_too_long" if keys == ("meta", "domain"):
            told = f"invalid domain name {shown(found)}", _DOMAIN
        case "string_pattern_mismatch" | "string_too_long":
            told = f"invalid {_kind(keys)} name {shown(str(found))}", NAMES
        case "string_too_short":
            told = f"{key} is empty", "write a name, or remove the key"
        case "extra_forbidden":
            told = f"unknown key {key}", _elsewhere(keys)
        case "missing":
            told = f"{key} is missing", ""
        case "literal_error":
            told = f"expected {detail['ctx']['expected']}, found {named(found)}", ""
        case kind if kind in _EXPECTED:
            by_name = isinstance(found, list) and form_at(keys).named
            hint = "write each name as a key; its value is a table, which may be empty" if by_name else ""
            told = f"expected {_EXPECTED[kind]}, found {named(found)}", hint
        case _:
            told = detail["msg"], ""
    return told


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
    """The keys that may stand in a table."""
    model = form_at(keys).model
    return forms_of(model) if model else ()


def _keys(detail: ErrorDetails) -> Keys:
    return tuple(key for key in detail["loc"] if key not in _WORDS)


def _kind(keys: Keys) -> str:
    if isinstance(keys[-1], int):
        return "machine" if keys[0] == "tags" and keys[2] not in {"any", "all", "none"} else "tag"
    return _NAMED.get(str(keys[-2])) or _NAMED.get(str(keys[-1]), "")


def _remove(data: Data, detail: ErrorDetails) -> None:
    """Takes the smallest faulty entry out of a table; a list goes as a whole, so that its positions stay true."""
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
