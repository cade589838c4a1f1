"""Settings of roles, and the types that their fields share."""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, JsonValue, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError, core_schema

from rolecall.service.calendar import is_calendar_event
from rolecall_agent.content import Reference, SecretTextError
from rolecall_agent.resources.checks import DefinitionError, absolute_path

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, SerializationInfo
    from pydantic.json_schema import JsonSchemaValue


class Settings(BaseModel):
    """Base of every role's settings: camelCase in the inventory, snake_case in Python; unknown names are refused."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        allow_inf_nan=False,
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        strict=True,
    )


MARKED: Final = "x-rolecall-merging"


class Merging(Enum):
    """How the values of several layers are merged, as a field's annotation says: ``Annotated[list[str], unique]``."""

    JOIN = "join"
    REPLACE = "replace"
    UNIQUE = "unique"
    LINES = "lines"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:  # noqa: ANN401 - pydantic's signature
        """Note the mark in the field's schema, where `rolecall.service.models` looks (pydantic's documented hook)."""
        schema: Any = handler(source)
        return {**schema, "metadata": {**schema.get("metadata", {}), MARKED: self}}

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return the JSON Schema with the mark, for the description of a service."""
        return {**handler(schema), MARKED: self.value}


join: Final = Merging.JOIN
"""Lists are joined from general to specific, tables merge: what happens without a mark."""
replace: Final = Merging.REPLACE
"""The list or table of a more specific layer replaces those of others."""
unique: Final = Merging.UNIQUE
"""Lists are joined, and of equal items the first is kept."""
lines: Final = Merging.LINES
"""Texts are joined from general to specific, with a line break between them."""


FreeForm = dict[str, JsonValue]
"""A table with any keys and values that the inventory's notation can write."""


class AbsolutePath(str):
    """A normal absolute path on a machine: no ``..``, no control characters. ``path / name`` goes below it.

    Raises:
        DefinitionError: When it is none.
    """

    __slots__ = ()

    def __new__(cls, path: str) -> Self:
        """Check the path."""
        return super().__new__(cls, absolute_path(path, "path"))

    def __truediv__(self, name: str) -> AbsolutePath:
        return AbsolutePath(f"{self.rstrip('/')}/{name}")

    @classmethod
    def _checked(cls, value: object) -> AbsolutePath:
        try:
            return cls(value)  # type: ignore[arg-type]  # it refuses anything but text
        except DefinitionError as error:
            raise PydanticCustomError("path", "{reason}", {"reason": str(error).removeprefix("path: ")}) from None

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:  # noqa: ANN401 - pydantic's signature
        """Return the schema: a text in the inventory, this type in Python (pydantic's documented hook)."""
        return core_schema.no_info_plain_validator_function(
            cls._checked, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _schema: core_schema.CoreSchema, _handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return the JSON Schema, for editors."""
        return {"type": "string", "format": "absolute-path", "pattern": "^/"}


SHOWN: Final = {"secrets": "by name"}
"""The context in which settings are serialized to show them to a person, with references to secrets as data."""

_REFERENCE: Final = r"([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)?)/([A-Za-z0-9_.-]+)"


class SecretRef(Reference):
    """A setting that names a secret: ``{ var = "NAME/FILE" }`` in the inventory, `Member.secret` in a service.

    Attributes:
        name: The var's name, of the same machine or one that all share: ``NAME``, or ``INSTANCE.NAME``.
        file: The file of the var.
    """

    __slots__ = ()

    @property
    def place(self) -> str:
        """``NAME/FILE``."""
        return f"{self.name}/{self.file}"

    @classmethod
    def read(cls, value: object) -> SecretRef | None:
        """Return the reference that a value is; None if it is something else, perhaps a real secret."""
        if not (isinstance(value, dict) and value.keys() == {"var"} and isinstance(value["var"], str)):
            return None
        found = re.fullmatch(_REFERENCE, value["var"])
        return cls(found[1], found[2]) if found else None

    def as_data(self) -> dict[str, str]:
        """Return it as the inventory writes it."""
        return {"var": self.place}

    @staticmethod
    def _serialized(value: SecretRef, info: SerializationInfo) -> dict[str, str]:
        """Return it as data for `SHOWN`; an author who dumps settings into a file means the value."""
        if info.context is not SHOWN:
            raise SecretTextError(
                f"the settings name the secret {value.place}, which cannot be dumped with them; "
                "give it to parts(…) as me.secret(…)"
            )
        return value.as_data()

    @classmethod
    def _checked(cls, value: object) -> SecretRef:
        if found := value if isinstance(value, SecretRef) else cls.read(value):
            return found
        raise PydanticCustomError("secret_ref", "must be a reference to a secret")  # never with the value

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:  # noqa: ANN401 - pydantic's signature
        """Return the schema: a table in the inventory, this type in Python."""
        return core_schema.no_info_plain_validator_function(
            cls._checked,
            serialization=core_schema.plain_serializer_function_ser_schema(cls._serialized, info_arg=True),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _schema: core_schema.CoreSchema, _handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return the JSON Schema, for editors."""
        var = {"type": "string", "pattern": f"^{_REFERENCE}$"}
        return {"type": "object", "properties": {"var": var}, "required": ["var"], "additionalProperties": False}


def _calendar_event(text: str) -> str:
    if is_calendar_event(text):
        return text
    raise PydanticCustomError(
        "calendar", "is not a calendar event of systemd.time(7), such as 'daily' or 'Mon..Fri *-*-* 01:30:00'"
    )


CalendarEvent = Annotated[
    str, AfterValidator(_calendar_event), WithJsonSchema({"type": "string", "format": "calendar-event"})
]
"""A time that recurs, as systemd.time(7) writes it."""
