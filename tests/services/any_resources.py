"""Resources as the inventory writes them: by the name in `rolecall.service` that makes them, with its arguments."""

from collections.abc import Iterator
from typing import Any

import rolecall.service
from rolecall.service import FreeForm, Member, Password, Resource, Service, Settings


class Made(Settings):
    name: str
    arguments: FreeForm = {}
    with_password: bool = False


class NodeSettings(Settings):
    resources: list[Made] = []


service = Service("any", description="Any resources.")
node = service.role("node", NodeSettings, description="Has them.")
login = node.var("login", Password())


@node.configure
def have(me: Member[NodeSettings]) -> Iterator[Resource]:
    for each in me.settings.resources:
        secret = {"password": me[login].hash} if each.with_password else {}
        made: Any = getattr(rolecall.service, each.name)(**each.arguments, **secret)
        yield from [made] if isinstance(made, Resource) else made
