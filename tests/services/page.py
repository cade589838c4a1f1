"""A page whose text is a setting, and a file with a password beside it."""

from collections.abc import Iterator

from rolecall.service import File, Member, Passphrase, Service, Settings, parts


class Page(Settings):
    text: str


service = Service("page", description="For tests.")
server = service.role("server", Page, description="Has both.")
password = server.var("password", Passphrase())


@server.configure
def configure(me: Member[Page]) -> Iterator[File]:
    yield File("/srv/page", f"{me.settings.text}\n")
    yield File("/etc/password", parts("password = ", me[password].secret, "\n"))
