"""What each role declares for its machines."""

from __future__ import annotations

import hashlib
import json
import subprocess
from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rolecall.pipeline import Workspace, rotate
from rolecall.project import Project
from rolecall.service import File, Network, OpenPort, Unit
from rolecall.testing import Faults
from rolecall.vars import create_identity, promote
from rolecall_services import zerotier
from rolecall_services.zerotier.identities import Identity
from rolecall_services.zerotier.networks import default_ipv4
from rolecall_services.zerotier.worlds import number_and_timestamp, signer

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolecall.testing import Evaluated

    Evaluating = Callable[..., Evaluated]

NODE = "/etc/rolecall/zerotier.node"


def read(result: Evaluated, machine: str, name: str) -> Any:  # noqa: ANN401 - JSON
    return json.loads(result.text(machine, f"file:{NODE}/{name}.json"))


ENDPOINTS = ["192.0.2.1/9993", "2001:db8::1/9993"]


def roles(
    settings: dict[str, Any] | None = None, peers: dict[str, dict[str, Any]] | None = None, **of_peers: object
) -> dict[str, Any]:
    """Return the roles of an instance whose controller is `box`, with the settings of each peer."""
    members = {name: {"settings": each} for name, each in (peers or {"jon": {}, "sara": {}}).items()}
    return {
        "controller": {"machines": {"box": {"settings": settings or {}}}},
        "peer": {"machines": members, "settings": of_peers},
    }


def test_the_example_of_the_documents(evaluating: Evaluating) -> None:
    given = roles({"dynamicIp": {"enable": True}}, {"jon": {}}, ipRanges=["all"])
    result = evaluating({"my-vpn": given})
    network = result.values["box/my-vpn.network/id"].decode()
    address = result.values["jon/zerotier.identity/public"].decode()[:10]
    assert network.startswith(read(result, "box", "node")["address"])
    wanted = read(result, "box", "controller")[network]
    ipv4 = default_ipv4(network)
    assert wanted["network"]["routes"] == [{"target": str(ipv4), "via": None}]
    assert wanted["network"]["ipAssignmentPools"] == [{"ipRangeStart": str(ipv4[1]), "ipRangeEnd": str(ipv4[255])}]
    assert wanted["network"]["v4AssignMode"] == {"zt": True}
    assert wanted["network"]["v6AssignMode"] == {"rfc4193": True, "6plane": False, "zt": False}
    assert wanted["network"]["private"] is True
    assert wanted["network"]["rules"] == [{"not": False, "or": False, "type": "ACTION_ACCEPT"}]
    public = result.values["jon/zerotier.identity/public"].decode()
    assert wanted["members"] == {address: {"name": "jon", "identity": public, "addresses": []}}
    assert read(result, "box", "node")["networks"] == {}
    assert read(result, "jon", "controller") == {}
    permissions = "allowManaged=1\nallowGlobal=1\nallowDefault=1\nallowDNS=0\n"
    assert read(result, "jon", "node")["networks"] == {network: permissions}
    [joined] = read(result, "jon", "expected").values()
    assert joined["assigned"]
    assert [each[-3:] for each in joined["addresses"]] == ["/88"]


def test_each_peer_says_how_it_is_reached_in_the_network(evaluating: Evaluating) -> None:
    result = evaluating({"vpn": roles()})
    published = {each.machine: each.value.address for each in result.exports(Network)}
    expected = {name: read(result, name, "expected") for name in ("jon", "sara")}
    assert published == {
        name: each["addresses"][0].partition("/")[0]
        for name, [each] in ((name, list(networks.values())) for name, networks in expected.items())
    }


def test_what_others_must_reach_names_its_port(evaluating: Evaluating) -> None:
    given = roles()
    given["moon"] = {"machines": {"jon": {"settings": {"stableEndpoints": ENDPOINTS}}}}
    result = evaluating({"vpn": given})
    assert [(each.machine, each.value.protocol, each.value.port) for each in result.exports(OpenPort)] == [
        ("box", "udp", 9993),
        ("jon", "udp", 9993),
    ]


def test_only_a_controller_has_a_single_port(evaluating: Evaluating) -> None:
    result = evaluating({"vpn": roles()})
    single = {"settings": {"allowSecondaryPort": False, "portMappingEnabled": False}}
    assert read(result, "box", "node")["local"] == single
    assert read(result, "jon", "node")["local"] is None


def test_interfaces_that_the_daemon_avoids(evaluating: Evaluating) -> None:
    result = evaluating(
        {"vpn": roles({"avoidInterfaces": ["docker"]}, {"box": {"avoidInterfaces": ["wg"]}, "jon": {}})}
    )
    local = read(result, "box", "node")["local"]["settings"]
    assert local["interfacePrefixBlacklist"] == ["docker", "wg"]
    assert local["portMappingEnabled"] is False
    assert read(result, "jon", "node")["local"] is None
    result = evaluating({"vpn": roles(avoidInterfaces=["wg"])})
    assert read(result, "jon", "node")["local"] == {"settings": {"interfacePrefixBlacklist": ["wg"]}}


def test_without_dynamic_addresses_only_declared_members_have_ipv4(evaluating: Evaluating) -> None:
    settings = {"routes": [{"target": "10.1.0.0/16"}], "allowedIds": ["1122334455"]}
    result = evaluating({"vpn": roles(settings, {"jon": {"addresses": ["10.1.0.5"]}, "sara": {}})})
    [wanted] = read(result, "box", "controller").values()
    assert wanted["network"]["v4AssignMode"] == {"zt": False}
    assert wanted["network"]["ipAssignmentPools"] == []
    addresses = {member["name"]: member["addresses"] for member in wanted["members"].values()}
    assert addresses == {"jon": ["10.1.0.5"], "sara": [], "1122334455": []}
    assert wanted["members"]["1122334455"]["identity"] == ""
    [jon] = read(result, "jon", "expected").values()
    assert jon["addresses"][1:] == ["10.1.0.5/16"]
    assert not jon["assigned"]


def test_addresses_of_6plane(evaluating: Evaluating) -> None:
    result = evaluating({"vpn": roles({"sixplane": True}, ipRanges=["10.0.0.0/8"])})
    [wanted] = read(result, "box", "controller").values()
    assert wanted["network"]["v6AssignMode"]["6plane"] is True
    [jon] = read(result, "jon", "expected").values()
    assert [each.rpartition("/")[2] for each in jon["addresses"]] == ["88", "40"]
    [permissions] = read(result, "jon", "node")["networks"].values()
    managed = permissions.splitlines()[0].partition("=")[2].split(",")
    assert [each.rpartition("/")[2] for each in managed] == ["8", "88", "40"]


def test_a_machine_has_one_identity_in_all_its_roles(evaluating: Evaluating) -> None:
    """It joins two networks, and controls one of them."""
    one = roles(peers={"box": {}, "jon": {}})
    other: dict[str, Any] = {"controller": {"machines": {"jon": {}}}, "peer": {"machines": {"box": {}}}}
    result = evaluating({"one": one, "other": other})
    identities = [key for key in result.values if "identity" in key]
    assert sorted(identities) == [
        *("box/zerotier.identity/public", "box/zerotier.identity/secret"),
        *("jon/zerotier.identity/public", "jon/zerotier.identity/secret"),
    ]
    ids = {name: result.values[name].decode() for name in result.values if name.endswith("/id")}
    assert [*read(result, "box", "controller")] == [ids["box/one.network/id"]]
    assert sorted(read(result, "box", "node")["networks"]) == sorted(ids.values())
    assert [*read(result, "jon", "node")["networks"]] == [ids["box/one.network/id"]]


def test_only_its_own_machine_has_a_secret(evaluating: Evaluating) -> None:
    result = evaluating({"vpn": roles()})
    for machine, other in (("box", "jon"), ("jon", "sara"), ("sara", "box")):
        texts = "".join(result.text(machine, key) for key in result.resources(machine) if key.startswith("file:"))
        assert result.values[f"{machine}/zerotier.identity/secret"].decode() in texts
        assert result.values[f"{other}/zerotier.identity/secret"].decode()[-128:] not in texts
    path = "file:/run/rolecall/secrets/zerotier.identity/secret"
    file: Any = result.resources("jon")[path]
    assert (file.mode, file.needed_for) == (0o400, "packages")


def test_all_that_the_daemon_reads_is_there_before_the_package_starts_it(evaluating: Evaluating) -> None:
    result = evaluating({"vpn": roles()})
    files = [resource for key, resource in result.resources("box").items() if key.startswith("file:")]
    assert len(files) > 10
    assert {file.needed_for for file in files} == {"packages"}  # type: ignore[attr-defined]  # of files
    [drop_in] = (key for key in result.resources("box") if key.endswith(".d/rolecall.conf"))
    assert f"ExecStartPre={NODE}/zerotier place" in result.text("box", drop_in)


def test_all_nodes_have_the_moon(evaluating: Evaluating) -> None:
    """Also its roots, of which one has no other role."""
    moons = {"box": {"settings": {"stableEndpoints": ENDPOINTS}}, "far": {"settings": {"stableEndpoints": ENDPOINTS}}}
    result = evaluating({"vpn": {**roles(), "moon": {"machines": moons}}})
    content = b64decode(result.values["shared/vpn.moon/file"])
    number, _ = number_and_timestamp(content)
    path = f"file:{NODE}/{number:016x}.moon"
    assert f"{number:016x}".startswith("000000")  # the API takes no longer ones
    for machine in ("box", "far", "jon", "sara"):
        file: Any = result.resources(machine)[path]
        assert file.parts[0].data == content
        assert path in result.resources(machine, Unit)["unit:zerotier-one.service"].restart_on
    assert read(result, "far", "node")["local"] == read(result, "box", "node")["local"] != {}
    assert read(result, "far", "node")["networks"] == read(result, "far", "controller") == {}
    assert content[177] == len(moons)
    for name in moons:
        assert Identity.parse(result.values[f"{name}/zerotier.identity/public"].decode()).public_key in content
    assert result.values["shared/vpn.moon/key"].decode() not in "".join(
        result.text("box", key) for key in result.resources("box", File) if not key.endswith(".moon")
    )
    assert [*result.checks("far")] == ["vpn.moon: the moon is loaded"]


def test_without_roots_there_is_no_moon(evaluating: Evaluating) -> None:
    result = evaluating({"vpn": roles()})
    assert not [key for key in [*result.values, *result.resources("jon")] if "moon" in key]


@pytest.mark.parametrize(
    ("machines", "message"),
    [
        ({"box": {}}, "stableEndpoints"),
        ({"box": {"settings": {"stableEndpoints": ["box.example/9993"]}}}, "stableEndpoints"),
        ({name: {"settings": {"stableEndpoints": ENDPOINTS}} for name in "abcde"}, "at most 4"),
    ],
)
def test_moons_that_cannot_be(evaluating: Evaluating, machines: dict[str, Any], message: str) -> None:
    with pytest.raises(Faults, match=message):
        evaluating({"vpn": {**roles(), "moon": {"machines": machines}}})


class Moons:
    """A project with a moon."""

    def __init__(self, folder: Path) -> None:
        self.project = Project(folder)
        create_identity(self.project, "me")

    def make(self, **roots: list[str]) -> tuple[int, int, bytes]:
        """Declare roots with their endpoints and store what that makes; return id, time and content of the moon."""
        given = {name: {"settings": {"stableEndpoints": endpoints}} for name, endpoints in roots.items()}
        vpn = {"module": {"name": "zerotier"}, "roles": {**roles(), "moon": {"machines": given}}}
        machines: dict[str, Any] = {name: {} for name in ("box", "jon", "sara", *roots)}
        text = json.dumps({"machines": machines, "instances": {"vpn": vpn}})
        (self.project.root / "inventory.json").write_text(text)
        promote(self.project, Workspace(self.project).evaluation().makes)
        return self.stored()

    def stored(self) -> tuple[int, int, bytes]:
        content = b64decode((self.project.root / "vars/shared/vpn.moon/file/value").read_text())
        return *number_and_timestamp(content), content


@pytest.mark.usefixtures("identities")
def test_a_moon_keeps_its_id_and_key_when_its_roots_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLECALL_IDENTITY", str(tmp_path / "identity"))
    (tmp_path / "project").mkdir()
    moons = Moons(tmp_path / "project")
    one, time, content = moons.make(box=ENDPOINTS)
    assert moons.make(box=ENDPOINTS) == (one, time, content)
    changes: list[dict[str, list[str]]] = [
        {"box": ENDPOINTS[:1]},
        {"box": ENDPOINTS, "far": ENDPOINTS},
        {"far": ENDPOINTS},
    ]
    for roots in changes:
        same, later, changed = moons.make(**roots)
        assert same == one
        assert later > time
        assert signer(changed) == signer(content)
        assert changed[177] == len(roots)
        time = later
    rotate(Workspace(moons.project), ["shared/vpn.moon"], force=True)
    promote(moons.project, Workspace(moons.project).evaluation().makes)
    other, _, replaced = moons.stored()
    assert other != one
    assert signer(replaced) != signer(content)


def test_a_machine_that_has_the_package(evaluating: Evaluating) -> None:
    """One of its roles says so."""
    result = evaluating({"vpn": roles(peers={"box": {"package": "installed"}, "jon": {}})})
    assert "package:zerotier-one" not in result.resources("box")
    assert "file:/etc/apt/sources.list.d/zerotier.sources" not in result.resources("box")
    assert "package:zerotier-one" in result.resources("jon")
    assert "debian/bookworm\n" in result.text("jon", "file:/etc/apt/sources.list.d/zerotier.sources")
    result = evaluating({"vpn": roles({"release": "trixie"}, {"box": {}})})
    assert "debian/trixie\n" in result.text("box", "file:/etc/apt/sources.list.d/zerotier.sources")
    with pytest.raises(Faults, match="several values of `release` for one machine: bullseye, trixie"):
        evaluating({"vpn": roles({"release": "trixie"}, {"box": {"release": "bullseye"}})})


def test_the_key_of_the_vendor() -> None:
    """Its fingerprint is the digest of the public-key packet, which comes first. Source: RFC 4880, 12.2."""
    text = (Path(zerotier.__file__).parent / "vendor.asc").read_text()
    body = text.partition("\n\n")[2].rpartition("\n=")[0]
    data = b64decode(body)
    assert data[0] == 0x99  # an old-format packet with a public key, and two bytes of length
    length = int.from_bytes(data[1:3], "big")
    fingerprint = hashlib.sha1(data[: 3 + length], usedforsecurity=False).hexdigest()
    assert fingerprint == "74a5e9c458e1a431f1da57a71657198823e52a61"


@pytest.mark.parametrize(
    ("settings", "peers", "message"),
    [
        ({}, {"jon": {"addresses": ["10.1.0.5"]}}, "jon: no route without a gateway contains 10.1.0.5"),
        (
            {"routes": [{"target": "10.1.0.0/16", "via": "10.2.0.1"}]},
            {"jon": {"addresses": ["10.1.0.5"]}},
            "jon: no route without a gateway contains 10.1.0.5",
        ),
        (
            {"routes": [{"target": "10.1.0.0/16"}]},
            {"jon": {"addresses": ["10.1.0.5"]}, "sara": {"addresses": ["10.1.0.5"]}},
            "jon and sara both have the address 10.1.0.5",
        ),
        (
            {"routes": [{"target": "10.1.0.0/16"}]},
            {"jon": {"addresses": ["10.1.255.255"]}},
            "jon: 10.1.255.255 is not the address of a host in 10.1.0.0/16",
        ),
        (
            {"routes": [{"target": "8.8.8.0/24"}]},
            {"jon": {"addresses": ["8.8.8.5"]}},
            "jon: its `ipRanges` do not accept its own address 8.8.8.5/24",
        ),
        (
            {"routes": [{"target": "10.1.0.0/16"}]},
            {"jon": {"addresses": ["10.1.0.5"], "ipRanges": ["10.1.0.0/24"]}},  # the prefix of the route is shorter
            "jon: its `ipRanges` do not accept its own address 10.1.0.5/16",
        ),
        (
            {
                "routes": [{"target": "10.1.0.0/24"}],
                "dynamicIp": {"enable": True, "ranges": [{"start": "10.1.0.7", "end": "10.1.0.8"}]},
                "allowedIds": ["1122334455"],
            },
            {"jon": {}, "sara": {}},
            "the ranges of `dynamicIp` have 2 free addresses, but 3 members need one",
        ),
        (
            {
                "routes": [{"target": "10.1.0.0/24"}],
                "dynamicIp": {"ranges": [{"start": "10.1.0.0", "end": "10.1.0.8"}]},
            },
            {"jon": {}},
            "the range starts at 10.1.0.0, the address of 10.1.0.0/24 itself",
        ),
    ],
)
def test_what_the_daemon_would_drop_is_refused(
    evaluating: Evaluating, settings: dict[str, Any], peers: dict[str, Any], message: str
) -> None:
    with pytest.raises(Faults, match=message.replace(".", r"\.")):
        evaluating({"vpn": roles(settings, peers)})


def test_a_range_of_several_that_is_wide_enough(evaluating: Evaluating) -> None:
    """One address of the range is declared, so two of the three members share the others."""
    settings = {
        "routes": [{"target": "10.1.0.0/24"}],
        "dynamicIp": {"enable": True, "ranges": [{"start": "10.1.0.7", "end": "10.1.0.9"}]},
        "allowedIds": ["1122334455"],
    }
    evaluating({"vpn": roles(settings, {"jon": {"addresses": ["10.1.0.8"]}, "sara": {}})})


def test_an_instance_has_one_controller(evaluating: Evaluating) -> None:
    with pytest.raises(Faults, match="controller"):
        evaluating({"vpn": {"peer": {"machines": {"jon": {}}}}})
    with pytest.raises(Faults, match="controller"):
        evaluating({"vpn": {"controller": {"machines": {"jon": {}, "sara": {}}}}})


def test_the_program_needs_nothing_else(evaluating: Evaluating, tmp_path: Path) -> None:
    """Its files alone run on a machine, and Python leaves no byte code beside them."""
    result = evaluating({"vpn": roles()})
    for key in result.resources("jon"):
        if key.startswith(f"file:{NODE}"):
            path = tmp_path / key.partition(":/")[2]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(result.text("jon", key))
    program = tmp_path / NODE.lstrip("/") / "zerotier"
    program.chmod(0o755)
    done = subprocess.run([program, "--root", tmp_path, "place"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: the identity of this machine is missing: ")
    assert not list(tmp_path.rglob("__pycache__"))


def test_networks_of_one_machine_that_overlap_are_refused(evaluating: Evaluating) -> None:
    one = roles({"routes": [{"target": "10.1.0.0/16"}]}, {"jon": {}})
    two = roles({"routes": [{"target": "10.1.7.0/24"}]}, {"jon": {}})
    with pytest.raises(Faults, match=r"10\.1\.0\.0/16 of one and 10\.1\.7\.0/24 of two overlap on a machine"):
        evaluating({"one": one, "two": two})


def test_a_range_has_no_room_at_addresses_that_are_never_assigned(evaluating: Evaluating) -> None:
    ranges = [{"start": "10.1.0.254", "end": "10.1.1.0"}]
    settings = {"routes": [{"target": "10.1.0.0/16"}], "dynamicIp": {"enable": True, "ranges": ranges}}
    evaluating({"vpn": roles(settings, {"jon": {}, "sara": {}})})
    message = "the ranges of `dynamicIp` have 2 free addresses, but 3 members need one"
    with pytest.raises(Faults, match=message):
        evaluating({"vpn": roles(settings, {"jon": {}, "sara": {}, "tom": {}})})
