"""A network of ZeroTier on real machines, whose daemon is a stand-in (see its package) that makes real interfaces."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import services
from rolecall_services import zerotier

if TYPE_CHECKING:
    from conftest import Desk, DeskFactory

ALL = ("box", "far", "jon", "sara")
SOON = 30
NODE = "/etc/rolecall/zerotier.node/zerotier"
MODULES = ("networks.py", *(f"tests/stand_in/{name}.py" for name in ("__init__", "__main__", "member", "records")))

# Builds the package as the vendor's is: its postinst creates a user, and starts the daemon.
PACKAGE = r"""
mkdir -p /srv/repository/tree/usr/lib/stand-in /srv/repository/tree/DEBIAN && cd /srv/repository
base64 -d | tar -x -C tree/usr/lib/stand-in
mkdir -p tree/usr/sbin tree/lib/systemd/system tree/var/lib/zerotier-one
cat >tree/usr/sbin/zerotier-one <<'END'
#!/bin/sh
set -a; . /etc/stand-in; set +a
PYTHONPATH=/usr/lib/stand-in exec python3 -B -m rolecall_services.zerotier.tests.stand_in "$@"
END
chmod +x tree/usr/sbin/zerotier-one
ln -s /usr/sbin/zerotier-one tree/var/lib/zerotier-one/zerotier-cli
cat >tree/lib/systemd/system/zerotier-one.service <<'END'
[Unit]
Description=ZeroTier One
After=network-online.target network.target
Wants=network-online.target
[Service]
ExecStart=/usr/sbin/zerotier-one
Restart=always
KillMode=process
[Install]
WantedBy=multi-user.target
END
cat >tree/DEBIAN/control <<'END'
Package: zerotier-one
Version: 1.14.1
Architecture: all
Maintainer: nobody
Description: a stand-in
END
cat >tree/DEBIAN/postinst <<'END'
#!/bin/sh -e
id zerotier-one >/dev/null 2>&1 || useradd --system --user-group --home-dir /var/lib/zerotier-one \
    --shell /usr/sbin/nologin --no-create-home zerotier-one
systemctl daemon-reload
systemctl enable zerotier-one.service
systemctl start zerotier-one.service
END
printf '#!/bin/sh -e\nsystemctl stop zerotier-one.service\nsystemctl disable zerotier-one.service\n' >tree/DEBIAN/prerm
printf '#!/bin/sh -e\nsystemctl daemon-reload\n' >tree/DEBIAN/postrm
chmod +x tree/DEBIAN/p*
dpkg-deb --root-owner-group --build tree zerotier-one_1.14.1_all.deb >/dev/null
rm -r tree
{ dpkg-deb --field zerotier-one_1.14.1_all.deb; echo "Filename: zerotier-one_1.14.1_all.deb"
  stat -c 'Size: %s' *.deb; echo "SHA256: $(sha256sum *.deb | cut -d' ' -f1)"; } >Packages
mv /etc/apt/sources.list /etc/apt/sources.list.d /root/ && mkdir /etc/apt/sources.list.d
echo 'deb [trusted=yes] file:/srv/repository ./' >/etc/apt/sources.list
printf 'STAND_IN_NODES=%s\nSTAND_IN_MINUTE=2\nSTAND_IN_TAP=1\n' "$1" >/etc/stand-in
"""
ASK = """
import http.client, json, sys
home = "/var/lib/zerotier-one/"
port, token = (open(home + name).read() for name in ("zerotier-one.port", "authtoken.secret"))
connection = http.client.HTTPConnection("127.0.0.1", int(port))
connection.request(sys.argv[1], sys.argv[2], sys.argv[3] or None, {"X-ZT1-Auth": token})
answer = connection.getresponse()
print(answer.read().decode() or "null")
"""


def stand_in() -> str:
    """Return the modules of the stand-in as a tar archive in base64."""
    stream, folder = io.BytesIO(), Path(zerotier.__file__).parent
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name in MODULES:
            archive.add(folder / name, f"rolecall_services/zerotier/{name}")
    return base64.b64encode(stream.getvalue()).decode()


def declare(
    desk: Desk,
    *peers: str,
    settings: dict[str, Any] | None = None,
    other: bool = False,
    works: bool = True,
    daemons: tuple[str, ...] = ALL,
) -> None:
    """Declare these peers of a network that box controls, and the daemon's package from a repository of our own."""
    installed = {"package": "installed"}
    named = {name: {"settings": {"addresses": [f"10.147.20.{ALL.index(name) + 1}"]}} for name in peers}
    roles = {
        "controller": {"machines": {"box": {"settings": settings or {}}}, "settings": {"routes": [ROUTE], **installed}},
        "peer": {"machines": named, "settings": installed},
        "moon": {"machines": {"box": {}}, "settings": {"stableEndpoints": ["192.0.2.1/9993"], **installed}},
    }
    packages = {"settings": {"packages": ["zerotier-one"], "works": works}, "machines": {name: {} for name in daemons}}
    instances: dict[str, Any] = {
        "daemons": {"module": {"name": "wanted", "input": "self"}, "roles": {"node": packages}}
    }
    if peers:
        instances["vpn"] = {"module": {"name": "zerotier"}, "roles": roles}
    if other:
        far = {"controller": {"machines": {"far": {}}, "settings": installed}}
        instances["other"] = {"module": {"name": "zerotier"}, "roles": far}
    desk.write(machines={name: {} for name in ALL}, instances=instances)


LEFT = "ls -d /etc/rolecall /var/lib/rolecall-zerotier /etc/systemd/system/zerotier* 2>/dev/null"
ROUTE = {"target": "10.147.20.0/24"}


@pytest.fixture(scope="module")
def net(new_desk: DeskFactory) -> Desk:
    desk = new_desk()
    services.install(desk.root, "wanted")
    declare(desk, "jon", "sara", daemons=("box", "jon", "sara"))
    desk.rolecall("keys", "create")
    desk.rolecall("lab", "up")
    for name in ALL:
        desk.on(name, PACKAGE, ",".join(f"{each}:9993" for each in ALL), given=stand_in())
    desk.rolecall("update", "--yes")
    return desk


def ask(desk: Desk, machine: str, path: str, method: str = "GET", body: object = None) -> Any:  # noqa: ANN401 - JSON
    """Ask the daemon of a machine, as somebody with the token does."""
    argv = (method, path, "" if body is None else json.dumps(body))
    return json.loads(desk.lab.run(machine, "python3", "-c", ASK, *argv).stdout)


def network_of(desk: Desk) -> str:
    return (desk.root / "vars/per-machine/box/vpn.network/id/value").read_text().strip()


def address_of(desk: Desk, machine: str) -> str:
    return (desk.root / f"vars/per-machine/{machine}/zerotier.identity/public/value").read_text()[:10]


def wait_until_works(desk: Desk, *machines: str) -> None:
    for name in machines:
        desk.on(name, f"{NODE} status && {NODE} probe {network_of(desk)}")


def test_identities_of_the_project_are_there_at_the_first_start(net: Desk) -> None:
    """The package starts the daemon, which would make an identity of its own."""
    for name in ("box", "jon", "sara"):
        assert ask(net, name, "/status")["address"] == address_of(net, name)
        assert net.on(name, "ls /var/lib/rolecall-zerotier") == "state.json\n"
        assert net.on(name, "stat -c %U /var/lib/zerotier-one/identity.secret") == "zerotier-one\n"
        assert net.on(name, "systemctl is-system-running") == "running\n"
        [moon] = ask(net, name, "/moon")
        assert not moon["waiting"]
    wait_until_works(net, "jon", "sara")
    shown = net.on("jon", "ip -br address show type tun")
    assert "10.147.20.3/24" in shown
    assert "/88" in shown


def test_an_update_that_changes_nothing(net: Desk) -> None:
    assert net.rolecall("update", "--yes").stdout.startswith("nothing changes")


def test_all_is_there_after_a_boot_and_after_a_crash(net: Desk) -> None:
    """Of the controller, whose records somebody has changed by hand meanwhile, and of a member."""
    for name in ("box", "jon"):
        net.lab.kill(name)
        net.lab.start(name)
    net.lab.wait(["box", "jon"])
    wait_until_works(net, "jon", "sara")
    ask(net, "box", f"/controller/network/{network_of(net)}", "POST", {"rules": [], "private": False})
    assert "has another private, rules" in net.on("box", f"{NODE} status", status=1)
    net.on("box", "kill -9 $(systemctl show -P MainPID zerotier-one.service)")
    net.on("box", f"for _ in $(seq {SOON}); do {NODE} status && exit; sleep 1; done; exit 1")
    net.on("box", "timeout 30 sh -c 'until systemctl is-active rolecall-zerotier.service; do sleep 0.2; done'")
    for name in ("box", "jon"):
        assert ask(net, name, "/status")["address"] == address_of(net, name)


def test_what_was_changed_by_hand_is_mended_at_the_next_change(net: Desk) -> None:
    path = f"/controller/network/{network_of(net)}/member/{address_of(net, 'jon')}"
    ask(net, "box", path, "POST", {"ipAssignments": ["10.147.20.99"]})
    assert "jon has another ipAssignments" in net.on("box", f"{NODE} status", status=1)
    before = net.on("box", "systemctl show -P MainPID zerotier-one.service")
    declare(net, "jon", "sara", settings={"allowedIds": ["1122334455"]}, daemons=("box", "jon", "sara"))
    net.rolecall("update", "--yes")
    assert net.on("box", f"{NODE} status") == ""
    assert net.on("box", "systemctl show -P MainPID zerotier-one.service") == before
    assert ask(net, "box", path)["ipAssignments"] == ["10.147.20.3"]


def test_a_member_joins_and_leaves(net: Desk) -> None:
    """The others stop talking to it, and its machine is as it was."""
    declare(net, "far", "jon", "sara")
    net.rolecall("update", "--yes")
    wait_until_works(net, "far")
    declare(net, "jon", "sara")
    net.rolecall("update", "--yes")
    gone, path = address_of(net, "far"), f"/controller/network/{network_of(net)}"
    for name in ("jon", "sara"):
        assert gone in ask(net, name, "/stand-in")[network_of(net)]["cut"]
    assert gone not in ask(net, "box", f"{path}/member")
    left = net.on(
        "far", "ls /etc/rolecall /var/lib/rolecall-zerotier /etc/systemd/system/zerotier-one.service.d", status=2
    )
    assert left.count("No such file") == 3
    assert net.on("far", "ls /var/lib/zerotier-one") == "zerotier-cli\n"
    assert net.on("far", "systemctl is-active zerotier-one.service", status=3) == "inactive\n"


def test_a_failed_update_brings_a_member_back(net: Desk) -> None:
    """It was revoked, and its daemon had left, when a check failed."""
    declare(net, "jon", works=False)
    failed = net.rolecall("update", "--yes", status=1)
    assert "the check 'daemons.node: works' failed" in failed.stdout + failed.stderr
    assert "every machine is as it was before" in failed.stdout, failed.stdout + failed.stderr
    assert net.on("box", f"{NODE} status") == ""
    for name in ("jon", "sara"):
        assert ask(net, name, "/status")["address"] == address_of(net, name)
    wait_until_works(net, "jon", "sara")
    declare(net, "jon", "sara")
    net.rolecall("update", "--yes")


def test_a_daemon_without_controller_is_refused(net: Desk) -> None:
    """Before anything changes; its own identity is never used, and is put back."""
    net.on("far", "echo STAND_IN_CONTROLLER=0 >>/etc/stand-in && systemctl start zerotier-one.service")
    net.on("far", "timeout 10 sh -c 'until [ -e /var/lib/zerotier-one/zerotier-one.pid ]; do sleep 0.1; done'")
    before = net.on("far", "sha256sum /var/lib/zerotier-one/identity.*")
    declare(net, "jon", "sara", other=True)
    failed = net.rolecall("update", "--yes", status=1)
    assert "this zerotier-one has no network controller, so nothing was changed" in failed.stdout + failed.stderr
    assert net.on("far", "sha256sum /var/lib/zerotier-one/identity.*") == before
    assert net.on("far", "systemctl is-active zerotier-one.service") == "active\n"
    assert "No such file" in net.on("far", "ls /etc/rolecall /var/lib/rolecall-zerotier", status=2)
    declare(net, "jon", "sara")
    net.rolecall("update", "--yes")
    wait_until_works(net, "jon", "sara")


def test_nothing_is_left(net: Desk) -> None:
    declare(net, daemons=())
    net.rolecall("update", "--yes")
    for name in ("box", "jon", "sara"):
        assert net.on(name, LEFT, status=2) == ""
        assert net.on(name, "find /var/lib/zerotier-one -type f 2>/dev/null", status=None) == ""
        assert net.on(name, "systemctl is-system-running") == "running\n"
        assert "0 unit files" in net.on(name, "systemctl list-unit-files '*zerotier*'", status=1)
