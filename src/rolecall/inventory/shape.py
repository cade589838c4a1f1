"""Plain data to the inventory's model; what does not fit is told in the inventory's own words."""

from __future__ import annotations

import copy
import types
from typing import TYPE_CHECKING, Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from rolecall.errors import Fault, Where, nearest
from rolecall.inventory import clan
from rolecall.inventory.data import named, shown
from rolecall.model.inventory import NAME_LENGTH, Inventory

if TYPE_CHECKING:
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
    "machines": "a machine",
    "tags": "a tag",
    "instances": "an instance",
    "roles": "a role",
    "vars": "a var",
    "prompts": "a prompt",
    "state": "a state",
    "machineClass": "a machine class",
}
_NAMES: Final = f"names are letters, digits, `_` and `-`, do not start with `-`, and have 1 to {NAME_LENGTH} signs"
_WORDS: Final = {"[key]", "[list]", "[table]"}  # what pydantic's paths hold besides keys; no name has brackets
_TRIES: Final = 5  # what is left after removing the faulty can show new faults; in practice once


def inventory(data: Data) -> tuple[Inventory, list[Fault]]:
    """The inventory that ``data`` describes, as far as it fits, and a fault for each part that does not.

    The rest is given too so that faults of later stages can be reported in the same run. Fields that Clan alone has are
    left out with a warning.
    """
    data, ignored = clan.without(data)
    faults = [*ignored]
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
    kind, found = detail["type"], detail["input"]
    if kind in {"string_pattern_mismatch", "string_too_long"}:
        return Fault(f"{shown(str(found))} is no name for {_kind(keys)}", Where(keys=keys), _NAMES)
    if kind == "extra_forbidden":
        key = str(keys[-1])
        known = [each.alias or name for name, each in _fields(keys[:-1]).items()]
        return Fault(f"unknown key {shown(key)}", Where(keys=keys), nearest(key, known, what="keys"))
    if kind == "missing":
        return Fault(f"{shown(str(keys[-1]))} is missing", Where(keys=keys))
    if expected := detail["ctx"]["expected"] if kind == "literal_error" else _EXPECTED.get(kind):
        return Fault(f"expected {expected}, found {named(found)}", Where(keys=keys))
    return Fault(detail["msg"], Where(keys=keys))


def _keys(detail: ErrorDetails) -> Keys:
    return tuple(key for key in detail["loc"] if key not in _WORDS)


def _kind(keys: Keys) -> str:
    if isinstance(keys[-1], int):
        return "a machine" if keys[0] == "tags" and keys[2] not in {"any", "all", "none"} else "a tag"
    return _NAMED.get(str(keys[-2])) or _NAMED.get(str(keys[-1]), "this")


def _fields(keys: Keys) -> dict[str, Any]:
    """The fields of the table at ``keys``."""
    kind: Any = Inventory
    for key in keys:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = next(
                (each.annotation for name, each in kind.model_fields.items() if key in {name, each.alias}), None
            )
        else:
            kind = get_args(kind)[-1]
        while get_origin(kind) in {Annotated, Union, types.UnionType}:
            kind = get_args(kind)[0]
    return kind.model_fields if isinstance(kind, type) and issubclass(kind, BaseModel) else {}


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
