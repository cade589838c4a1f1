"""The kinds of values that a role's settings model allows at each place."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, Discriminator, RootModel
from pydantic.fields import FieldInfo

from rolecall.service.settings import Merging, SecretRef

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rolecall.service.contract import Role


@lru_cache(maxsize=1024)
def kind_of(role: Role[Any]) -> Kind:
    """Return the kind of a role's settings as a whole."""
    return Kind([role.settings])


class Kind:
    """The types that one place in settings can have.

    Args:
        annotations: Those types.
        marks: Metadata that pydantic has moved from the annotations to the field.

    Attributes:
        options: The types, without unions, aliases and metadata around them.
        marks: All metadata around them.
    """

    def __init__(self, annotations: Iterable[object], marks: Iterable[object] = ()) -> None:
        self.options: list[Any] = []
        self.marks: list[object] = [*marks]
        for annotation in annotations:
            self._flatten(annotation)
        self._below: dict[str | int, Kind] = {}

    def _flatten(self, annotation: Any) -> None:  # noqa: ANN401 - any annotation
        if hasattr(annotation, "__value__"):  # a `type` alias
            self._flatten(annotation.__value__)
        elif hasattr(annotation, "__supertype__"):  # a NewType
            self._flatten(annotation.__supertype__)
        elif get_origin(annotation) is Annotated:
            inner, *marks = get_args(annotation)
            self.marks += marks
            self._flatten(inner)
        elif get_origin(annotation) in {Union, UnionType}:
            for option in get_args(annotation):
                self._flatten(option)
        elif isinstance(annotation, type) and issubclass(annotation, RootModel):
            self._flatten(annotation.model_fields["root"].annotation)
        else:
            self.options.append(annotation)

    @cached_property
    def models(self) -> list[type[BaseModel]]:
        """The models among the options."""
        return [option for option in self.options if isinstance(option, type) and issubclass(option, BaseModel)]

    @cached_property
    def fields(self) -> Mapping[str, FieldInfo]:
        """The fields of its models by their names in the inventory; {} when it has no models."""
        return {_alias(name, field): field for model in self.models for name, field in model.model_fields.items()}

    def fields_beside(self, key: str) -> Mapping[str, FieldInfo]:
        """Return the fields of those of its models that have no field of this name."""
        others = [model for model in self.models if all(_alias(*each) != key for each in model.model_fields.items())]
        return Kind(others).fields

    @cached_property
    def secret(self) -> bool:
        """Whether this place takes a reference to a secret, and no text."""
        return SecretRef in self.options and str not in self.options

    @cached_property
    def secretive(self) -> bool:
        """Whether this place, or any below it, can hold a reference to a secret."""
        return any(SecretRef in kind.options for kind in self._all())

    @cached_property
    def merging(self) -> Merging:
        """How the values of several layers are merged; unless the author chose, lists of fixed length are replaced."""
        usual = Merging.REPLACE if any(map(_is_fixed, self.options)) else Merging.JOIN
        return next((mark for mark in self.marks if isinstance(mark, Merging)), usual)

    @cached_property
    def tag(self) -> str | None:
        """The key, as the inventory writes it, whose value says which of several models a table is."""
        for mark in self.marks:
            name = mark.discriminator if isinstance(mark, FieldInfo | Discriminator) else None
            if isinstance(name, Discriminator):
                name = name.discriminator
            if isinstance(name, str):
                return next((_alias(name, m.model_fields[name]) for m in self.models if name in m.model_fields), name)
        return None

    @cached_property
    def varies(self) -> bool:
        """Whether this place takes tables of several kinds, with no key that distinguishes them."""
        tables = [option for option in self.options if option in self.models or _is_table(option)]
        return len(tables) > 1 and self.tag is None

    @cached_property
    def guides(self) -> bool:
        """Whether merging depends on this kind: whether anything in it is not merged in the default way."""
        return any(kind.merging != Merging.JOIN or kind.varies or kind.tag for kind in self._all())

    def at(self, keys: Sequence[str | int]) -> Kind:
        """Return the kind at a path in settings of this kind; one without options if the model does not define it."""
        kind = self
        for key in keys:
            kind = kind.below(key)
        return kind

    def below(self, key: str | int) -> Kind:
        """Return the kind of one entry: a field, a value under a free key, or an item of a list."""
        name = key if isinstance(key, str) and key in self.fields else ""
        if name not in self._below:
            self._below[name] = Kind(
                [argument for option in self.options for argument in _items(option)]
                + [field.annotation for field in self._named(name)],
                [mark for field in self._named(name) for mark in (*field.metadata, field)],
            )
        return self._below[name]

    def _named(self, name: str) -> list[FieldInfo]:
        """Return the fields of one name, of all its models."""
        fields = (each for model in self.models for each in model.model_fields.items())
        return [field for own, field in fields if _alias(own, field) == name]

    def _all(self) -> Iterator[Kind]:
        """Yield this kind and every one below it, each type once: it may contain itself."""
        seen: set[int] = set()
        todo = [self]
        while todo:
            kind = todo.pop()
            yield kind
            if not {id(option) for option in kind.options} <= seen:
                seen |= {id(option) for option in kind.options}
                todo += [kind.below(name) for name in (*kind.fields, "")]


def _alias(name: str, field: FieldInfo) -> str:
    return field.alias or name


def _items(option: object) -> list[object]:
    """Return the type of the items of a ``list[T]``, or of the values of a ``dict[str, T]``."""
    arguments = [argument for argument in get_args(option) if argument is not ...]
    return arguments[1:] if _is_table(option) else arguments if isinstance(get_origin(option), type) else []


def _is_fixed(option: object) -> bool:
    """Return whether an option is a tuple of fixed length."""
    kind = get_origin(option) or option
    return isinstance(kind, type) and issubclass(kind, tuple) and kind is not option and ... not in get_args(option)


def _is_table(option: object) -> bool:
    origin = get_origin(option) or option
    return isinstance(origin, type) and issubclass(origin, Mapping)
