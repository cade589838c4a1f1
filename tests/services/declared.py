"""A file with the secret that a setting refers to, for vars that the inventory declares."""

from collections.abc import Iterator

from rolecall.service import File, Member, Passphrase, SecretRef, Service, Settings


class RelaySettings(Settings):
    password: SecretRef | None = None


service = Service("mail", description="For tests.")
relay = service.role("relay", RelaySettings, description="All.")
relay.var("own", Passphrase(), scope="machine")


@relay.configure
def configure(me: Member[RelaySettings]) -> Iterator[File]:
    if me.settings.password:
        yield File("/etc/password-" + me.instance, me.secret(me.settings.password))
