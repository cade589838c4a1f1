"""An agent's whole life, backups and the mesh, on each release of Debian that CI tests.

All other lab tests run on the release of this computer, in CI Debian 12, and these on Debian 13.
`ROLECALL_RELEASES` names others, separated by commas: the tests need their packages once, and a minute for each.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from any_resources import resource

import services

if TYPE_CHECKING:
    from conftest import Desk, DeskFactory

RELEASES = os.environ.get("ROLECALL_RELEASES", "trixie").split(",")
MACHINES = ("a", "b")
UNIT = "rolecall-probe.daemon.service"
STARTED = "journalctl --boot --quiet --output=cat | grep --count '^Started .*Rolecall: agent'"
KEPT = "getent passwd probe | cut -d: -f1,7; id -u numbered"  # users stay, locked
KINDS = (  # that `probe` does not have
    resource("Symlink", path="/srv/link", target="/etc/motd"),
    resource("Block", path="/etc/hosts", name="db", text="192.0.2.1 db.example"),
    resource("Sysctl", name="net.ipv4.ip_default_ttl", value="77"),
    resource("Hostname", name="renamed"),
    resource("nftables_table", name="ours", rules="chain ours { type filter hook output priority 0; }"),
    resource("User", name="numbered", uid=4321),
    resource("Unit", name="systemd-pstore.service", masked=True),
)
LOOK = (
    "readlink /srv/link; getent hosts db.example; cat /proc/sys/net/ipv4/ip_default_ttl; uname -n;"
    " nft list tables; systemctl is-enabled systemd-pstore.service"
)
ANSWERS = "for _ in {1..20}; do ping -6 -n -q -c 1 -W 2 $1.vpn && exit; sleep 0.2; done; exit 1"
PLACES = ("/etc", "/srv", "/usr/lib/systemd", "/usr/local")
ACCOUNTS = tuple(f"/etc/{name}{suffix}" for name in ("passwd", "group", "shadow", "gshadow") for suffix in ("", "-"))
OF_SYSTEMD = (
    "/etc/systemd/system",
    "/etc/systemd/system/multi-user.target.wants",
    "/etc/systemd/system/sysinit.target.wants",
)


@pytest.fixture(scope="module", params=RELEASES)
def desk(request: pytest.FixtureRequest, new_desk: DeskFactory) -> Desk:
    desk = new_desk()
    services.install(desk.root, "probe")
    services.install(desk.root, "any_resources", module="any")
    declare(desk)
    desk.rolecall("keys", "create")
    desk.rolecall("lab", "up", "--release", request.param)
    return desk


def declare(desk: Desk, **settings: object) -> None:
    instances = {
        module: {
            "module": {"name": module, "input": "self"},
            "roles": {"node": {"settings": values, "machines": {machine: {} for machine in MACHINES}}},
        }
        for module, values in (("probe", settings), ("any", {"resources": KINDS}))
    }
    desk.write(machines={machine: {} for machine in MACHINES}, instances=instances if settings else {})


def state(desk: Desk) -> list[str]:
    return [desk.on(machine, f"cat /etc/motd; ls /srv/probe; systemctl is-active {UNIT}") for machine in MACHINES]


def kinds(desk: Desk) -> list[list[str]]:
    """Return what each machine has of `KINDS`."""
    return [desk.on(machine, LOOK, status=None).split() for machine in MACHINES]


def whole(text: str) -> list[str]:
    return [f"{text} on {machine}\n{text}\nactive\n" for machine in MACHINES]


def test_first_same_change_undo_undeclare(desk: Desk) -> None:
    were = kinds(desk)
    are = [["/etc/motd", "192.0.2.1", "db.example", "77", "renamed", "table", "inet", "ours", "masked"]] * len(MACHINES)
    before = {machine: desk.look(machine, *PLACES, but=("inode",)) for machine in MACHINES}
    declare(desk, text="one")
    assert "2 machines updated" in desk.rolecall("update", "--yes").stdout
    assert state(desk) == whole("one")
    assert kinds(desk) == are

    started = [desk.on(machine, STARTED) for machine in MACHINES]
    assert desk.rolecall("plan").stdout == "nothing changes (2 machines)\n"
    assert [desk.on(machine, STARTED) for machine in MACHINES] == started  # the relay answers

    declare(desk, text="two")
    assert "2 machines updated" in desk.rolecall("update", "--yes").stdout
    assert state(desk) == whole("two")

    declare(desk, text="three", program=["/bin/false"])
    assert "every machine is as it was before" in desk.rolecall("update", "--yes", status=1).stdout
    assert state(desk) == whole("two")
    for machine in MACHINES:
        desk.lab.kill(machine)
        desk.lab.start(machine)
    desk.lab.wait(MACHINES)
    assert state(desk) == whole("two")
    assert kinds(desk) == are

    declare(desk)
    assert "2 machines updated" in desk.rolecall("update", "--yes").stdout
    assert kinds(desk) == were
    for machine in MACHINES:
        assert desk.on(machine, "systemctl is-system-running --wait") == "running\n"
        assert desk.on(machine, KEPT) == "probe:/usr/sbin/nologin\n4321\n"
        after = desk.look(machine, *PLACES, but=("inode",))
        changed = {path for path in {*before[machine], *after} if before[machine].get(path) != after.get(path)}
        assert changed <= {*ACCOUNTS, *OF_SYSTEMD, "/etc", "/etc/sysctl.d", "/srv"}


def test_backups_and_the_mesh(desk: Desk) -> None:
    desk.on("a", "mkdir /srv/documents && echo first >/srv/documents/note")
    peers = {"machines": {machine: {} for machine in MACHINES}, "settings": {"userspace": True}}
    backup = {"client": {"machines": {"a": {}}}, "server": {"machines": {"b": {}}}}
    desk.write(
        machines={"a": {"state": {"documents": {"folders": ["/srv/documents"]}}}, "b": {}},
        instances={
            "backup": {"module": {"name": "borgbackup"}, "roles": backup},
            "vpn": {"module": {"name": "wireguard"}, "roles": {"peer": peers}},
        },
    )
    assert "2 machines updated" in desk.rolecall("update", "--yes").stdout
    assert desk.rolecall("plan").stdout == "nothing changes (2 machines)\n"
    for machine, other in (("a", "b"), ("b", "a")):
        desk.on(machine, ANSWERS, other)

    desk.rolecall("backups", "create", "a")
    desk.on("a", "rm /srv/documents/note")
    desk.rolecall("backups", "restore", "a", "--yes")
    assert desk.on("a", "cat /srv/documents/note") == "first\n"
