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
# A machine behind another one: a network namespace, which knows the way back to the mesh.
BEHIND = """
ip netns add in && ip link add out0 type veth peer name in0 netns in
ip address add ${1}1/64 dev out0 nodad && ip link set out0 up
ip -n in address add ${1}2/64 dev in0 nodad && ip -n in link set in0 up && ip -n in route add default via ${1}1
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


def declare(desk: Desk, *machines: str, channel: str = "a") -> None:
    """Write an inventory in which these machines are peers of the mesh; bob has a network behind it."""
    named: dict[str, object] = {name: {"settings": {"nat": True}} if name in HIDDEN else {} for name in machines}
    named["bob"] = {"settings": {"networks": [f"{INNER}/64"]}}
    peer = {"machines": named, "settings": {"userspace": True, "channel": channel}}
    relay = {"machines": {name: {} for name in RELAYS}}
    vpn = {"module": {"name": "wireguard"}, "roles": {"peer": peer, "relay": relay}}
    desk.write(machines={name: {} for name in ALL}, instances={"vpn": vpn})


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


def public_keys(desk: Desk) -> list[str]:
    return [path.read_text().strip() for path in desk.root.glob("vars/per-machine/*/vpn.key-*/public/value")]


def test_all_reach_all_by_name(mesh: Desk) -> None:
    require_all_reached(mesh)


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


def test_a_network_behind_a_machine(mesh: Desk) -> None:
    mesh.on("bob", BEHIND, INNER)
    for name in ("jon", "lap"):
        mesh.on(name, f"ping -6 -n -q -c 1 -W 5 {INNER}2")
    prefix = mesh.on("sara", "getent ahostsv6 sara.vpn | cut -d' ' -f1 | head -1").strip()
    mesh.on("bob", f"ip netns exec in ping -6 -n -q -c 1 -W 5 {prefix}")


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
