"""Keys without a value (docs/decisions/037-null.md).

A name without a value, as ``jon:`` below `machines`, declares what it names, as an empty table does. Any other key of
the inventory is ignored without a value. Inside settings, null is a value like any other.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple

from rolecall.errors import Fault, Where
from rolecall.inventory.changes import Set, Unset, apply
from rolecall.inventory.data import shown
from rolecall.inventory.forms import VALUE, Form, form_at, forms_of
from rolecall.model.inventory import Inventory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import BaseModel

    from rolecall.inventory.data import Data, Keys
    from rolecall.model.source import Source


class _Null(NamedTuple):
    """A key without a value.

    Attributes:
        keys: Its path.
        form: What belongs there.
        declares: Whether it is a name, which declares what it names.
    """

    keys: Keys
    form: Form
    declares: bool = False


def without(source: Source) -> tuple[Data, list[Fault]]:
    """Return the data of a source without keys that have no value.

    Returns:
        The data, which has null in settings only; a warning for each table or list without a value, since its lines
        may have been lost; and a fault for each setting without a value.
    """
    if source.file.suffix == ".toml":  # which has no null
        return dict(source.data), []
    nulls: list[_Null] = []
    data = _table(source.data, Inventory, (), nulls)
    hint = "write a value, or remove the key"
    faults = [
        Fault(f"{_last(keys)} has no value and is ignored", Where(source.file, keys), hint, warning=True)
        for keys, form, declares in nulls
        if form != VALUE and not declares
    ]
    hint = "write a value, which may be `null`, or remove the key"
    empty = [keys for keys in source.empty if _in_settings(keys)]
    for keys in empty:
        if isinstance(keys[-1], str):  # one fault is enough; null could cause another
            data = apply(data, Unset(keys))
    return data, [*faults, *(Fault(f"{_last(keys)} has no value", Where(source.file, keys), hint) for keys in empty)]


def declared(data: Data) -> Data:
    """Return the data with an empty table in place of each name without a value, which declares what it names."""
    nulls: list[_Null] = []
    _table(data, Inventory, (), nulls)
    return reduce(apply, (Set(each.keys, {}) for each in nulls if each.declares), data)


def ignored(data: Data) -> Iterator[Keys]:
    """Yield the key path of each null outside of settings."""
    nulls: list[_Null] = []
    _table(data, Inventory, (), nulls)
    return (each.keys for each in nulls)


def _table(data: Mapping[str, Any], model: type[BaseModel], keys: Keys, nulls: list[_Null]) -> Data:
    """Return a table without the keys that have no value, which are added to `nulls`."""
    forms = forms_of(model)
    kept = {}
    for key, value in data.items():
        form = forms.get(key)
        if value is None and form:
            nulls.append(_Null((*keys, key), form))
        else:
            kept[key] = _value(value, form or VALUE, (*keys, key), nulls)
    return kept


def _value(value: Any, form: Form, keys: Keys, nulls: list[_Null]) -> Any:  # noqa: ANN401 - any data
    if not isinstance(value, dict):
        return value
    if form.model:
        return _table(value, form.model, keys, nulls)
    return _names(value, form.named, keys, nulls) if form.named else value


def _names(data: Mapping[str, Any], form: Form, keys: Keys, nulls: list[_Null]) -> Data:
    kept = {}
    for name, value in data.items():
        if value is not None:
            kept[name] = _value(value, form, (*keys, name), nulls)
            continue
        declares = form.model is not None and not form.listed
        if declares:
            kept[name] = {}
        nulls.append(_Null((*keys, name), form, declares))
    return kept


def _last(keys: Keys) -> str:
    key = keys[-1]
    return shown(key) if isinstance(key, str) else f"item [{key}] of {_last(keys[:-1])}"


def _in_settings(keys: Keys) -> bool:
    """Return whether a key path leads into settings."""
    return any(form_at(keys[:depth]).settings for depth in range(len(keys)))
