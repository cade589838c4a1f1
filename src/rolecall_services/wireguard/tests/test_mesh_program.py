"""What the program on the machines makes of mesh.json and machine.json."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from rolecall.service import File
from rolecall.testing import Host, evaluate
from rolecall_services import wireguard
from rolecall_services.wireguard.program import changes, present
from rolecall_services.wireguard.program.declared import Mesh, Peer

if TYPE_CHECKING:
    from pathlib import Path

NUMBERS = {"jon": 1, "lap": 2, "one": 3, "pad": 4, "two": 5}
HIDDEN = ("lap", "pad")
RELAYS = ("one", "two")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a mesh of five machines: two behind NAT, two relays, and one with a network."""
    mesh = {
        name: {
            "keys": {"a": f"{name}-a", "b": f"{name}-b"},
            "addresses": [f"fd00::{number}"],
            "networks": ["10.1.0.0/16"] if name == "jon" else [],
            "endpoint": None if name in HIDDEN else f"192.0.2.{number}",
            "port": 51820,
            "relay": name in RELAYS,
        }
        for name, number in NUMBERS.items()
    }
    (tmp_path / "mesh.json").write_text(json.dumps(mesh))
    return tmp_path


def mesh_of(folder: Path, machine: str, channel: str = "a") -> Mesh:
    own = {
        "machine": machine,
        "interfaces": "vpn",
        "prefix": "fd00::/64",
        "channel": channel,
        "keys": {"a": "", "b": ""},
        "keepalive": 25,
    }
    (folder / "machine.json").write_text(json.dumps(own))
    return Mesh(folder)


def test_a_machine_that_can_be_reached_has_one_interface_for_each_channel(folder: Path) -> None:
    one, other = mesh_of(folder, "jon").interfaces()
    assert [(each.name, each.port) for each in (one, other)] == [("vpn-a", 51820), ("vpn-b", 51821)]
    assert one.peers == {
        "lap-a": Peer("lap-a", frozenset({"fd00::2/128"}), None, 0),
        "one-a": Peer("one-a", frozenset({"fd00::3/128"}), ("192.0.2.3", 51820), 0),
        "pad-a": Peer("pad-a", frozenset({"fd00::4/128"}), None, 0),
        "two-a": Peer("two-a", frozenset({"fd00::5/128"}), ("192.0.2.5", 51820), 0),
    }
    assert [peer.endpoint for peer in other.peers.values() if peer.endpoint] == [
        ("192.0.2.3", 51821),
        ("192.0.2.5", 51821),
    ]


def test_a_machine_behind_nat_has_one_more_for_each_relay(folder: Path) -> None:
    interfaces = {each.name: each for each in mesh_of(folder, "lap").interfaces()}
    assert sorted(interfaces) == ["vpn-a", "vpn-a1", "vpn-a2", "vpn-b", "vpn-b1", "vpn-b2"]
    assert {each.port for each in interfaces.values()} == {0}
    jon = Peer("jon-a", frozenset({"fd00::1/128", "10.1.0.0/16"}), ("192.0.2.1", 51820), 25)
    assert interfaces["vpn-a"].peers == {"jon-a": jon}
    assert interfaces["vpn-b2"].peers == {
        "two-b": Peer("two-b", frozenset({"fd00::5/128", "fd00::4/128"}), ("192.0.2.5", 51821), 25)
    }


def test_routes_of_a_machine_that_can_be_reached(folder: Path) -> None:
    assert mesh_of(folder, "jon").routes(1) == {"fd00::/64": "vpn-a"}
    assert mesh_of(folder, "one", "b").routes(1) == {"fd00::/64": "vpn-b", "10.1.0.0/16": "vpn-b"}


@pytest.mark.parametrize("relay", [1, 2])
def test_routes_of_a_machine_behind_nat(folder: Path, relay: int) -> None:
    assert mesh_of(folder, "lap", "b").routes(relay) == {
        "fd00::/64": "vpn-b",
        "10.1.0.0/16": "vpn-b",
        "fd00::3/128": "vpn-b1",
        "fd00::5/128": "vpn-b2",
        "fd00::4/128": f"vpn-b{relay}",
    }


def test_without_a_relay_machines_behind_nat_do_not_reach_each_other(folder: Path) -> None:
    text = (folder / "mesh.json").read_text().replace('"relay": true', '"relay": false')
    (folder / "mesh.json").write_text(text)
    mesh = mesh_of(folder, "lap")
    assert [each.name for each in mesh.interfaces()] == ["vpn-a", "vpn-b"]
    assert "pad-a" not in mesh.interfaces()[0].peers
    assert mesh.routes(1) == {"fd00::/64": "vpn-a", "10.1.0.0/16": "vpn-a"}


def test_a_device_is_reached_on_its_only_channel(folder: Path) -> None:
    mesh = json.loads((folder / "mesh.json").read_text())
    phone = {**mesh["lap"], "keys": {"b": "phone-b"}, "addresses": ["fd00::9"]}
    (folder / "mesh.json").write_text(json.dumps({**mesh, "phone": phone}))
    one, other = mesh_of(folder, "jon").interfaces()
    assert "phone-b" not in one.peers
    assert other.peers["phone-b"] == Peer("phone-b", frozenset({"fd00::9/128"}), None, 0)
    assert mesh_of(folder, "jon").routes(1) == {"fd00::/64": "vpn-a", "fd00::9/128": "vpn-b"}
    assert mesh_of(folder, "jon", "b").routes(1) == {"fd00::/64": "vpn-b"}
    assert mesh_of(folder, "lap").routes(2)["fd00::9/128"] == "vpn-b2"


def test_who_passes_on_packets(folder: Path) -> None:
    assert {name for name in NUMBERS if mesh_of(folder, name).forwards()} == {"jon", *RELAYS}


def test_a_peer_that_has_moved_is_left_alone(folder: Path) -> None:
    (interface, *_) = mesh_of(folder, "jon").interfaces()
    wanted = interface.peers["one-a"]
    assert changes.differs(None, wanted)
    assert not changes.differs(wanted, wanted)
    assert not changes.differs(wanted._replace(endpoint=("198.51.100.1", 4711)), wanted)
    assert changes.differs(wanted._replace(endpoint=None), wanted)
    assert changes.differs(wanted._replace(networks=frozenset()), wanted)
    assert changes.differs(wanted._replace(keepalive=25), wanted)
    moved = wanted._replace(endpoint=("198.51.100.1", 4711))
    assert not changes.differs(moved, wanted, ["192.0.2.3", 51820])
    assert changes.differs(moved, wanted, ["192.0.2.9", 51820])  # it is declared elsewhere since
    moving = interface.peers["lap-a"]
    assert not changes.differs(moving._replace(endpoint=("198.51.100.1", 4711)), moving)


def test_the_form_of_wg(folder: Path) -> None:
    interface = mesh_of(folder, "lap").interfaces()[0]
    assert changes.section(interface.peers["jon-a"]) == (
        "[Peer]\nPublicKey = jon-a\nAllowedIPs = 10.1.0.0/16, fd00::1/128\n"
        "Endpoint = 192.0.2.1:51820\nPersistentKeepalive = 25\n"
    )
    six = interface.peers["jon-a"]._replace(endpoint=("2001:db8::1", 1), keepalive=0)
    assert "Endpoint = [2001:db8::1]:1\nPersistentKeepalive = off\n" in changes.section(six)


def test_a_host_that_is_unknown_does_not_stop_the_others(folder: Path) -> None:
    text = (folder / "mesh.json").read_text().replace("192.0.2.3", "no-such-host.invalid")
    (folder / "mesh.json").write_text(text)
    mesh = mesh_of(folder, "jon")
    peers = mesh.interfaces()[0].peers
    assert peers["one-a"].endpoint is None
    assert peers["two-a"].endpoint == ("192.0.2.5", 51820)
    [problem] = mesh.problems
    assert problem.startswith("cannot find the address of no-such-host.invalid: ")


@pytest.mark.parametrize(("chosen", "number"), [("", 1), ("one", 1), ("two", 2), ("gone", 1)])
def test_the_relay_that_was_chosen_last(
    folder: Path, monkeypatch: pytest.MonkeyPatch, chosen: str, number: int
) -> None:
    monkeypatch.setattr(present, "STATE", folder)
    if chosen:
        (folder / "rolecall-vpn.relay").write_text(chosen)
    assert present.chosen(mesh_of(folder, "lap")) == number


def test_a_name_that_leads_into_the_mesh_is_no_endpoint(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(None, None, None, "", ("fd00::3", 0))])
    mesh = mesh_of(folder, "jon")
    assert mesh.interfaces()[0].peers["one-a"].endpoint is None
    assert "192.0.2.3 is fd00::3, which is reached through the mesh itself" in mesh.problems


def test_names_of_other_interfaces_are_not_ours(folder: Path) -> None:
    mesh = mesh_of(folder, "lap")
    names = ["vpn-a", "vpn-b2", "vpn", "vpn-c", "vpn-a10", "xvpn-a", "vpn-ab", "other-vpn-a"]
    assert [name for name in names if present.is_ours(mesh, name)] == ["vpn-a", "vpn-b2"]


def test_a_route_of_the_machine_itself_is_never_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Routes of the mesh have a metric of their own, with which they are also found and removed."""
    lines: list[str] = []
    there = [{"dst": "10.1.0.0/16", "dev": "vpn-a"}, {"dst": "10.2.0.0/16", "dev": "vpn-a", "metric": 51820}]

    def run(*argv: str, given: str = "") -> str:
        lines.extend(given.splitlines())
        return json.dumps(there) if "-4" in argv else "[]"

    monkeypatch.setattr(present, "run", run)
    monkeypatch.setattr(changes, "run", run)
    changes.set_routes(["vpn-a"], {"10.1.0.0/16": "vpn-a"})
    assert lines == [
        "route replace 10.1.0.0/16 dev vpn-a proto static metric 51820",
        "route del 10.2.0.0/16 dev vpn-a proto static metric 51820",
    ]


def test_what_is_installed_is_the_whole_program(tmp_path: Path) -> None:
    roles: dict[str, Any] = {"peer": {"machines": {"jon": {}}}}
    inventory = {"machines": {"jon": {}}, "instances": {"vpn": {"module": {"name": "wireguard"}, "roles": roles}}}
    result = evaluate(inventory, wireguard.service, hosts={"jon": Host("jon.example")})
    for key, file in result.resources("jon", File).items():
        if file.path.startswith("/etc/rolecall/vpn/"):
            path = tmp_path / file.path.removeprefix("/etc/rolecall/vpn/")
            path.parent.mkdir(exist_ok=True)
            path.write_text(result.text("jon", key))
    assert (tmp_path / "mesh").read_text().startswith("#!/usr/bin/python3 -B\n")
    argv = [sys.executable, "-B", str(tmp_path / "mesh"), "--help"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: mesh [-h]")
    argv = [sys.executable, "-B", "-c", "from program.present import HOME; print(HOME)"]
    assert subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True).stdout == f"{tmp_path}\n"
    assert not [*tmp_path.rglob("__pycache__")]
