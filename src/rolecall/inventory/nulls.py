"""What a key without a value means: in the inventory's own tables it says nothing (docs/decisions/037-null.md).

A name without a value (``jon:`` below `machines`) declares what it names, with nothing more said; any other key of the
inventory's own without a value counts as left out. Inside of settings null is a value, and belongs to the service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rolecall.errors import Fault, Where
from rolecall.inventory.changes import Unset, apply
from rolecall.inventory.data import shown
from rolecall.inventory.forms import VALUE, Form, form_at, forms_of
from rolecall.model.inventory import Inventory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import BaseModel

    from rolecall.inventory.data import Data, Keys
    from rolecall.model.inventory import Source


class _Silent(NamedTuple):
    """A key without a value.

    Attributes:
        keys: Its path.
        form: What belongs there.
        declares: Whether it is a name, which declares what it names.
    """

    keys: Keys
    form: Form
    declares: bool = False


def settled(source: Source) -> tuple[Data, list[Fault]]:
    """Return what a source says, without the keys that say nothing.

    Returns:
        The data, in which null stands in settings only; a warning for each table or list without a value, since such a
        key is often what is left of one; and a fault for each setting with nothing behind it.
    """
    if source.file.suffix == ".toml":  # which has no null
        return dict(source.data), []
    silent: list[_Silent] = []
    data = _table(source.data, Inventory, (), silent)
    hint = "write a value, or remove the key"
    faults = [
        Fault(f"{_last(keys)} has no value and is ignored", Where(source.file, keys), hint, warning=True)
        for keys, form, declares in silent
        if form != VALUE and not declares
    ]
    hint = "write a value, which may be `null`, or remove the key"
    empty = [keys for keys in source.empty if _in_settings(keys)]
    for keys in empty:
        if isinstance(keys[-1], str):  # its one fault is enough: what the service says of null would be another
            data = apply(data, Unset(keys))
    return data, [*faults, *(Fault(f"{_last(keys)} has no value", Where(source.file, keys), hint) for keys in empty)]


def unsaid(data: Data) -> Iterator[Keys]:
    """Yield the key path of each null outside of settings."""
    silent: list[_Silent] = []
    _table(data, Inventory, (), silent)
    return (each.keys for each in silent)


def _table(data: Mapping[str, Any], model: type[BaseModel], keys: Keys, silent: list[_Silent]) -> Data:
    """Return a table without the keys that say nothing, which are added to `silent`."""
    forms = forms_of(model)
    found = {}
    for key, value in data.items():
        form = forms.get(key)
        if value is None and form:
            silent.append(_Silent((*keys, key), form))
        else:
            found[key] = _value(value, form or VALUE, (*keys, key), silent)
    return found


def _value(value: Any, form: Form, keys: Keys, silent: list[_Silent]) -> Any:  # noqa: ANN401 - any data
    if not isinstance(value, dict):
        return value
    if form.model:
        return _table(value, form.model, keys, silent)
    return _names(value, form.named, keys, silent) if form.named else value


def _names(data: Mapping[str, Any], form: Form, keys: Keys, silent: list[_Silent]) -> Data:
    found = {}
    for name, value in data.items():
        if value is not None:
            found[name] = _value(value, form, (*keys, name), silent)
            continue
        declares = form.model is not None and not form.listed
        if declares:
            found[name] = {}
        silent.append(_Silent((*keys, name), form, declares))
    return found


def _last(keys: Keys) -> str:
    key = keys[-1]
    return shown(key) if isinstance(key, str) else f"item [{key}] of {_last(keys[:-1])}"


def _in_settings(keys: Keys) -> bool:
    """Whether a key path leads into settings."""
    return any(form_at(keys[:depth]).settings for depth in range(len(keys)))
