"""Something of every kind; `text` is what updates change. A switch, or its last check, waits while a file exists.

With `copies`, that many files have only this text, so that a mixture of two texts shows.
"""

from collections.abc import Iterator

from rolecall.service import (
    Action,
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

HOLD_SWITCH, HOLD_CHECK = "/run/hold-switch", "/run/hold-check"  # while one exists, a switch or its last check waits
WAIT = "if [ -e {0} ]; then echo $PPID >{0}.by; fi; while [ -e {0} ]; do sleep 0.05; done"


class NodeSettings(Settings):
    text: str = "one"
    program: list[str] = ["/bin/sleep", "infinity"]
    copies: int = 0
    check_seconds: float = 0


service = Service("probe", description="Something of every kind.")
node = service.role("node", NodeSettings, description="Has it.")
words = node.var("words", Passphrase(words=4))


@node.configure
def have(me: Member[NodeSettings]) -> Iterator[Resource]:
    yield User("probe", home="/var/lib/probe")
    text = File(me.path("text"), me.settings.text, owner="probe", mode=0o640)
    yield Directory("/srv/probe", owner="probe", group="probe", mode=0o750)
    yield File("/etc/motd", f"{me.settings.text} on {me.machine}\n", mode=0o604)
    yield File(f"/srv/probe/{me.settings.text}", "only while it is so")
    copies = [File(f"/etc/probe/{number}", me.settings.text, owner="probe") for number in range(me.settings.copies)]
    yield from (text, *copies)
    yield secret_file(me[words].secret)
    yield service_unit(
        me.name("daemon.service"),
        me.settings.program,
        description=f"A daemon: {me.settings.text}",
        restart_on=[text, *copies],
    )
    yield Action("wait", ("/bin/sh", "-c", WAIT.format(HOLD_SWITCH)), when_changed=(text,))


@node.check
def peers_answer(me: Member[NodeSettings]) -> Iterator[Check]:
    switched = "[ -e /var/lib/rolecall/journal.json ]"  # the check also runs before the switch, and does not wait then
    wait = f"{switched} || exit 0; {WAIT.format(HOLD_CHECK)}; sleep {me.settings.check_seconds}"
    yield Check("peers answer", ("/bin/sh", "-c", wait), peers=True)
