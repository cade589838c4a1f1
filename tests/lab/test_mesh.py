"""A mesh of eight machines by WireGuard in user space: two behind NAT, two relays, and four others."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Desk, DeskFactory

OPEN = ("ann", "bob", "jon", "sara")
RELAYS = ("one", "two")
HIDDEN = ("lap", "pad")
ALL = (*OPEN, *RELAYS, *HIDDEN)
PAIRS = (("jon", "sara"), ("lap", "pad"), ("pad", "ann"), ("two", "bob"))
INNER = "fd99:1::"
RANGE = "10.80.0.0/24"
# A machine behind another one: a network namespace with a name, which knows the way back to the mesh.
BEHIND = """
ip netns add $2 && ip link add to-$2 type veth peer name uplink netns $2
ip address add ${1}1/64 dev to-$2 nodad && ip link set to-$2 up
ip -n $2 address add ${1}2/64 dev uplink nodad && ip -n $2 link set uplink up && ip -n $2 route add default via ${1}1
"""
# Lets a peer send to a network that nobody has declared, as somebody who has root there can.
DETOUR = """
device=$(ip -json -6 route get "$2" | grep -o 'vpn-[ab]')
key=$(wg show "$device" allowed-ips | grep -F "$2/128" | cut -f1)
networks=$(wg show "$device" allowed-ips | grep -F "$key" | cut -f2 | tr ' ' ,)
wg set "$device" peer "$key" allowed-ips "$networks,${1}/64" && ip -6 route add "${1}/64" dev "$device"
"""
RENEWAL = 60  # seconds for a machine behind NAT to notice that the other one has lost their session: WireGuard takes 15
FAILOVER = 15  # seconds until another relay is used

# As a router does for what is behind it: nobody reaches it unasked, and its packets come from another port.
NAT = """nft -f - <<'END'
table ip nat {
    chain out {
        type nat hook postrouting priority srcnat
        udp dport 51820-51821 masquerade random
    }
}
table inet guard {
    chain in {
        type filter hook input priority 0
        meta l4proto udp ct state new drop
    }
}
END
"""
CUT = """nft -f - <<'END'
table inet cut {
    chain in {
        type filter hook input priority -10
        udp dport 51820-51821 drop
    }
}
END
"""
COUNTS = re.compile(r"(\d+) packets? transmitted, (\d+) received")
ASK = """
for name; do ping -6 -n -q -c 1 -W "$SECONDS_EACH" "$name.vpn" >/dev/null 2>&1 && echo "$name" & done; wait
"""
# Asks a hundred times a second until /run/enough exists; each batch waits for its last answer.
STREAM = """
rm -f /run/enough
until [ -e /run/enough ]; do ping -6 -n -q -c 100 -i 0.01 -W 5 "$1.vpn" | grep transmitted; done
"""


def declare(desk: Desk, *machines: str, channel: str = "a", **of_bob: bool) -> None:
    """Write an inventory in which these machines are peers of the mesh; bob has a network behind it, and settings."""
    named: dict[str, object] = {name: {"settings": {"nat": True}} if name in HIDDEN else {} for name in machines}
    named["bob"] = {"settings": {"networks": [f"{INNER}/64"], **of_bob}}
    peer = {"machines": named, "settings": {"userspace": True, "channel": channel, "ipv4Range": RANGE}}
    relay = {"machines": {name: {} for name in RELAYS}}
    device = {"machines": {"phone": {}}}
    vpn = {"module": {"name": "wireguard"}, "roles": {"peer": peer, "relay": relay, "device": device}}
    desk.write(machines={name: {} for name in (*ALL, "phone")}, instances={"vpn": vpn})


@pytest.fixture(scope="module")
def mesh(new_desk: DeskFactory) -> Desk:
    desk = new_desk()
    declare(desk, *ALL)
    desk.rolecall("keys", "create")
    desk.rolecall("lab", "up")
    for name in HIDDEN:
        desk.on(name, NAT)
    desk.rolecall("update", "--yes")
    return desk


def reached(desk: Desk, machine: str, seconds: int = 5) -> set[str]:
    """Return the other machines that answer one by their names in the mesh."""
    others = [name for name in ALL if name != machine]
    return set(desk.on(machine, f"SECONDS_EACH={seconds}{ASK}", *others).split())


def all_reached(desk: Desk) -> dict[str, set[str]]:
    with ThreadPoolExecutor(len(ALL)) as pool:
        return dict(zip(ALL, pool.map(lambda name: reached(desk, name), ALL), strict=True))


def require_all_reached(desk: Desk, seconds: float = 0) -> None:
    """Require that all reach all, within so many seconds."""
    until = time.monotonic() + seconds
    while (found := all_reached(desk)) != {name: {*ALL} - {name} for name in ALL}:
        assert time.monotonic() < until, found


@contextmanager
def without_loss(desk: Desk) -> Iterator[None]:
    """Send a hundred packets a second between some machines meanwhile; none may be lost."""
    with ThreadPoolExecutor(len(PAIRS)) as pool:
        streams = [pool.submit(desk.on, one, STREAM, other) for one, other in PAIRS]
        time.sleep(1)
        try:
            yield
            time.sleep(1)
        finally:
            for one, _ in PAIRS:
                desk.on(one, "touch /run/enough")
        for (one, other), stream in zip(PAIRS, streams, strict=True):
            counts = [(int(sent), int(got)) for sent, got in COUNTS.findall(stream.result())]
            sent, got = (sum(numbers) for numbers in zip(*counts, strict=True))
            assert sent > 500
            assert got == sent, f"{one} to {other}"


def address_of(desk: Desk, name: str) -> str:
    """Return the IPv6 address of a machine in the mesh."""
    return desk.on(name, f"getent ahostsv6 {name}.vpn | cut -d' ' -f1 | head -1").strip()


def channel_of(desk: Desk) -> str:
    """Return the channel that machines send on."""
    return desk.on("jon", 'grep -o \'"channel": "[ab]\' /etc/rolecall/vpn/machine.json').strip()[-1]


def public_keys(desk: Desk) -> list[str]:
    return [path.read_text().strip() for path in desk.root.glob("vars/per-machine/*/vpn.key-*/public/value")]


def test_all_reach_all_by_name(mesh: Desk) -> None:
    require_all_reached(mesh)


def test_addresses_of_the_range_answer(mesh: Desk) -> None:
    for one, other in PAIRS:
        mesh.on(one, f"ping -4 -n -q -c 1 -W 5 {other}.vpn")


def test_an_update_that_changes_nothing(mesh: Desk) -> None:
    assert mesh.rolecall("update", "--yes").stdout.startswith("nothing changes")


def test_all_keys_are_replaced_without_a_lost_packet(mesh: Desk) -> None:
    before = set(public_keys(mesh))
    with without_loss(mesh):
        for idle, channel in (("b", "b"), ("a", "b")):
            mesh.rolecall("vars", "rotate", f"*/vpn.key-{idle}")
            mesh.rolecall("update", "--yes")
            if idle == "b":
                declare(mesh, *ALL, channel=channel)
                mesh.rolecall("update", "--yes")
    after = set(public_keys(mesh))
    assert len(after) == len(before) == 2 * len(ALL)
    assert not after & before
    assert not any(key in mesh.on(name, "wg show all dump") for name in ALL for key in before)
    require_all_reached(mesh)


def asks(desk: Desk, machine: str, address: str, *, inside: str = "", answered: bool) -> None:
    """Ask an address from a machine, or from a namespace in it, and require whether it answers."""
    prefix = f"ip netns exec {inside} " if inside else ""
    seconds = 5 if answered else 1
    desk.on(machine, f"{prefix}ping -6 -n -q -c 1 -W {seconds} {address}", status=0 if answered else 1)


def test_a_network_behind_a_machine(mesh: Desk) -> None:
    mesh.on("bob", BEHIND, INNER, "in")
    for name in ("jon", "lap"):
        asks(mesh, name, f"{INNER}2", answered=True)
    [sara, bob] = [address_of(mesh, name) for name in ("sara", "bob")]
    asks(mesh, "bob", sara, inside="in", answered=False)
    asks(mesh, "bob", bob, inside="in", answered=True)  # which is no matter of forwarding
    for declared in (True, False):
        declare(mesh, *ALL, channel=channel_of(mesh), networksMayConnect=declared)
        mesh.rolecall("update", "--yes")
        asks(mesh, "bob", sara, inside="in", answered=declared)


def test_a_machine_forwards_nothing_else(mesh: Desk) -> None:
    [sara, bob, one] = [address_of(mesh, name) for name in ("sara", "bob", "one")]
    for number, (name, through) in enumerate((("bob", bob), ("one", one))):
        outer = f"fd99:{number + 2}::"
        mesh.on(name, BEHIND, outer, "out")
        mesh.on("sara", DETOUR, outer, through)
        asks(mesh, "sara", f"{outer}1", answered=True)  # the machine itself
        asks(mesh, "sara", f"{outer}2", answered=False)
        asks(mesh, name, sara, inside="out", answered=False)
        unit = "nftables-inet-wireguard_vpn.service"
        mesh.on(name, f"systemctl stop {unit}")  # it was the filter, and nothing else
        asks(mesh, "sara", f"{outer}2", answered=True)
        asks(mesh, name, sara, inside="out", answered=True)
        mesh.on(name, f"systemctl start {unit}")
        asks(mesh, "sara", f"{outer}2", answered=False)
    require_all_reached(mesh)


def test_a_device_uses_its_file(mesh: Desk) -> None:
    """By wg-quick(8), on a machine that has nothing else of the mesh; the peers send on the other channel."""
    mesh.rolecall("show", "phone", "--files", str(mesh.root / "device"))
    file = (mesh.root / "device/etc/rolecall/vpn/device.conf").read_text()
    assert mesh.on("phone", "cat /etc/rolecall/vpn/device.conf") == file
    mesh.on("phone", "apt-get install -qq -y wireguard-tools wireguard-go && wg-quick up /etc/rolecall/vpn/device.conf")
    addresses = mesh.on("jon", "grep '\\.vpn$' /etc/hosts | grep -v phone | cut -d' ' -f1").split()
    assert len(addresses) == 2 * len(ALL)  # IPv6 and IPv4
    for address in addresses:
        mesh.on("phone", f"ping -n -q -c 1 -W 5 {address}")
    for name in ("jon", "lap", "one"):
        mesh.on(name, "ping -6 -n -q -c 1 -W 5 phone.vpn")


def test_another_relay_takes_over(mesh: Desk) -> None:
    """The one that is used is cut off; it is used again when it is back."""
    mesh.on("one", CUT)
    try:
        until = time.monotonic() + FAILOVER
        while "pad" not in reached(mesh, "lap", 1) and time.monotonic() < until:
            time.sleep(0.5)
        assert {"pad", "two"} <= reached(mesh, "lap")
        assert {"lap", "two"} <= reached(mesh, "pad")
        assert "one" not in reached(mesh, "lap", 1)
    finally:
        mesh.on("one", "nft delete table inet cut")
    until = time.monotonic() + 3 * FAILOVER  # WireGuard first makes new sessions
    while "dev vpn-b1" not in mesh.on("lap", "ip -6 route get $(getent ahostsv6 pad.vpn | cut -d' ' -f1 | head -1)"):
        assert time.monotonic() < until
        time.sleep(0.5)
    require_all_reached(mesh)


def test_the_mesh_is_there_after_a_boot(mesh: Desk) -> None:
    for name in ("jon", "lap"):
        mesh.lab.kill(name)
        mesh.lab.start(name)
    mesh.lab.wait(["jon", "lap"])
    mesh.on("lap", NAT)
    require_all_reached(mesh, RENEWAL)


def test_an_interface_whose_program_is_killed_is_back(mesh: Desk) -> None:
    mesh.on("jon", "kill -9 $(systemctl show -P MainPID 'rolecall-vpn.tunnel@vpn-b.service')")
    mesh.on("jon", "timeout 10 sh -c 'until /etc/rolecall/vpn/mesh status; do sleep 0.2; done'")
    require_all_reached(mesh, RENEWAL)


def test_who_leaves_reaches_nobody(mesh: Desk) -> None:
    keys = (mesh.root / "vars/per-machine/ann").glob("vpn.key-*/public/value")
    gone = {key.read_text().strip() for key in keys}
    assert len(gone) == 2
    rest = [name for name in ALL if name != "ann"]
    declare(mesh, *rest, channel="b")
    mesh.rolecall("update", "--yes")
    found = all_reached(mesh)
    assert found.pop("ann") == set()
    assert found == {name: {*rest} - {name} for name in rest}
    assert not any(key in mesh.on(name, "wg show all dump") for name in rest for key in gone)
    assert "vpn" not in mesh.on("ann", "ip -br link; ls /etc/rolecall; cat /etc/hosts", status=None)
