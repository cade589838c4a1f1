"""What a role's settings model says of each place in the settings: the one reader of its annotations."""

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
    """The kind of a role's settings as a whole."""
    return Kind([role.settings])


class Kind:
    """What may stand at one place.

    Args:
        annotations: The types that it may have.
        marks: Metadata that pydantic has taken from around them.

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
        """The fields of its models by their names in the inventory; {} where any key, or none, may stand."""
        return {_alias(name, field): field for model in self.models for name, field in model.model_fields.items()}

    def fields_beside(self, key: str) -> Mapping[str, FieldInfo]:
        """The fields of those of its models that have no field of this name."""
        others = [model for model in self.models if all(_alias(*each) != key for each in model.model_fields.items())]
        return Kind(others).fields

    @cached_property
    def secret(self) -> bool:
        """Whether a reference to a secret stands here, and no text may."""
        return SecretRef in self.options and str not in self.options

    @cached_property
    def secretive(self) -> bool:
        """Whether a reference to a secret may stand here or anywhere below."""
        return any(SecretRef in kind.options for kind in self._all())

    @cached_property
    def merging(self) -> Merging:
        """How the values of several layers become one: as its author chose, and a list of fixed length is replaced."""
        usual = Merging.REPLACE if any(map(_is_fixed, self.options)) else Merging.JOIN
        return next((mark for mark in self.marks if isinstance(mark, Merging)), usual)

    @cached_property
    def tag(self) -> str | None:
        """The key that tells which of several models a table is, by its name in the inventory."""
        for mark in self.marks:
            name = mark.discriminator if isinstance(mark, FieldInfo | Discriminator) else None
            if isinstance(name, Discriminator):
                name = name.discriminator
            if isinstance(name, str):
                return next((_alias(name, m.model_fields[name]) for m in self.models if name in m.model_fields), name)
        return None

    @cached_property
    def varies(self) -> bool:
        """Whether tables of several kinds may stand here that nothing tells apart."""
        tables = [option for option in self.options if option in self.models or _is_table(option)]
        return len(tables) > 1 and self.tag is None

    @cached_property
    def guides(self) -> bool:
        """Whether merging must know this kind: here or anywhere below it goes another way than it usually does."""
        return any(kind.merging != Merging.JOIN or kind.varies or kind.tag for kind in self._all())

    def at(self, keys: Sequence[str | int]) -> Kind:
        """The kind at a path in settings of this kind; one without options where nothing is known of it."""
        kind = self
        for key in keys:
            kind = kind.below(key)
        return kind

    def below(self, key: str | int) -> Kind:
        """The kind of one entry: of a field, or of what stands in a table with free keys or in a list."""
        name = key if isinstance(key, str) and key in self.fields else ""
        if name not in self._below:
            self._below[name] = Kind(
                [argument for option in self.options for argument in _items(option)]
                + [field.annotation for field in self._named(name)],
                [mark for field in self._named(name) for mark in (*field.metadata, field)],
            )
        return self._below[name]

    def _named(self, name: str) -> list[FieldInfo]:
        """The fields of one name, of all its models."""
        fields = (each for model in self.models for each in model.model_fields.items())
        return [field for own, field in fields if _alias(own, field) == name]

    def _all(self) -> Iterator[Kind]:
        """This kind and every one below it, each type once: it may contain itself."""
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
    """What may stand inside a type such as ``list[T]`` or ``dict[str, T]``."""
    arguments = [argument for argument in get_args(option) if argument is not ...]
    return arguments[1:] if _is_table(option) else arguments if isinstance(get_origin(option), type) else []


def _is_fixed(option: object) -> bool:
    """Whether an option is a tuple whose length is fixed."""
    kind = get_origin(option) or option
    return isinstance(kind, type) and issubclass(kind, tuple) and kind is not option and ... not in get_args(option)


def _is_table(option: object) -> bool:
    origin = get_origin(option) or option
    return isinstance(origin, type) and issubclass(origin, Mapping)
