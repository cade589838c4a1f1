"""A setting of several types, whose values Python may take for equal: true, 1 and 1.0."""

from collections.abc import Iterator

from rolecall.service import File, Member, Service, Settings


class Anything(Settings):
    value: bool | int | float | list[bool | int] = False


service = Service("loose", description="Writes down what it was given.")
role = service.role("role", Anything, description="Does so.")


@role.configure
def write(me: Member[Anything]) -> Iterator[File]:
    yield File(me.path("value"), repr(me.settings.value))
