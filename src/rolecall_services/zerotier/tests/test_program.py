"""The program on the machines, against the stand-in for the daemon."""

from __future__ import annotations

import json
import shutil
import time
from typing import TYPE_CHECKING, Any

import pytest

from rolecall_services.zerotier.tests.nodes import NODE, SOON, Node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rolecall.testing import Evaluated

    Evaluating = Callable[..., Evaluated]
    Instances = dict[str, Any]

pytestmark = pytest.mark.slow
DEVICE = "aabbccddee"  # none of the machines has it
FOREIGN = f"{DEVICE}:0:{'ab' * 64}"
IN_POOL = {"enable": True, "ranges": [{"start": "10.1.0.100", "end": "10.1.0.199"}]}
ROUTES = [{"target": "10.1.0.0/24"}]


class Net:
    """The machines of an inventory as nodes that reach each other.

    Attributes:
        nodes: By machine.
        result: What is declared.
    """

    def __init__(self, folder: Path, evaluating: Evaluating) -> None:
        self._folder, self._evaluating = folder, evaluating
        self.nodes: dict[str, Node] = {}
        self.result: Any = None
        self._values: dict[str, bytes] = {}

    def declare(
        self, settings: dict[str, Any] | None = None, *, roots: dict[str, Any] | None = None, **peers: dict[str, Any]
    ) -> None:
        """Declare a network with the controller `box`, these peers and roots of a moon, and write all files."""
        roles = {
            "controller": {"machines": {"box": {"settings": settings or {}}}},
            "peer": {"machines": {name: {"settings": each} for name, each in peers.items()}},
            "moon": {"machines": {name: {"settings": each} for name, each in (roots or {}).items()}},
        }
        self.result = self._evaluating({"vpn": roles})
        for name in ("box", *peers):
            node = self.nodes.setdefault(name, Node(self._folder / name, self._addresses))
            node.install(self.result, name)

    @property
    def network(self) -> str:
        return str(self.result.values["box/vpn.network/id"].decode())

    @property
    def records(self) -> str:
        return f"/controller/network/{self.network}"

    def record(self, machine: str) -> Any:  # noqa: ANN401 - JSON
        return self.nodes["box"].get(f"{self.records}/member/{self.nodes[machine].address}")

    def _addresses(self) -> str:
        return ",".join(f"127.0.0.1:{node.port}" for node in self.nodes.values())


@pytest.fixture
def net(tmp_path: Path, evaluating: Evaluating) -> Iterator[Net]:
    made = Net(tmp_path, evaluating)
    yield made
    for node in made.nodes.values():
        node.stop()


def is_ok(shown: dict[str, Any]) -> bool:
    return bool(shown["status"] == "OK" and shown.get("addresses"))


def test_all_is_there_before_the_first_start(net: Net) -> None:
    """The identity stays, the member joins with its key pinned, and the controller needs no change."""
    net.declare({"routes": ROUTES}, jon={"addresses": ["10.1.0.5"]})
    for node in net.nodes.values():
        node.start()
        assert node.get("/status")["address"] == node.address
    box, jon = net.nodes["box"], net.nodes["jon"]
    assert box.run("reconcile") == ""
    shown = jon.wait(net.network, is_ok)
    [expected] = json.loads((jon.root / NODE / "expected.json").read_text()).values()
    assert shown["addresses"] == shown["accepted"] == expected["addresses"]
    assert shown["passes"]
    assert (shown["portDeviceName"], shown["mac"]) == (expected["device"], expected["mac"])
    assert net.record("jon")["identity"] == net.result.values["jon/zerotier.identity/public"].decode()
    assert [node.run("status") for node in net.nodes.values()] == ["", ""]
    assert box.run("reconcile") == ""


def test_a_new_member_restarts_nothing(net: Net) -> None:
    net.declare(jon={})
    for node in net.nodes.values():
        node.start()
    before = net.nodes["box"].process
    net.declare(jon={}, sara={})
    assert net.nodes["box"].run("reconcile") == "mended: sara is not known\n"
    net.nodes["sara"].start()
    net.nodes["sara"].wait(net.network, is_ok)
    assert net.nodes["box"].process is before
    assert net.nodes["box"].run("status") == ""
    assert net.record("sara")["identity"].startswith(net.nodes["sara"].address)


def test_who_leaves_is_revoked(net: Net) -> None:
    net.declare(jon={}, sara={})
    for node in net.nodes.values():
        node.start()
    for name in ("jon", "sara"):
        net.nodes[name].wait(net.network, is_ok)
    box, jon, sara = (net.nodes[name] for name in ("box", "jon", "sara"))
    net.declare(sara={})
    assert box.run("status", status=1) == (
        f"error: {jon.address} is authorized, but not declared\nerror: {jon.address} is known, but not declared\n"
    )
    said = box.run("reconcile")
    assert said.startswith(f"mended: {jon.address} is authorized, but not declared")
    sara.wait(net.network, lambda shown: shown["cut"] == [jon.address])
    shown = jon.wait(net.network, lambda shown: shown["status"] == "ACCESS_DENIED")
    assert shown["addresses"]  # it keeps them; the others do not talk to it
    until = time.monotonic() + SOON
    while jon.address not in box.get(f"{net.records}/member"):  # it goes on asking, as a stranger
        assert time.monotonic() < until
        time.sleep(0.02)
    record = box.get(f"{net.records}/member/{jon.address}")
    assert (record["authorized"], record["lastAuthorizedTime"]) == (False, 0)
    assert box.run("reconcile") == ""


def test_what_somebody_changes_by_hand_is_mended(net: Net) -> None:
    net.declare({"routes": ROUTES}, jon={"addresses": ["10.1.0.5"]}, sara={})
    for node in net.nodes.values():
        node.start()
    net.nodes["jon"].wait(net.network, is_ok)
    box = net.nodes["box"]
    member = f"{net.records}/member/{net.nodes['jon'].address}"
    drift: list[tuple[str, dict[str, Any], str]] = [
        (net.records, {"rules": []}, "has another rules"),
        (net.records, {"private": False}, "has another private"),
        (net.records, {"routes": [{"target": "10.2.0.0/24"}]}, "has another routes"),
        (net.records, {"authTokens": {"open sesame": 0}}, "has another authTokens"),
        (net.records, {"v4AssignMode": {"zt": True}}, "has another v4AssignMode"),
        (net.records, {"dns": {"domain": "x", "servers": ["10.1.0.1"]}}, "has another dns"),
        (member, {"ipAssignments": ["10.1.0.9"]}, "jon has another ipAssignments"),
        (member, {"ipAssignments": ["10.1.0.5", "10.1.0.9"]}, "jon has another ipAssignments"),
        (member, {"authorized": False}, "jon has another authorized"),
        (member, {"activeBridge": True, "tags": [[1, 2]]}, "jon has another activeBridge, tags"),
    ]
    for path, change, what in drift:
        box.ask("POST", path, change)
        assert what in box.run("status", status=1)
        said = box.run("reconcile")
        assert said.count("mended: ") == 1
        assert what in said
        assert box.run("status") == ""
    net.nodes["jon"].stop()  # it would ask again at once, and be known as a stranger
    box.ask("DELETE", member)
    assert box.run("reconcile") == "mended: jon is not known\n"
    box.ask("DELETE", net.records)
    assert f"the network {net.network} does not exist" in box.run("reconcile")
    assert net.record("jon")["ipAssignments"] == ["10.1.0.5"]
    net.nodes["jon"].start()
    net.nodes["jon"].wait(net.network, is_ok)


def test_drift_is_mended_at_the_next_start_too(net: Net) -> None:
    net.declare(jon={})
    box = net.nodes["box"]
    box.start()
    box.ask("POST", net.records, {"rules": [], "private": False})
    box.restart()
    assert box.run("reconcile") == ""
    assert box.get(net.records)["private"] is True
    assert len(box.get(net.records)["rules"]) == 1


def test_strangers_and_allowed_devices(net: Net) -> None:
    """A stranger that has asked stays known, without a right to anything."""
    net.declare({"allowedIds": [DEVICE]})
    box = net.nodes["box"]
    box.start()
    assert box.get(f"{net.records}/member/{DEVICE}")["authorized"] is True
    stranger = f"1122334455:0:{'cd' * 64}"
    for identity, expected in ((FOREIGN, True), (stranger, False)):
        path = box.home / f"controller.d/network/{net.network}/member/{identity[:10]}.json"
        record = json.loads(path.read_text()) if path.exists() else {"id": identity[:10], "nwid": net.network}
        path.write_text(json.dumps({**record, "identity": identity}))
        box.restart()
        assert box.get(f"{net.records}/member/{identity[:10]}").get("authorized", False) is expected
    assert box.run("reconcile") == ""
    assert box.get(f"{net.records}/member/{DEVICE}")["identity"] == FOREIGN
    net.declare({})
    assert f"{DEVICE} is authorized, but not declared" in box.run("reconcile")
    assert [*box.get(f"{net.records}/member")] == ["1122334455"]


def test_addresses_from_a_range_stay_until_there_is_no_range(net: Net) -> None:
    net.declare({"routes": ROUTES, "dynamicIp": IN_POOL}, jon={}, sara={"addresses": ["10.1.0.5"]})
    for node in net.nodes.values():
        node.start()
    box, jon = net.nodes["box"], net.nodes["jon"]
    four = next(each for each in jon.wait(net.network, is_ok)["addresses"] if each.startswith("10."))
    assert 100 <= int(four.removesuffix("/24").rpartition(".")[2]) <= 199
    assert net.record("jon")["ipAssignments"] == [four.removesuffix("/24")]
    assert box.run("reconcile") == ""
    box.restart()
    assert box.run("reconcile") == ""
    assert net.record("jon")["ipAssignments"] == [four.removesuffix("/24")]
    taken = four.removesuffix("/24")  # it is declared for another one now
    net.declare({"routes": ROUTES, "dynamicIp": IN_POOL}, jon={}, sara={"addresses": [taken]})
    box.run("reconcile")
    assert net.record("sara")["ipAssignments"] == [taken]
    shown = jon.wait(net.network, lambda shown: taken not in f"{shown['addresses']}")
    assert sum(each.startswith("10.") for each in shown["addresses"]) == 1
    net.declare({"routes": ROUTES}, jon={}, sara={"addresses": ["10.1.0.5"]})
    box.run("reconcile")
    assert net.record("jon")["ipAssignments"] == []


def test_everybody_is_a_member_of_a_public_network(net: Net) -> None:
    """Also who has left; but an address that is another member's now is lost."""
    public = {"public": True, "routes": ROUTES}
    net.declare(public, jon={"addresses": ["10.1.0.5"]}, sara={})
    for node in net.nodes.values():
        node.start()
    for name in ("jon", "sara"):
        net.nodes[name].wait(net.network, is_ok)
    net.declare(public, sara={"addresses": ["10.1.0.5"]})
    box = net.nodes["box"]
    assert f"{net.nodes['jon'].address} has addresses of others" in box.run("reconcile")
    assert net.record("jon")["authorized"] is True
    assert net.record("jon")["ipAssignments"] == []
    assert box.run("status") == ""


def test_a_daemon_without_controller_changes_nothing(net: Net) -> None:
    net.declare(jon={})
    box, jon = net.nodes["box"], net.nodes["jon"]
    for node in (box, jon):
        node.environment = {"STAND_IN_CONTROLLER": "0"}
        node.start()
    said = box.run("reconcile", status=1)
    assert said.startswith("error: this zerotier-one has no network controller, so nothing was changed")
    assert "no network controller" in box.run("status", status=1)
    assert jon.run("reconcile") == ""
    assert jon.run("status") == ""


def test_another_key_for_an_address_of_ours(net: Net) -> None:
    """The controller learns a key at the first contact; a restart puts the declared one in its place."""
    net.declare(jon={})
    box, jon = net.nodes["box"], net.nodes["jon"]
    box.start()
    path = box.home / f"controller.d/network/{net.network}/member/{jon.address}.json"
    box.stop()
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "identity": f"{jon.address}:0:{'ab' * 64}", "ipAssignments": ["10.9.9.9"]}))
    box.start(place=False)
    said = box.run("reconcile", status=1)
    assert "jon is known with another key; a restart of zerotier-one mends that" in said
    assert net.record("jon")["authorized"] is False
    assert "jon is known with another key" in box.run("reconcile", status=1)
    box.restart()
    assert box.run("reconcile") == ""
    assert net.record("jon")["identity"] == net.result.values["jon/zerotier.identity/public"].decode()
    assert net.record("jon")["ipAssignments"] == []
    jon.start()
    jon.wait(net.network, is_ok)


def test_what_the_daemon_keeps_of_a_network_is_not_reset(net: Net) -> None:
    net.declare(jon={"ipRanges": ["10.0.0.0/8"]})
    for node in net.nodes.values():
        node.start()
    box, jon = net.nodes["box"], net.nodes["jon"]
    jon.wait(net.network, is_ok)
    box.stop()
    jon.restart()
    assert is_ok(jon.wait(net.network, lambda _: True))  # without the controller
    jon.ask("POST", f"/network/{net.network}", {"allowGlobal": True})  # which loses the list of networks
    assert "may change other things on this machine" in jon.run("status", status=1)
    jon.restart()
    assert jon.run("status") == ""


def test_a_machine_that_joins_another_network_leaves_the_former(net: Net) -> None:
    net.declare(jon={})
    jon, former = net.nodes["jon"], net.network
    jon.start()
    declared = jon.root / NODE / "node.json"
    declared.write_text(declared.read_text().replace(former, "1122334455000001"))
    foreign = jon.home / "networks.d/8056c2e21c000001.conf"  # joined by hand
    foreign.write_bytes(b"")
    jon.restart()
    assert sorted(each["id"] for each in jon.get("/network")) == ["1122334455000001", "8056c2e21c000001"]


def joined(net: Net) -> tuple[Node, Node, Node]:
    """Return a controller, `box`, and two members of its network."""
    net.declare(jon={}, sara={})
    for node in net.nodes.values():
        node.start()
    box, jon, sara = (net.nodes[name] for name in ("box", "jon", "sara"))
    for node in (jon, sara):
        node.wait(net.network, is_ok)
    return box, jon, sara


def test_a_network_that_is_no_longer_controlled_ends(net: Net) -> None:
    box, jon, sara = joined(net)
    by_hand = f"{box.address}00abcd"
    box.ask("POST", f"/controller/network/{by_hand}", {})
    (box.root / NODE / "controller.json").write_text("{}")
    assert f"the network {net.network} is not declared" in box.run("reconcile")
    assert box.get("/controller/network") == [by_hand]
    sara.wait(net.network, lambda shown: shown["cut"] == sorted([jon.address, sara.address]))
    jon.wait(net.network, lambda shown: shown["status"] == "NOT_FOUND")
    assert box.run("reconcile") == ""


def test_the_daemon_does_not_start_with_another_identity(net: Net) -> None:
    net.declare(jon={})
    jon = net.nodes["jon"]
    jon.start()
    jon.stop()
    (jon.home / "identity.secret").write_text("")  # the daemon would make one of its own
    jon.start()
    assert jon.get("/status")["address"] == jon.address
    jon.stop()
    (jon.home / "identity.secret").write_text("")
    jon.start(place=False)
    assert f"not {jon.address}; restart zerotier-one.service" in jon.run("reconcile", status=1)
    jon.stop()
    shutil.rmtree(jon.root / "run")
    assert "the identity of this machine is missing" in jon.run("place", status=1)


def test_another_identity_of_ours_takes_the_place_of_the_former(net: Net) -> None:
    """The controller revokes the former one. What the daemon keeps of the network was not sent to the new one."""
    net.declare(jon={}, sara={})
    for node in net.nodes.values():
        node.start()
    box, jon, sara = (net.nodes[name] for name in ("box", "jon", "sara"))
    former = jon.address
    for node in (jon, sara):
        node.wait(net.network, is_ok)
    public = f"{DEVICE}:0:{'ab' * 64}"
    for node, name in ((jon, "node"), (box, "controller")):
        declared = node.root / NODE / f"{name}.json"
        text = declared.read_text().replace(net.result.values["jon/zerotier.identity/public"].decode(), public)
        declared.write_text(text.replace(f'"{former}"', f'"{DEVICE}"'))
    secret = jon.root / "run/rolecall/secrets/zerotier.identity/secret"
    secret.unlink()
    secret.write_text(f"{public}:{'cd' * 64}")
    box.run("reconcile")
    sara.wait(net.network, lambda shown: shown["cut"] == [former])
    jon.stop()
    jon.run("place")
    assert (jon.home / f"networks.d/{net.network}.conf").read_bytes() == b""
    jon.start(place=False)
    jon.wait(net.network, is_ok)
    assert jon.get("/status")["address"] == DEVICE
    assert box.run("reconcile") == ""


def test_an_identity_that_is_in_use_is_not_replaced(net: Net) -> None:
    net.declare(jon={})
    jon = net.nodes["jon"]
    jon.start(place=False)
    own = jon.get("/status")["address"]
    jon.ask("POST", "/network/8056c2e21c000001", {})
    jon.stop()
    for command in ("admit", "place"):
        said = jon.run(command, status=1)
        assert f"with the address {own} and the networks 8056c2e21c000001" in said
    assert jon.home.joinpath("identity.secret").read_text().startswith(own)


@pytest.mark.parametrize("fresh", [True, False])
def test_leaving_puts_back_what_was_there(net: Net, fresh: bool) -> None:  # noqa: FBT001 - a case
    """An identity that was never used is put back; without one, the folder is emptied but for the package's links."""
    net.declare(jon={}, box={})
    box = net.nodes["box"]
    box.home.mkdir(parents=True)
    (box.home / "zerotier-cli").symlink_to("/usr/sbin/zerotier-one")
    before = {}
    if not fresh:
        box.start(place=False)
        box.stop()
        (box.home / "local.conf").write_text('{"settings": {}} ')
        before = {name: (box.home / name).read_bytes() for name in ("identity.secret", "identity.public", "local.conf")}
    box.start()
    assert box.get("/status")["address"] == box.address
    box.wait(net.network, is_ok)
    box.stop()
    box.run("leave")
    assert not (box.root / "var/lib/rolecall-zerotier").exists()
    if fresh:
        assert [each.name for each in box.home.iterdir()] == ["zerotier-cli"]
    else:
        assert {name: (box.home / name).read_bytes() for name in before} == before
        left = [str(each.relative_to(box.home)) for each in box.home.rglob("*") if net.network in each.name]
        assert left == []
    box.run("leave")  # as after one that was interrupted


@pytest.fixture
def running(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine on which systemd says that the daemon runs."""
    fake = tmp_path / "bin/systemctl"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\n")
    fake.chmod(0o755)
    return {"PATH": f"{fake.parent}:/usr/bin:/bin"}


def test_leaving_with_a_daemon_that_goes_on(net: Net, running: dict[str, str]) -> None:
    """Its controller revokes the members, and it leaves the network at once; then it is restarted."""
    net.declare(box={}, jon={})
    for node in net.nodes.values():
        node.start()
    box, jon = net.nodes["box"], net.nodes["jon"]
    for node in (box, jon):
        node.wait(net.network, is_ok)
    box.environment = running
    box.run("leave")
    assert box.get("/network") == box.get("/controller/network") == []
    jon.wait(net.network, lambda shown: shown["cut"] == sorted([box.address, jon.address]))
    assert not list(box.home.glob("networks.d/*"))
    assert not (box.home / "identity.secret").exists()


def test_moons_come_and_go(net: Net) -> None:
    root = {"stableEndpoints": ["192.0.2.1/9993"]}
    net.declare(roots={"box": root}, jon={})
    for node in net.nodes.values():
        node.start()
        assert node.run("status") == ""
        [moon] = node.get("/moon")
        assert (node.home / f"moons.d/{moon['id']}.moon").exists()
    jon = net.nodes["jon"]
    net.declare(jon={})
    assert jon.run("status") == ""
    jon.restart()
    assert jon.get("/moon") == []
    assert not list(jon.home.glob("moons.d/*"))
    net.declare(roots={"box": root}, jon={})
    assert "the moon 00000055555555" in jon.run("status", status=1)
    jon.restart()
    assert jon.run("status") == ""


def test_links_in_the_home_folder_are_not_followed(net: Net, tmp_path: Path) -> None:
    """The daemon's user may write there, and the program is root."""
    net.declare(jon={})
    jon = net.nodes["jon"]
    jon.run("place")
    outside = tmp_path / "outside"
    outside.mkdir()
    victim = tmp_path / "victim"
    victim.write_text("kept")
    shutil.rmtree(jon.home / "networks.d")
    (jon.home / "networks.d").symlink_to(outside)
    assert jon.run("place", status=1).startswith("error: ")
    assert not list(outside.iterdir())
    (jon.home / "networks.d").unlink()
    (jon.home / "identity.public").unlink()
    (jon.home / "identity.public").symlink_to(victim)
    assert jon.run("place", status=1).startswith("error: ")
    assert victim.read_text() == "kept"


def test_no_token_is_printed(net: Net) -> None:
    net.declare(jon={})
    box = net.nodes["box"]
    box.start()
    token = (box.home / "authtoken.secret").read_text()
    (box.home / "authtoken.secret").write_text("wrong-token")
    said = box.run("reconcile", status=1)
    assert said == "error: the daemon refuses GET /status: HTTP status 401\n"
    assert token not in said


def test_a_local_conf_of_a_person_comes_back_when_ours_goes(net: Net) -> None:
    """A member needs none of ours; a person writes one; then the machine is a controller for a while."""
    net.declare(jon={}, box={})
    jon = net.nodes["jon"]
    jon.run("place")
    own, declared = jon.home / "local.conf", jon.root / NODE / "node.json"
    for text in ('{"settings": {"primaryPort": 9994}}', '{"settings": {"primaryPort": 9995}}'):
        own.write_text(text)
        member = declared.read_text()
        declared.write_text(json.dumps(json.loads(member) | {"local": {"settings": {}}}))
        jon.run("place")
        assert json.loads(own.read_text()) == {"settings": {}}
        declared.write_text(member)
        jon.run("place")
        assert own.read_text() == text


def test_who_leaves_is_revoked_before_the_controller_restarts(net: Net, running: dict[str, str]) -> None:
    """After its restart, it has heard nobody whom it could tell."""
    box, jon, sara = joined(net)
    net.declare(sara={})
    box.environment = running
    jon.stop()  # it would ask again, as a stranger
    box.run("admit")
    assert jon.address not in box.get(f"{net.records}/member")
    box.restart()
    box.run("reconcile")
    sara.wait(net.network, lambda shown: shown["cut"] == [jon.address])
    assert box.run("status") == ""


def test_odd_values_in_a_record_count_as_missing(net: Net) -> None:
    net.declare({"routes": ROUTES}, jon={"addresses": ["10.1.0.5"]})
    box, jon = net.nodes["box"], net.nodes["jon"]
    box.run("place")
    record = box.home / f"controller.d/network/{net.network}/member/{jon.address}.json"
    values: list[object] = ["10.1.0.7", ["10.1.0.300"], [None], {}]
    for odd in values:
        record.write_text(json.dumps(json.loads(record.read_text()) | {"ipAssignments": odd}))
        box.run("place")
        assert json.loads(record.read_text())["ipAssignments"] == ["10.1.0.5"]


def test_a_damaged_state_is_named(net: Net) -> None:
    net.declare(jon={})
    jon = net.nodes["jon"]
    jon.run("place")
    (jon.root / "var/lib/rolecall-zerotier/state.json").write_text("{")
    assert "rolecall-zerotier/state.json is damaged: " in jon.run("place", status=1)
