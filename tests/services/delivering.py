"""Vars whose files are installed, with different owners and modes; one is also yielded as a resource."""

from collections.abc import Iterator

from rolecall.service import Delivery, File, Member, NoSettings, Passphrase, Service, SSHKeyPair

service = Service("web", description="For tests.")
host = service.role("host", description="All.")
pair = host.var(
    "pair",
    SSHKeyPair(),
    deliver={
        "private": Delivery("www", "www", 0o440, restarts=("web.service",)),
        "public": Delivery(mode=0o444),
    },
)
word = host.var("word", Passphrase(), scope="shared", deliver={"passphrase": Delivery(needed_for="packages")})
other = host.var("other", Passphrase())


@host.configure
def configure(me: Member[NoSettings]) -> Iterator[File]:
    yield File(me.path("where"), me.var_path(pair, "public"))
    yield File(me.var_path(word, "passphrase"), me[word].secret, mode=0o400, needed_for="packages")
