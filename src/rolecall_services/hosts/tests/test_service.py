"""What the service asks of machines."""

from __future__ import annotations

import pytest

from rolecall.service import Block
from rolecall.testing import Evaluated, Faults, Host, evaluate
from rolecall_agent.content import Blob
from rolecall_services import hosts, internet

JON = Host("10.0.0.1", ("ssh-ed25519 JON",))
SARA = Host("fd00::2", ("ssh-ed25519 SARA",), port=2222)
PLACE = '\n[instances.net]\nmodule.name = "internet"\nroles.default.machines.{}.settings.host = "{}"\n'


def evaluated(settings: str = "", sara: Host = SARA, more: str = "") -> Evaluated:
    inventory = f"""
[machines.jon]
[machines.sara]
[instances.known]
module.name = "hosts"
roles.default.tags = ["all"]
{settings}
{more}"""
    return evaluate(inventory, hosts.service, internet.service, hosts={"jon": JON, "sara": sara})


def blocks(result: Evaluated, machine: str = "jon") -> dict[str, str]:
    """Return the lines that are added to files, by path."""
    found = result.resources(machine, Block).values()
    return {block.path: (block.text.data or b"").decode() for block in found if isinstance(block.text, Blob)}


def test_each_machine_knows_the_names_and_host_keys_of_all() -> None:
    result = evaluated('roles.default.settings.domain = "home.example"')
    assert blocks(result) == blocks(result, "sara")
    assert blocks(result) == {
        "/etc/hosts": "10.0.0.1 jon.home.example jon\nfd00::2 sara.home.example sara\n",
        "/etc/ssh/ssh_known_hosts": "".join(
            [f"{name} ssh-ed25519 JON\n" for name in ("10.0.0.1", "jon.home.example", "jon")]
            + [f"[{name}]:2222 ssh-ed25519 SARA\n" for name in ("fd00::2", "sara.home.example", "sara")]
        ),
    }


def test_a_machine_without_pinned_keys_has_names_only() -> None:
    result = evaluated("roles.default.machines.jon.settings.hostKeys = false", Host("10.0.0.2"))
    assert blocks(result) == {"/etc/hosts": "10.0.0.1 jon\n10.0.0.2 sara\n"}


def test_machines_at_one_address_share_a_line() -> None:
    assert blocks(evaluated(sara=Host("10.0.0.1")))["/etc/hosts"] == "10.0.0.1 jon sara\n"


def test_the_addresses_can_be_those_of_a_network() -> None:
    network = 'roles.default.settings.network = "net"'
    places = PLACE.format("jon", "192.0.2.1") + 'roles.default.machines.sara.settings.host = "192.0.2.2"\n'
    assert blocks(evaluated(network, more=places))["/etc/hosts"] == "192.0.2.1 jon\n192.0.2.2 sara\n"
    with pytest.raises(Faults, match="sara is not in the network 'net'; give it a role there"):
        evaluated(network, more=PLACE.format("jon", "192.0.2.1"))


def test_a_name_is_no_address_for_etc_hosts() -> None:
    with pytest.raises(Faults, match=r"needs an IP address, but that of machine 'sara' is 'sara\.example'"):
        evaluated(sara=Host("sara.example"))
