"""A file, a secret and a daemon. A switch takes as long as the daemon needs to start, or cuts off its own link.

The check with peers takes as long as /run/hold exists, but only after a switch: it also runs before.
"""

from collections.abc import Iterator

from rolecall.service import Check, File, Member, Passphrase, Resource, Service, Settings, Unit, secret_file


class NodeSettings(Settings):
    text: str = "one"
    unit: str = "Type=simple\nExecStart=/bin/sleep infinity"
    sshd: str = ""
    cut: str = ""
    size: int = 1


HOLD = "while [ -e /run/hold ] && [ -e /var/lib/rolecall/journal.json ]; do sleep 0.05; done"

service = Service("node", description="A file, a secret and a daemon.")
node = service.role("node", NodeSettings, description="Has it.")
words = node.var("words", Passphrase(words=4))


@node.configure
def have(me: Member[NodeSettings]) -> Iterator[Resource]:
    text = File("/etc/text", me.settings.text)
    yield text
    yield File("/srv/large", "x" * me.settings.size)
    yield secret_file(me[words].secret)
    yield Unit(me.name("daemon.service"), f"[Service]\n{me.settings.unit}\n", started=True, restart_on=(text,))
    if me.settings.cut:
        yield Unit(me.name("cut.service"), me.settings.cut, started=True)
    if me.settings.sshd:
        yield File("/etc/ssh/sshd_config.d/node.conf", me.settings.sshd, restarts=("ssh.service",))


@node.check
def peers_answer(_: Member[NodeSettings]) -> Iterator[Check]:
    yield Check("peers answer", ("/bin/sh", "-c", HOLD), peers=True)
