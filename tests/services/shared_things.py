"""Resources that two instances on one machine share, or that conflict, as their settings say."""

from collections.abc import Iterator
from typing import Any

from rolecall.service import Directory, File, Group, Member, Resource, Service, Settings, User


class Has(Settings):
    groups: list[str] = []
    motd: str = ""
    where: str = ""


service = Service("mine", description="For tests.")
has = service.role("has", Has, description="Has things.")


@has.configure
def things(me: Member[Has]) -> Iterator[Resource]:
    yield Group("shared")
    yield User("worker", groups=tuple(me.settings.groups))
    if me.settings.motd:
        yield File("/etc/motd", me.settings.motd)
    if me.settings.where:
        yield Directory(me.settings.where)


@service.machine
def once(members: tuple[Member[Any], ...]) -> Iterator[File]:
    yield File("/etc/members", " ".join(f"{each.instance}.{each.role}" for each in members))
