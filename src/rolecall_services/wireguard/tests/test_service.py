"""What the service asks of machines."""

from __future__ import annotations

import json
from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Any

import pytest

from rolecall.service import Block, File, Member, NftablesTable, NoSettings, OpenPort, Resource, Service, Unit
from rolecall.testing import Evaluated, Faults, Host, evaluate
from rolecall_agent.content import Blob
from rolecall_services import wireguard

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def evaluated(
    machines: Mapping[str, Mapping[str, Any]], relays: tuple[str, ...] = (), instance: str = "vpn"
) -> Evaluated:
    """A mesh of machines with these settings; each is reached at NAME.example."""
    roles = {
        "peer": {"machines": {name: {"settings": settings} for name, settings in machines.items()}},
        "relay": {"machines": {name: {} for name in relays}},
    }
    names = sorted({*machines, *relays})
    inventory = {
        "machines": {name: {} for name in names},
        "instances": {instance: {"module": {"name": "wireguard"}, "roles": roles}},
    }
    return evaluate(inventory, wireguard.service, hosts={name: Host(f"{name}.example") for name in names})


def mesh_of(result: Evaluated, machine: str, instance: str = "vpn") -> dict[str, Any]:
    mesh: dict[str, Any] = json.loads(result.text(machine, f"file:/etc/rolecall/{instance}/mesh.json"))
    return mesh


def test_every_peer_knows_the_keys_and_addresses_of_all() -> None:
    result = evaluated({"jon": {}, "sara": {"endpoint": "198.51.100.7", "port": 4000}, "lap": {"nat": True}}, ("jon",))
    mesh = mesh_of(result, "jon")
    assert mesh == mesh_of(result, "sara") == mesh_of(result, "lap")
    assert {name: peer["keys"] for name, peer in mesh.items()} == {
        name: {each: result.values[f"{name}/vpn.key-{each}/public"].decode().strip() for each in "ab"} for name in mesh
    }
    assert [(peer["endpoint"], peer["port"], peer["relay"]) for _, peer in sorted(mesh.items())] == [
        ("jon.example", 51820, True),
        (None, 51820, False),
        ("198.51.100.7", 4000, False),
    ]
    network = IPv6Network((result.values["shared/vpn.network/prefix"].decode(), 64))
    assert network.subnet_of(IPv6Network("fd00::/8"))
    addresses = {IPv6Address(peer["addresses"][0]) for peer in mesh.values()}
    assert len(addresses) == 3
    assert all(address in network for address in addresses)


def test_no_machine_has_the_private_key_of_another() -> None:
    result = evaluated({"jon": {}, "sara": {}})
    for name, other in (("jon", "sara"), ("sara", "jon")):
        files = result.resources(name, File)
        texts = "".join(result.text(name, key) for key in files if not key.endswith("/mesh"))
        for channel in "ab":
            assert result.values[f"{name}/vpn.key-{channel}/private"].decode().strip() in texts
            assert result.values[f"{other}/vpn.key-{channel}/private"].decode().strip() not in texts
    assert {file.mode for key, file in result.resources("jon", File).items() if "secrets" in key} == {0o400}


def test_what_all_machines_know_is_one_file() -> None:
    """So a mesh of a thousand machines is written and hashed once, not a thousand times."""
    result = evaluated({"jon": {}, "sara": {}})
    one, other = (result.resources(name, File)["file:/etc/rolecall/vpn/mesh.json"] for name in ("jon", "sara"))
    assert one is other


def test_names_of_all_peers() -> None:
    result = evaluated({"jon": {"ipv4": "10.9.0.1"}, "sara": {"domain": "office.example"}})
    mesh = mesh_of(result, "jon")
    [block] = result.resources("sara", Block).values()
    assert block.path == "/etc/hosts"
    assert [*result.resources("jon", Block).values()] == [block]
    six = {name: peer["addresses"][0] for name, peer in mesh.items()}
    assert isinstance(block.text, Blob)
    lines = (block.text.data or b"").decode().splitlines()
    assert lines == [f"{six['jon']} jon.vpn", "10.9.0.1 jon.vpn", f"{six['sara']} sara.office.example"]


@pytest.mark.parametrize(
    ("instance", "name"), [("vpn", "vpn"), ("eleven-char", "eleven-char"), ("a-long-instance", "a-long-3f37")]
)
def test_names_of_interfaces_fit(instance: str, name: str) -> None:
    result = evaluated({"jon": {}}, instance=instance)
    own = json.loads(result.text("jon", f"file:/etc/rolecall/{instance}/machine.json"))
    assert own["interfaces"][:6] == name[:6]
    assert len(f"{own['interfaces']}-a9") <= 15  # IFNAMSIZ, with its zero byte


@pytest.mark.parametrize("instance", ["a-b", "a_b", "x" * 60, "x" * 59])
def test_names_of_tables_are_their_own(instance: str) -> None:
    result = evaluated({"jon": {"networks": ["fd99::/64"]}}, instance=instance)
    [table] = result.resources("jon", NftablesTable).values()
    assert table.name.startswith(f"wireguard_{instance[0]}")
    assert (table.name == "wireguard_a_b") == (instance == "a_b")


def test_only_a_choice_of_relays_needs_a_program_that_chooses() -> None:
    def units(*relays: str) -> set[str]:
        machines: dict[str, dict[str, Any]] = {"lap": {"nat": True}, "one": {}, "two": {}}
        return {unit.name for unit in evaluated(machines, relays).resources("lap", Unit).values()}

    assert units() == units("one")
    assert units("one", "two") - units("one") == {"rolecall-vpn.relays.service"}


@pytest.mark.parametrize(
    ("machines", "relays", "message"),
    [
        ({"jon": {}}, ("sara",), "sara is a relay of vpn, but not a peer"),
        ({"jon": {"nat": True}}, ("jon",), "jon is a relay of vpn, so it cannot be behind NAT"),
        ({"jon": {"networks": ["10.0.0.1/8"]}}, (), "has host bits set"),
        ({"jon": {"networks": ["::/0"]}}, (), "::/0 is everything"),
        ({"jon": {}, "sara": {"endpoint": "jon.vpn"}}, (), "the endpoint of sara is in the mesh itself"),
        ({"jon": {"ipv4": "10.0.0.1", "endpoint": "10.0.0.1"}}, (), "the endpoint of jon is in the mesh itself"),
        (
            {"jon": {"networks": ["10.0.0.0/8"]}, "sara": {"networks": ["10.1.0.0/16"]}},
            (),
            "10.0.0.0/8 of jon and 10.1.0.0/16 of sara overlap",
        ),
        ({"jon": {"ipv4": "10.0.0.1"}, "sara": {"ipv4": "10.0.0.1"}}, (), "10.0.0.1/32 of jon and 10.0.0.1/32 of sara"),
    ],
)
def test_what_cannot_work_is_refused(machines: dict[str, Any], relays: tuple[str, ...], message: str) -> None:
    with pytest.raises(Faults, match=message.replace(".", r"\.")):
        evaluated(machines, relays)


def test_two_meshes_of_a_machine_need_ports_of_their_own() -> None:
    def inventory(port: int, ipv4_range: str = "10.81.0.0/24") -> dict[str, Any]:
        settings = {"ipv4Range": "10.80.0.0/24"}
        roles: dict[str, Any] = {"peer": {"machines": {"jon": {}}, "settings": settings}}
        other = {"peer": {"machines": {"jon": {}}, "settings": {"port": port, "ipv4Range": ipv4_range}}}
        return {
            "machines": {"jon": {}},
            "instances": {
                "one": {"module": {"name": "wireguard"}, "roles": roles},
                "two": {"module": {"name": "wireguard"}, "roles": other},
            },
        }

    with pytest.raises(Faults, match="one and two listen on the same ports"):
        evaluate(inventory(51821), wireguard.service)
    with pytest.raises(Faults, match="`ipv4Range` of one and two overlap on a machine that is in both"):
        evaluate(inventory(51822, "10.80.0.0/28"), wireguard.service)
    evaluate(inventory(51822), wireguard.service)


def test_a_device_gets_a_file() -> None:
    machines: dict[str, Any] = {name: {} for name in ("jon", "lap", "phone", "sara")}
    peers = {
        "jon": {"settings": {"networks": ["fd99::/64"]}},
        "lap": {"settings": {"nat": True, "ipv4": "10.9.0.2"}},
        "sara": {"settings": {"endpoint": "2001:db8::1", "port": 4000}},
    }
    roles = {
        "peer": {"machines": peers},
        "relay": {"machines": {"jon": {}}},
        "device": {"machines": {"phone": {"settings": {"channel": "b", "ipv4": "10.9.0.9"}}}},
    }
    inventory = {"machines": machines, "instances": {"vpn": {"module": {"name": "wireguard"}, "roles": roles}}}
    result = evaluate(inventory, wireguard.service, hosts={"jon": Host("jon.example")})
    mesh = mesh_of(result, "jon")
    six = {name: peer["addresses"][0] for name, peer in mesh.items()}
    value = {name: result.values[name].decode().strip() for name in result.values}
    assert mesh["phone"]["keys"] == {"b": value["phone/vpn.device-key/public"]}
    assert [*result.resources("phone")] == ["file:/etc/rolecall/vpn/device.conf"]
    assert result.resources("phone", File)["file:/etc/rolecall/vpn/device.conf"].mode == 0o600
    assert result.text("phone", "file:/etc/rolecall/vpn/device.conf").splitlines() == [
        "[Interface]",
        f"PrivateKey = {value['phone/vpn.device-key/private']}",
        f"Address = {six['phone']}/128, 10.9.0.9/32",
        "MTU = 1420",
        "",
        "[Peer]",
        "# jon",
        f"PublicKey = {value['jon/vpn.key-b/public']}",
        f"AllowedIPs = {six['jon']}/128, {six['lap']}/128, 10.9.0.2/32, fd99::/64",
        "Endpoint = jon.example:51821",
        "PersistentKeepalive = 25",
        "",
        "[Peer]",
        "# sara",
        f"PublicKey = {value['sara/vpn.key-b/public']}",
        f"AllowedIPs = {six['sara']}/128",
        "Endpoint = [2001:db8::1]:4001",
        "PersistentKeepalive = 25",
    ]


def test_what_forwards_has_a_filter() -> None:
    machines: dict[str, dict[str, Any]] = {
        "jon": {},
        "one": {},
        "bob": {"nat": True, "networks": ["fd99::/64", "10.1.0.0/16"], "networksMayConnect": True},
    }
    result = evaluated(machines, ("one",))
    assert not result.resources("jon", NftablesTable)
    [of_relay], [of_bob] = ([*result.resources(name, NftablesTable).values()] for name in ("one", "bob"))
    assert of_relay.rules.splitlines() == [
        "set mesh {",
        '    type ifname; elements = { "vpn-a", "vpn-b" };',
        "}",
        "chain forward {",
        "    type filter hook forward priority filter; policy accept;",
        "    iifname @mesh oifname @mesh accept",
        "    oifname @mesh ct state established,related accept",
        "    iifname @mesh drop",
        "    oifname @mesh drop",
        "}",
    ]
    assert '{ "vpn-a", "vpn-a1", "vpn-b", "vpn-b1" }' in of_bob.rules
    assert [line.strip() for line in of_bob.rules.splitlines()[5:-1]] == [
        "iifname @mesh ip daddr { 10.1.0.0/16 } accept",
        "iifname @mesh ip6 daddr { fd99::/64 } accept",
        "oifname @mesh ct state established,related accept",
        "oifname @mesh ip saddr { 10.1.0.0/16 } accept",
        "oifname @mesh ip6 saddr { fd99::/64 } accept",
        "iifname @mesh drop",
        "oifname @mesh drop",
    ]


@pytest.mark.parametrize(
    ("peers", "own", "name"),
    [
        ({}, {}, "phone.vpn"),
        ({"domain": "office.example"}, {}, "phone.office.example"),
        ({"domain": "office.example"}, {"domain": "home.example"}, "phone.home.example"),
    ],
)
def test_the_name_of_a_device(peers: dict[str, str], own: dict[str, str], name: str) -> None:
    roles = {
        "peer": {"machines": {"jon": {}, "sara": {}}, "settings": peers},
        "device": {"machines": {"phone": {}}, "settings": own},
    }
    machines: dict[str, Any] = {each: {} for each in ("jon", "sara", "phone")}
    inventory = {"machines": machines, "instances": {"vpn": {"module": {"name": "wireguard"}, "roles": roles}}}
    result = evaluate(inventory, wireguard.service, hosts={each: Host(f"{each}.example") for each in machines})
    assert mesh_of(result, "jon")["phone"]["name"] == name


def test_devices_of_peers_with_different_domains_are_named_by_the_instance() -> None:
    roles = {
        "peer": {"machines": {name: {"settings": {"domain": f"{name}.example"}} for name in ("jon", "sara")}},
        "device": {"machines": {"phone": {}}},
    }
    machines: dict[str, Any] = {each: {} for each in ("jon", "sara", "phone")}
    inventory = {"machines": machines, "instances": {"vpn": {"module": {"name": "wireguard"}, "roles": roles}}}
    result = evaluate(inventory, wireguard.service, hosts={each: Host(f"{each}.example") for each in machines})
    assert mesh_of(result, "jon")["phone"]["name"] == "phone.vpn"


def test_a_firewall_lets_the_mesh_in() -> None:
    """A service of another author on the same machine: it knows the interface, and nothing of the mesh."""
    firewall = Service("firewall", description="Drops what is not expected.")
    guarded = firewall.role("guarded", description="Has a firewall.")

    @guarded.configure
    def guard(me: Member[NoSettings]) -> Iterator[Resource]:
        ports = [f"{each.value.protocol} {each.value.port}" for each in me.exports(OpenPort, machine=me.machine)]
        yield File("/etc/firewall", " ".join(ports))

    peers = {"jon": {}, "sara": {"settings": {"port": 4000}}, "lap": {"settings": {"nat": True}}}
    inventory = {
        "machines": {name: {"address": f"{name}.example"} for name in peers},
        "instances": {
            "vpn": {"module": {"name": "wireguard"}, "roles": {"peer": {"machines": peers}}},
            "firewall": {"roles": {"guarded": {"tags": ["all"]}}},
        },
    }
    result = evaluate(inventory, wireguard.service, firewall)
    assert {name: result.text(name, "file:/etc/firewall") for name in peers} == {
        "jon": "udp 51820 udp 51821",
        "sara": "udp 4000 udp 4001",
        "lap": "",
    }
