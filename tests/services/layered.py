"""Settings of every kind that layers of an inventory can set, and secrets that settings refer to."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from rolecall.service import File, Member, Passphrase, SecretRef, Service, Settings, parts, replace


class Local(Settings):
    kind: Literal["local"]
    folder: str = "/var/mail"


class Remote(Settings):
    kind: Literal["remote"]
    host: str


class RelaySettings(Settings):
    names: list[str] = []
    level: Literal["debug", "info"] = "info"
    limit: int | None = 5
    relays: Annotated[list[str], replace] = []
    store: Annotated[Local | Remote, Field(discriminator="kind")] = Local(kind="local")
    password: SecretRef | None = None
    passwords: dict[str, SecretRef] = {}


service = Service("mail", description="For tests.")
relay = service.role("relay", RelaySettings, description="Any.")
admin = relay.var("admin", Passphrase())


@relay.configure
def go(me: Member[RelaySettings]) -> Iterator[File]:
    for name, reference in me.settings.passwords.items():
        yield File(me.path(name), parts("PASS=", me.secret(reference)))
