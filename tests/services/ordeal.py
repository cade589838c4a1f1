"""Ten files, a user, a folder, a secret and a daemon, all with one text, so that a mixture of two texts shows."""

from collections.abc import Iterator

from rolecall.service import (
    Check,
    Directory,
    File,
    Member,
    Passphrase,
    Resource,
    Service,
    Settings,
    User,
    secret_file,
    service_unit,
)


class NodeSettings(Settings):
    text: str


service = Service("node", description="Something of every kind.")
node = service.role("node", NodeSettings, description="Has it.")
words = node.var("words", Passphrase(words=4))


@node.configure
def have(me: Member[NodeSettings]) -> Iterator[Resource]:
    yield User("node", home="/var/lib/node")
    yield Directory("/srv/node", owner="node", mode=0o750)
    files = [File(f"/etc/node/{number}", me.settings.text, owner="node") for number in range(10)]
    yield from files
    yield File(f"/srv/node/{me.settings.text}", "only while it is so")
    yield secret_file(me[words].secret)
    run = ["/bin/sleep", "infinity"]
    yield service_unit("node.service", run, description=f"A daemon: {me.settings.text}", restart_on=files)


@node.check
def peers_answer(_: Member[NodeSettings]) -> Iterator[Check]:
    yield Check("peers answer", ("/bin/sleep", "0.3"), peers=True)
