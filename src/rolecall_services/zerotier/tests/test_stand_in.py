"""The stand-in does what the real daemon did with the same files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rolecall_services.zerotier.program import controller as program
from rolecall_services.zerotier.tests.stand_in.member import Joined
from rolecall_services.zerotier.tests.stand_in.records import Controller, truth

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parent / "vectors"
IDENTITIES = {
    each["address"]: each["identity_public"]
    for each in json.loads((FOLDER / "identities.json").read_text())["identities"]
}
NODES = {"c": "3d9fe93b2d", "a": "6e68f9a484", "b": "ee60be4419", "d": "cbdbe0aef8"}
OF_A_RUN = {"creationTime", "lastAuthorizedTime", "lastDeauthorizedTime", "vMajor", "vMinor", "vProto", "vRev"}


@pytest.fixture
def controller(tmp_path: Path) -> Controller:
    shutil.copytree(FOLDER / "e1/placed", tmp_path / "controller.d")
    return Controller(tmp_path)


def records(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(folder.rglob("*.json")):
        record = json.loads(path.read_text())
        yield str(path.relative_to(folder)), {key: value for key, value in record.items() if key not in OF_A_RUN}


def test_members_get_what_the_real_controller_gave_them(controller: Controller, tmp_path: Path) -> None:
    listed = json.loads((FOLDER / "e1/listed.json").read_text())
    for name, address in NODES.items():
        for network, shown in listed[name].items():
            status, config = controller.request(network, IDENTITIES[address])
            found = {"status": status, "assignedAddresses": config.get("addresses", [])}
            assert found == shown, (name, network)
    assert dict(records(tmp_path / "controller.d/network")) == dict(records(FOLDER / "e1/after/network"))


def test_a_network_without_a_rule_passes_nothing(controller: Controller) -> None:
    _, config = controller.request("3d9fe93b2d0000b0", IDENTITIES[NODES["a"]])
    assert not config["passes"]
    controller.post_network("3d9fe93b2d0000b0", {"name": "changed"})  # which fills in the default
    _, config = controller.request("3d9fe93b2d0000b0", IDENTITIES[NODES["a"]])
    assert config["passes"]


def test_the_api_writes_a_network_as_the_real_one(tmp_path: Path) -> None:
    network, real = "3d9fe93b2d00000a", json.loads((FOLDER / "network_after_api.json").read_text())
    routes = [{"target": "10.147.20.0/24"}, {"target": "10.99.0.0/16", "via": "10.147.20.1"}]
    before = {"id": network, "v6AssignMode": {"rfc4193": True}}
    (tmp_path / "controller.d/network").mkdir(parents=True)
    (tmp_path / f"controller.d/network/{network}.json").write_text(json.dumps(before))
    controller = Controller(tmp_path)
    made = controller.post_network(network, {"name": "renamed", "routes": routes})
    assert {**made, "creationTime": 0} == {**real, "creationTime": 0}
    assert (tmp_path / f"controller.d/network/{network}.json").read_text().startswith('{"authTokens":[null],')


@pytest.mark.parametrize("fault", ["{", '{"nwid": "3d9fe93b2d0000c0"}', "[]"])
def test_a_record_that_is_unusable_is_written_over(controller: Controller, tmp_path: Path, fault: str) -> None:
    path = tmp_path / "controller.d/network/3d9fe93b2d00000a/member/6e68f9a484.json"
    path.write_text(fault)
    again = Controller(tmp_path)
    assert again.request("3d9fe93b2d00000a", IDENTITIES["6e68f9a484"]) == ("ACCESS_DENIED", {})
    assert json.loads(path.read_text())["authorized"] is False
    assert controller.networks == again.networks


def test_the_end_of_a_pool_is_never_given(tmp_path: Path) -> None:
    """E4 of the experiments: .100 and .101 were declared, d got .102, b .103, and a nothing, though .104 was free."""
    network = "3d9fe93b2d000003"
    controller = Controller(tmp_path)
    pools = [{"ipRangeStart": "10.1.3.100", "ipRangeEnd": "10.1.3.104"}]
    routes = [{"target": "10.1.3.0/24"}]
    controller.post_network(network, {"v4AssignMode": {"zt": True}, "ipAssignmentPools": pools, "routes": routes})
    for number, address in enumerate(("3d8dca4766", "e92cc709f2")):
        controller.post_member(network, address, {"ipAssignments": [f"10.1.3.{100 + number}"], "authorized": True})
    for name, expected in (("d", ["10.1.3.102/24"]), ("b", ["10.1.3.103/24"]), ("a", [])):
        controller.post_member(network, NODES[name], {"authorized": True})
        status, config = controller.request(network, IDENTITIES[NODES[name]])
        assert (status, config["addresses"]) == ("OK", expected)


@pytest.mark.parametrize(("value", "read"), [("yes", False), ("true", True), ("1", True), (1, True), (None, False)])
def test_how_a_yes_is_read(value: object, read: bool) -> None:  # noqa: FBT001 - a case
    assert truth(value, default=False) is read


@pytest.mark.parametrize(
    ("permissions", "accepted"),
    [
        ("", ["10.147.60.11/24", "fd3d::1/88"]),
        ("allowManaged=0\n", []),
        ("allowManaged=1\nallowGlobal=1\n", ["10.147.60.11/24", "fd3d::1/88", "8.8.8.8/24"]),
        ("allowManaged=10.147.60.0/24,192.168.0.0/16\n", ["10.147.60.11/24"]),
        ("allowManaged=10.147.60.0/25\n", []),
        (f"allowManaged={','.join(['192.168.0.0/16'] * 90)}\n", ["10.147.60.11/24", "fd3d::1/88"]),  # it fails open
    ],
)
def test_what_a_member_accepts(tmp_path: Path, permissions: str, accepted: list[str]) -> None:
    (tmp_path / "networks.d").mkdir()
    if permissions:
        (tmp_path / "networks.d/3d9fe93b2d000060.local.conf").write_text(permissions)
    joined = Joined(tmp_path, "3d9fe93b2d000060", NODES["a"], tap=False)
    assert (tmp_path / "networks.d/3d9fe93b2d000060.conf").read_bytes() == b"\n"
    joined.received("OK", {"addresses": ["10.147.60.11/24", "fd3d::1/88", "8.8.8.8/24"]})
    assert joined.accepted() == accepted
    assert joined.shown()["assignedAddresses"] == ["10.147.60.11/24", "fd3d::1/88", "8.8.8.8/24"]
    assert Joined(tmp_path, "3d9fe93b2d000060", NODES["a"], tap=False).status == "OK"  # from its cache
    joined.permit(allowManaged=True, allowGlobal=True)  # a list is lost with that
    assert "allowManaged=1\nallowGlobal=1\n" in (tmp_path / "networks.d/3d9fe93b2d000060.local.conf").read_text()


def test_the_program_understands_the_records_of_the_real_daemon() -> None:
    """None of them differs from what is declared, in whatever form the daemon writes it."""
    record = json.loads((FOLDER / "network_after_api.json").read_text())
    wanted = {
        "mtu": 2800,
        "multicastLimit": 32,
        "enableBroadcast": True,
        "authTokens": {},
        "name": "renamed",
        "private": True,
        "rules": [{"not": False, "or": False, "type": "ACTION_ACCEPT"}],
        "ipAssignmentPools": [],
        "routes": [
            {"target": "10.147.20.0/24", "via": None},
            {"target": "10.99.0.0/16", "via": "10.147.20.1"},
        ],
        "v4AssignMode": {"zt": False},
        "v6AssignMode": {"rfc4193": True, "6plane": False, "zt": False},
        "dns": {"domain": "", "servers": []},
    }
    assert [name for name, value in wanted.items() if not program._same(record, name, value)] == []  # noqa: SLF001 - it has no other entrance
    member = json.loads((FOLDER / f"e1/after/network/3d9fe93b2d00000a/member/{NODES['a']}.json").read_text())
    declared = {"name": "a", "identity": IDENTITIES[NODES["a"]], "addresses": ["10.147.20.11"]}
    settings = {"network": wanted, "members": {NODES["a"]: declared}}
    assert [*program._member("path", declared, member, settings)] == []  # noqa: SLF001 - as above
    [change] = program._member("path", {**declared, "addresses": []}, member, settings)  # noqa: SLF001 - as above
    assert change.body == {"ipAssignments": []}
