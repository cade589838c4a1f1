"""What needs a reboot: `text` counts only once the machine has booted with it. A machine with REFUSED fails its check.

With `lock_out`, nobody can log in any more after the next boot.
"""

from collections.abc import Iterator

from rolecall.service import (
    Check,
    File,
    Member,
    Passphrase,
    Reboot,
    Resource,
    Service,
    Settings,
    Unit,
    secret_file,
    unit_text,
)

REFUSED = "/etc/refused"
BOOTED = "/run/booted"  # the text with which the machine has booted


class NodeSettings(Settings):
    text: str = "one"
    lock_out: bool = False


service = Service("app", description="A program that reads its text at boot.")
node = service.role("node", NodeSettings, description="Has it.")
words = node.var("words", Passphrase(words=4))


def at_boot(name: str, command: str, *, started: bool) -> Unit:
    sections = {
        "Unit": {"Description": name, "Before": "ssh.service"},
        "Service": {"Type": "oneshot", "RemainAfterExit": "yes", "ExecStart": f'/bin/sh -c "{command}"'},
        "Install": {"WantedBy": "multi-user.target"},
    }
    return Unit(name, unit_text(sections), enabled=True, started=started)


@node.configure
def have(me: Member[NodeSettings]) -> Iterator[Resource]:
    text = File("/etc/app.conf", me.settings.text)
    yield text
    yield Reboot("the text of the app", when_changed=[text])
    yield at_boot("app.service", f"cp /etc/app.conf {BOOTED}", started=True)
    yield secret_file(me[words].secret)
    if me.settings.lock_out:
        command = "systemctl mask --runtime ssh.service ssh.socket; systemctl stop --no-block ssh.service ssh.socket"
        yield at_boot("lock-out.service", command, started=False)


@node.check
def works(me: Member[NodeSettings]) -> Iterator[Check]:
    yield Check("booted with it", ("cmp", "/etc/app.conf", BOOTED))
    yield Check("is accepted", ("sh", "-c", f"test ! -e {REFUSED}", me.settings.text), peers=True)
