"""On, off, purged: after that, a machine is what it was, byte for byte; what cannot be is named here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

import services

if TYPE_CHECKING:
    from conftest import Desk, DeskFactory, Looks

PLACES = ("/boot", "/etc", "/home", "/opt", "/root", "/srv", "/usr", "/var")
# What other programs write for themselves: caches, logs, lists of packages, the backups of passwd(5) and dpkg(1).
OTHERS = re.compile(
    r"/var/(log|cache|tmp|lib/(apt|systemd))(/.*)?"
    r"|/var/lib/dpkg/(.*-old|info(/format)?|lock.*|triggers(/.*)?|status|available|updates)"
    r"|/etc/((passwd|group|shadow|gshadow|subuid|subgid)-|ld\.so\.cache|\.pwd\.lock)"
    r"|.*/__pycache__(/.*)?|/var/lib/dpkg|/usr/share/(man|doc|info|bash-completion)(/.*)?"
)
ACCOUNTS = {f"/etc/{name}" for name in ("passwd", "group", "shadow", "gshadow")}  # useradd and userdel write them
BEFORE = r"""
systemctl start network-online.target  # as a boot does where anything waits for the network
useradd --create-home --shell /bin/bash --comment 'A person' person
install -d -o person -g person -m 700 /home/person/.ssh
printf '# mine\r\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEWvUGcQyKCe2ERyH1DtASpCnMmLPbbpOzJvRKBKNUFR me\n' \
    >/home/person/.ssh/authorized_keys
chown person: /home/person/.ssh/authorized_keys
printf 'a person wrote this\n' >/etc/person.conf
chmod 4711 /etc/person.conf
chown person /etc/person.conf
python3 -c 'import os; os.setxattr("/etc/person.conf", "user.note", b"kept")'
ln -s person.conf /etc/linked.conf
ln -s person.conf /etc/person.link
install -d -o person -m 2750 /srv/person
printf '[Service]\nExecStart=/bin/sleep 1000\n[Install]\nWantedBy=multi-user.target\n' \
    >/etc/systemd/system/person.service
systemctl daemon-reload
systemctl enable --now --quiet person.service
touch -h -d 2020-01-01 /etc/person.conf /etc/linked.conf /etc/person.link /home/person/.ssh/authorized_keys \
    /etc/systemd/system/person.service
"""
STATE = r"""
dpkg --get-selections; apt-mark showmanual
systemctl list-unit-files --no-legend --plain | grep -v ^session-
systemctl list-units --all --no-legend --plain |
    grep -Ev '\.(scope|device)|run-u|user@|user-runtime|session|apt-|dpkg-' | awk '{ print $1, $2, $3 }'
systemctl is-system-running
nft list ruleset; sysctl net.ipv4.ip_forward; hostname; date +%Z
"""


@pytest.fixture(scope="module", params=["", "trixie"], ids=["this release", "trixie"])
def desk(request: pytest.FixtureRequest, new_desk: DeskFactory) -> Desk:
    desk = new_desk()
    services.install(desk.root, "every")
    declare(desk)
    desk.rolecall("keys", "create")
    desk.rolecall("lab", "up", *(("--release", request.param) if request.param else ()))
    return desk


def declare(desk: Desk, instances: dict[str, object] | None = None) -> None:
    machines = {"jon": {"state": {"notes": {"folders": ["/srv/person"]}}}, "store": {}}
    desk.write(machines=machines, instances=instances or {})


def look(desk: Desk, machine: str) -> tuple[Looks, str]:
    """Return files and states, without the times of folders: they say when something in them changed last."""
    found = desk.look(machine, *PLACES, but=("inode",))
    kept = {path: each for path, each in found.items() if not OTHERS.fullmatch(path)}
    for path, each in kept.items():
        if int(each["mode"], 8) & 0o170000 == 0o040000 or path in ACCOUNTS:
            del each["mtime"]
    return kept, desk.on(machine, STATE)


def test_what_was_there_is_back(desk: Desk) -> None:
    for machine in ("jon", "store"):
        desk.on(machine, BEFORE)
    before = {machine: look(desk, machine) for machine in ("jon", "store")}
    role = {"machines": {"jon": {}, "store": {}}}
    backup = {"client": {"machines": {"jon": {}}}, "server": {"machines": {"store": {}}}}
    every = {"module": {"name": "every", "input": "self"}, "roles": {"node": role}}
    declare(desk, {"every": every, "backup": {"module": {"name": "borgbackup"}, "roles": backup}})
    desk.rolecall("update", "--yes")
    desk.rolecall("backups", "create", "jon")
    assert desk.rolecall("plan").stdout == "nothing changes (2 machines)\n"
    declare(desk)
    desk.rolecall("update", "--yes")
    desk.on("store", "rm -r /var/lib/borgbackup")  # or the purge would keep the user that owns it
    for machine in ("jon", "store"):
        desk.rolecall("machines", "purge", "--yes", "--homes", machine)
        files, states = look(desk, machine)
        was, states_before = before[machine]
        differing = {path for path in {*was, *files} if was.get(path) != files.get(path)}
        assert not differing, {path: (was.get(path), files.get(path)) for path in sorted(differing)}
        assert states == states_before
