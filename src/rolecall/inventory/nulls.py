"""What a key without a value means: in the inventory's own tables it says nothing (docs/decisions/037-null.md).

A name without a value (``jon:`` below `machines`) declares what it names, with nothing more said; any other key of the
inventory's own without a value counts as left out. Inside of settings null is a value, and belongs to the service.
"""

from __future__ import annotations

import types
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel

from rolecall.errors import Fault, Where
from rolecall.inventory.data import shown
from rolecall.model.inventory import Inventory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rolecall.inventory.data import Data, Keys
    from rolecall.model.inventory import Source


class _Form(NamedTuple):
    """What stands at a key of the inventory's own: one of the four."""

    model: type[BaseModel] | None = None
    named: _Form | None = None  # a table whose keys are names, with this form below each
    settings: bool = False
    listed: bool = False


_VALUE: Final = _Form()


class _Silent(NamedTuple):
    """A key without a value.

    Attributes:
        keys: Its path.
        form: What belongs there.
        declares: Whether it is a name, which declares what it names.
    """

    keys: Keys
    form: _Form
    declares: bool = False


def settled(source: Source) -> tuple[Data, list[Fault]]:
    """Return what a source says, without the keys that say nothing.

    Returns:
        The data, in which null stands in settings only; a warning for each table or list without a value, since such a
        key is often what is left of one; and a fault for each setting with nothing behind it.
    """
    silent: list[_Silent] = []
    data = _table(source.data, Inventory, (), silent)
    hint = "write its value, or remove the key"
    faults = [
        Fault(f"{_last(keys)} has no value, so it says nothing", Where(source.file, keys), hint, warning=True)
        for keys, form, declares in silent
        if form != _VALUE and not declares
    ]
    hint = "write `null` to say that there is no value, or remove the key"
    empty = [keys for keys in source.empty if _in_settings(keys)]
    return data, [*faults, *(Fault(f"{_last(keys)} has no value", Where(source.file, keys), hint) for keys in empty)]


def unsaid(data: Data) -> Iterator[Keys]:
    """Yield the key path of each null outside of settings."""
    silent: list[_Silent] = []
    _table(data, Inventory, (), silent)
    return (each.keys for each in silent)


def _table(data: Mapping[str, Any], model: type[BaseModel], keys: Keys, silent: list[_Silent]) -> Data:
    """Return a table without the keys that say nothing, which are added to `silent`."""
    forms = _forms(model)
    found = {}
    for key, value in data.items():
        form = forms.get(key)
        if value is None and form:
            silent.append(_Silent((*keys, key), form))
        else:
            found[key] = _value(value, form or _VALUE, (*keys, key), silent)
    return found


def _value(value: Any, form: _Form, keys: Keys, silent: list[_Silent]) -> Any:  # noqa: ANN401 - any data
    if not isinstance(value, dict):
        return value
    if form.model:
        return _table(value, form.model, keys, silent)
    return _names(value, form.named, keys, silent) if form.named else value


def _names(data: Mapping[str, Any], form: _Form, keys: Keys, silent: list[_Silent]) -> Data:
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


@cache
def _forms(model: type[BaseModel]) -> Mapping[str, _Form]:
    """The form of each field of a table, by its name in files."""
    return {field.alias or name: _form(field.annotation) for name, field in model.model_fields.items()}


def _form(annotation: Any) -> _Form:  # noqa: ANN401 - any annotation
    options = [*_options(annotation)]
    model = next((each for each in options if isinstance(each, type) and issubclass(each, BaseModel)), None)
    listed = any(get_origin(each) is list for each in options)
    below = next((get_args(each)[1] for each in options if get_origin(each) is dict), None)
    settings = below is Any
    return _Form(model, _form(below) if below and not settings else None, settings, listed)


def _options(annotation: Any) -> Iterator[Any]:  # noqa: ANN401 - any annotation
    """The types that may stand at a place."""
    if get_origin(annotation) is Annotated:
        yield from _options(get_args(annotation)[0])
    elif get_origin(annotation) in {Union, types.UnionType}:
        for option in get_args(annotation):
            yield from _options(option)
    else:
        yield annotation


def _in_settings(keys: Keys) -> bool:
    """Whether a key path leads into settings."""
    form = _Form(model=Inventory)
    for key in keys:
        if form.settings:
            return True
        form = form.named or (_forms(form.model).get(str(key), _VALUE) if form.model else _VALUE)
    return False
