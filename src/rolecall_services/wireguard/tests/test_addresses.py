"""IPv4 addresses from the range of a mesh: each is assigned once, and stays."""

from __future__ import annotations

import json
import re
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.errors import Faults
from rolecall.pipeline import Workspace, rotate, set_var
from rolecall.project import Project
from rolecall.service import File
from rolecall.vars import create_identity, promote
from rolecall_agent.content import Blob
from rolecall_services.wireguard.addresses import assigned

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NETWORK = IPv4Network("10.80.0.0/28")
NAMES = [f"m{number}" for number in range(9)]
BY_HAND = [*map(IPv4Address, ("10.80.0.1", "10.80.0.3", "10.80.0.0", "192.0.2.1"))]


@given(st.lists(st.dictionaries(st.sampled_from(NAMES), st.none() | st.sampled_from(BY_HAND), max_size=6), max_size=8))
def test_an_address_stays_while_machines_come_and_go(steps: list[dict[str, IPv4Address | None]]) -> None:
    kept: Mapping[str, IPv4Address] = {}
    ever: dict[str, IPv4Address] = {}
    for step in steps:
        # That two have one address, by hand or since it is assigned to one of them, is a fault, tested below.
        assigned_to = {address: name for name, address in kept.items() if name in step and step[name] is None}
        owners = {address: name for name, address in step.items() if address} | assigned_to
        members = {name: address for name, address in step.items() if address is None or owners[address] == name}
        kept = assigned(NETWORK, members, kept)
        without = {name for name, address in members.items() if address is None}
        used = {name: kept[name] for name in without}
        assert len({*kept.values()}) == len(kept)
        assert not {*members.values()} & {*used.values()}
        assert all(address in list(NETWORK.hosts()) for address in used.values())
        lost = {name for name, address in ever.items() if address in members.values() and members.get(name) != address}
        ever = {name: address for name, address in ever.items() if name not in lost}
        assert {name: used[name] for name in used.keys() & ever.keys()} == {
            name: ever[name] for name in used.keys() & ever.keys()
        }
        ever |= used


@pytest.mark.parametrize(
    ("members", "earlier", "message"),
    [
        (["a", "b", "c"], {}, "10.80.0.0/30 has 2 addresses, 1 too few for 3 machines; set a larger"),
        (
            ["a", "b"],
            {"x": "10.80.0.1", "y": "10.80.0.2"},
            "2 too few for 2 machines and the 2 that have left (x, y), whose addresses are kept",
        ),
        (["a"], {"a": "10.80.0.1", "b": "10.80.0.1"}, "a and b have the same address 10.80.0.1"),
    ],
)
def test_what_cannot_be_assigned(members: list[str], earlier: dict[str, str], message: str) -> None:
    known = {name: IPv4Address(address) for name, address in earlier.items()}
    with pytest.raises(ValueError, match=re.escape(message)):
        assigned(IPv4Network("10.80.0.0/30"), dict.fromkeys(members), known)


def test_an_address_by_hand_takes_that_of_a_machine_that_has_left_but_of_no_other() -> None:
    address = IPv4Address("10.80.0.1")
    assert assigned(NETWORK, {"b": address}, {"a": address}) == {}
    with pytest.raises(ValueError, match=r"b has `ipv4` set to 10.80.0.1, which is the address of a"):
        assigned(NETWORK, {"a": None, "b": address}, {"a": address})


def test_a_range_that_changes_keeps_what_is_in_it() -> None:
    earlier = {"a": IPv4Address("10.80.0.1"), "b": IPv4Address("10.80.0.15")}
    members = dict.fromkeys(["a", "b", "c"])
    larger = assigned(IPv4Network("10.80.0.0/24"), members, earlier)
    assert larger == {**earlier, "c": IPv4Address("10.80.0.2")}
    smaller = assigned(NETWORK, members, earlier)  # in which the address of b is for broadcasts
    assert smaller == {"a": earlier["a"], "b": IPv4Address("10.80.0.2"), "c": IPv4Address("10.80.0.3")}


class Mesh:
    """A project with a mesh."""

    def __init__(self, folder: Path) -> None:
        self.project = Project(folder)
        create_identity(self.project, "me")

    def declare(self, *peers: str, devices: tuple[str, ...] = (), **settings: Any) -> Workspace:  # noqa: ANN401 - JSON
        """Declare these peers, with settings for all, and devices; return the project as it is then."""
        roles = {
            "peer": {"machines": {name: {} for name in peers}, "settings": settings},
            "device": {"machines": {name: {} for name in devices}},
        }
        vpn = {"module": {"name": "wireguard"}, "roles": roles}
        text = json.dumps({"machines": {name: {} for name in (*peers, *devices)}, "instances": {"vpn": vpn}})
        (self.project.root / "inventory.json").write_text(text)
        return Workspace(self.project)

    def stored(self) -> dict[str, str]:
        """Return the addresses that the project keeps."""
        text = (self.project.root / "vars/shared/vpn.addresses/addresses/value").read_text()
        found: dict[str, str] = json.loads(text)
        return found


@pytest.fixture
def mesh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mesh:
    monkeypatch.setenv("ROLECALL_IDENTITY", str(tmp_path / "identity"))
    (tmp_path / "project").mkdir()
    return Mesh(tmp_path / "project")


def used(workspace: Workspace, machine: str) -> dict[str, str | None]:
    """Return the IPv4 address that each machine has by the configuration of one."""
    resources = {each.key: each for each in workspace.evaluation().configured[machine].configuration.resources}
    file = resources["file:/etc/rolecall/vpn/mesh.json"]
    assert isinstance(file, File)
    [part] = file.parts
    assert isinstance(part, Blob)
    assert part.data
    text = part.data.decode()
    return {name: (peer["addresses"] + [None])[1] for name, peer in json.loads(text).items()}


RANGE = "10.80.0.0/29"


def test_addresses_are_kept_in_the_project(mesh: Mesh) -> None:
    generate_all(mesh.declare("jon", "sara", devices=("phone",), ipv4Range=RANGE))
    first = {"jon": "10.80.0.1", "phone": "10.80.0.2", "sara": "10.80.0.3"}
    assert mesh.stored() == first
    assert used(mesh.declare("jon", "sara", devices=("phone",), ipv4Range=RANGE), "jon") == first
    generate_all(mesh.declare("sara", "abe", ipv4Range=RANGE))
    assert mesh.stored() == {**first, "abe": "10.80.0.4"}
    assert used(mesh.declare("sara", "abe", ipv4Range=RANGE), "sara") == {"abe": "10.80.0.4", "sara": "10.80.0.3"}
    generate_all(mesh.declare("jon", "abe"))  # without a range, nobody has one, and none is forgotten
    assert used(mesh.declare("jon", "abe"), "jon") == {"abe": None, "jon": None}
    generate_all(mesh.declare("jon", "abe", ipv4Range=RANGE))
    assert mesh.stored() == {**first, "abe": "10.80.0.4"}


def generate_all(workspace: Workspace) -> None:
    """Store what an evaluation makes, as an update does."""
    promote(workspace.project, workspace.evaluation().makes)


def test_a_plan_that_is_not_carried_out_leaves_no_trace(mesh: Mesh) -> None:
    generate_all(mesh.declare("jon", "sara", ipv4Range=RANGE))
    assert used(mesh.declare("jon", "sara", ipv4Range="10.90.0.0/24"), "jon")["jon"] == "10.90.0.1"
    assert used(mesh.declare("jno", "sara", ipv4Range=RANGE), "sara") == {"jno": "10.80.0.3", "sara": "10.80.0.2"}
    assert used(mesh.declare("abe", "sara", ipv4Range=RANGE), "sara") == {"abe": "10.80.0.3", "sara": "10.80.0.2"}


def test_only_by_force_everything_is_assigned_anew(mesh: Mesh) -> None:
    generate_all(mesh.declare("jon", "sara", ipv4Range=RANGE))
    workspace = mesh.declare("sara", ipv4Range=RANGE)
    generate_all(workspace)
    name = "shared/vpn.addresses"
    with pytest.raises(Faults, match="is not replaced: the IPv4 addresses of machines come from it"):
        rotate(workspace, [name])
    rotate(workspace, [name], force=True)
    assert used(Workspace(mesh.project), "sara") == {"sara": "10.80.0.1"}


def test_a_person_can_free_addresses(mesh: Mesh) -> None:
    generate_all(mesh.declare(*"abcdef", ipv4Range=RANGE))
    workspace = mesh.declare(*"abcdeg", ipv4Range=RANGE)
    with pytest.raises(Faults, match=r"1 too few for 6 machines and the 1 that have left \(f\)"):
        workspace.evaluation()
    kept = {name: address for name, address in mesh.stored().items() if name != "f"}
    given = json.dumps({**kept, "g": "10.80.0.6"}).encode()
    set_var(workspace, "shared/vpn.addresses", {"": given}, force=True)
    assert used(Workspace(mesh.project), "a")["g"] == "10.80.0.6"


@pytest.mark.parametrize(
    ("value", "message"),
    [("{}", "has no address for jon; add one"), ("[]", "is not a JSON object of IPv4 addresses by machine")],
)
def test_what_a_person_gives_must_be_addresses_of_all(mesh: Mesh, value: str, message: str) -> None:
    workspace = mesh.declare("jon", ipv4Range=RANGE)
    with pytest.raises(Faults, match=message):
        set_var(workspace, "shared/vpn.addresses", {"": value.encode()}, force=True)


def test_peers_have_one_range(mesh: Mesh) -> None:
    mesh.declare("jon", "sara", ipv4Range=RANGE)
    path = mesh.project.root / "inventory.json"
    inventory = json.loads(path.read_text())
    inventory["instances"]["vpn"]["roles"]["peer"]["machines"]["sara"] = {"settings": {"ipv4Range": "10.1.0.0/24"}}
    path.write_text(json.dumps(inventory))
    with pytest.raises(Faults, match=r"jon has the range 10.80.0.0/29, and sara has 10.1.0.0/24; set `ipv4Range` once"):
        Workspace(mesh.project).evaluation()


@pytest.mark.parametrize("network", ["10.80.0.0/31", "10.80.0.1/24", "fd00::/64", "x"])
def test_ranges_that_are_none(mesh: Mesh, network: str) -> None:
    with pytest.raises(Faults, match="ipv4Range"):
        mesh.declare("jon", ipv4Range=network).sound()
