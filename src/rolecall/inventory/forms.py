"""The form of data at each key path of an inventory, taken from its model (`rolecall.model.inventory`)."""

from __future__ import annotations

import types
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel

from rolecall.model.inventory import Inventory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rolecall.inventory.data import Keys


class Form(NamedTuple):
    """The form of the data at one key path; a single value if no attribute is set.

    Attributes:
        model: A table with these fields.
        named: A table whose keys are names, with this form below each.
        settings: A table that belongs to a service.
        listed: A list.
    """

    model: type[BaseModel] | None = None
    named: Form | None = None
    settings: bool = False
    listed: bool = False

    def below(self, key: str) -> Form:
        """Return the form of an entry; that of a single value if the inventory has no such entry."""
        return self.named or (forms_of(self.model).get(key, VALUE) if self.model else VALUE)


VALUE: Final = Form()


@cache
def forms_of(model: type[BaseModel]) -> Mapping[str, Form]:
    """Return the form of each field of a table, by its name in files."""
    return {field.alias or name: _form(field.annotation) for name, field in model.model_fields.items()}


def form_at(keys: Keys) -> Form:
    """Return the form at a key path; that of a single value if the inventory has no such path."""
    form = Form(model=Inventory)
    for key in keys:
        form = form.below(str(key))
    return form


def _form(annotation: Any) -> Form:  # noqa: ANN401 - any annotation
    options = [*_options(annotation)]
    model = next((each for each in options if isinstance(each, type) and issubclass(each, BaseModel)), None)
    listed = any(get_origin(each) is list for each in options)
    below = next((get_args(each)[1] for each in options if get_origin(each) is dict), None)
    settings = below is Any
    return Form(model, _form(below) if below and not settings else None, settings, listed)


def _options(annotation: Any) -> Iterator[Any]:  # noqa: ANN401 - any annotation
    """Yield the types that an annotation allows."""
    if get_origin(annotation) is Annotated:
        yield from _options(get_args(annotation)[0])
    elif get_origin(annotation) in {Union, types.UnionType}:
        for option in get_args(annotation):
            yield from _options(option)
    else:
        yield annotation
