"""Secrets in files that their owner or a group can read, and users who are neither."""

from collections.abc import Iterator

from rolecall.service import (
    Delivery,
    Directory,
    File,
    Group,
    Member,
    NoSettings,
    Passphrase,
    Resource,
    Service,
    User,
    parts,
    secret_file,
)

service = Service("kept", description="For tests.")
one = service.role("one", description="Has secrets.")
own, shared, sent = (one.var(name, Passphrase()) for name in ("own", "shared", "sent"))
delivered = one.var("delivered", Passphrase(), deliver={"passphrase": Delivery(group="readers", mode=0o440)})


@one.configure
def configure(me: Member[NoSettings]) -> Iterator[Resource]:
    yield Group("readers")
    yield User("owner")
    yield User("reader", groups=("readers",))
    yield User("other")
    yield Directory("/srv/open")
    yield File("/srv/open/own", parts("own = ", me[own].secret), owner="owner")
    yield File("/srv/open/shared", parts("shared = ", me[shared].secret), readable_by="readers")
    yield secret_file(me[sent].secret, owner="owner")
