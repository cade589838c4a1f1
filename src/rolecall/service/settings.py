"""Settings of roles, and the types that their fields share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError, core_schema

from rolecall.service.calendar import is_calendar_event
from rolecall_agent.resources.checks import DefinitionError, absolute_path

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue


class Settings(BaseModel):
    """Base of every role's settings: camelCase in the inventory, snake_case in Python; unknown names are refused."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True, populate_by_name=True, strict=True)


class AbsolutePath(str):
    """A normal absolute path on a machine: no ``..``, no control characters. ``path / name`` goes below it.

    Raises:
        DefinitionError: When it is none.
    """

    __slots__ = ()

    def __new__(cls, path: str) -> Self:
        """The path, checked."""
        return super().__new__(cls, absolute_path(path, "path"))

    def __truediv__(self, name: str) -> AbsolutePath:
        return AbsolutePath(f"{self.rstrip('/')}/{name}")

    @classmethod
    def _checked(cls, value: object) -> AbsolutePath:
        try:
            return cls(value)  # type: ignore[arg-type]  # it refuses what is no text
        except DefinitionError as error:
            raise PydanticCustomError("path", "{reason}", {"reason": str(error).removeprefix("path: ")}) from None

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:  # noqa: ANN401 - pydantic's signature
        """A text in the inventory, this type in Python (pydantic's documented hook)."""
        return core_schema.no_info_plain_validator_function(
            cls._checked, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _schema: core_schema.CoreSchema, _handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """For editors."""
        return {"type": "string", "format": "absolute-path", "pattern": "^/"}


def _calendar_event(text: str) -> str:
    if is_calendar_event(text):
        return text
    raise PydanticCustomError(
        "calendar", "is no calendar event of systemd.time(7), such as 'daily' or 'Mon..Fri *-*-* 01:30:00'"
    )


CalendarEvent = Annotated[
    str, AfterValidator(_calendar_event), WithJsonSchema({"type": "string", "format": "calendar-event"})
]
"""A time that recurs, as systemd.time(7) writes it."""
