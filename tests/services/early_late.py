"""A file for each stage at which its content can be known: at once, after reading a var, after reading an export."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from rolecall.service import Check, File, Interface, Member, NoSettings, Passphrase, Service, Settings, SSHKeyPair
from services import calls


class Contents(Settings):
    first: str = "x"
    secret: str = "x"  # noqa: S105 - the content of a file
    public: str = "x"
    named: str = "x"


class Name(Interface):
    text: str


service = Service("mine", description="For tests.")
one = service.role("one", Contents, description="One.")
two = service.role("two", description="Two.")
words = one.var("words", Passphrase())
key = two.var("key", SSHKeyPair())


@two.exports(Name, needs=[key])
def publish(me: Member[NoSettings]) -> Iterator[Name]:
    yield Name(text=me[key].public)


@one.configure
def files(me: Member[Contents]) -> Iterator[File]:
    calls.append(me.machine)
    yield File("/etc/first", me.settings.first)
    _ = me[words].secret
    yield File("/etc/secret", me.settings.secret)
    with suppress(Exception):
        [peer] = me.members(two)
        _ = peer[key].public
    yield File("/etc/public", me.settings.public)


@one.check
def works(_: Member[Contents]) -> Iterator[Check]:
    yield Check("works", ("true",))


@service.machine
def machine(members: tuple[Member[Any], ...]) -> Iterator[File]:
    for me in members:
        if me.role == "one":
            [_] = me.exports(Name, instance=me.instance)
            yield File("/etc/named", me.settings.named)
