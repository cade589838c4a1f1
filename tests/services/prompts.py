"""Two vars that prompt: for a password, and for a line that a script turns into a public value."""

from collections.abc import Iterator

from rolecall.service import (
    File,
    Member,
    NoSettings,
    Prompt,
    Prompted,
    Script,
    Secret,
    Service,
    VarFile,
    secret_file,
)

SCRIPT = 'tr a-z A-Z <"$prompts/name" >"$out/mark"'

service = Service("mail", description="Sends mail.")
relay = service.role("relay", description="Relays.")
smtp = relay.var("smtp", Prompted("password", "The password of the mail account"))
mark = relay.var("mark", Script(SCRIPT, (VarFile("mark", secret=False),), (Prompt("name", "Its name", "line"),)))


@relay.configure
def configure(me: Member[NoSettings]) -> Iterator[File]:
    password, name = me[smtp]["password"], me[mark]["mark"]
    assert isinstance(password, Secret)
    assert isinstance(name, str)
    yield secret_file(password)
    yield File(me.path("mark"), name)
