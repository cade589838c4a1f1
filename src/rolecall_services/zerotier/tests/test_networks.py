"""Addresses and names are those that the daemon lists."""

from __future__ import annotations

import json
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall_services.zerotier.networks import device_name, mac, network_id, rfc4193, sixplane

ROWS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "vectors" / "addresses.json").read_text())["rows"]

addresses = st.integers(1, 0xFEFFFFFFFF).map("{:010x}".format)
networks = st.integers(1, 2**64 - 1).map("{:016x}".format)


def test_all_rows_are_as_the_daemon_lists_them() -> None:
    assert len(ROWS) == 41
    for row in ROWS:
        network, address = row["network"], row["member"]
        computed = {"network": network, "member": address, "mac": mac(network, address), "device": device_name(network)}
        if "rfc4193" in row:
            computed["rfc4193"] = str(rfc4193(network, address))
        if "sixplane" in row:
            computed["sixplane"] = str(sixplane(network, address))
        assert computed == row


def test_a_network_id_starts_with_the_address_of_its_controller() -> None:
    assert network_id("3d9fe93b2d", 10) == "3d9fe93b2d00000a"
    assert network_id("3d9fe93b2d", 2**24 - 1) == "3d9fe93b2dffffff"


@pytest.mark.parametrize("number", [0, -1, 2**24])
def test_a_number_out_of_range_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="the number of a network must be from 1 to 16,777,215"):
        network_id("3d9fe93b2d", number)


def test_a_mac_never_starts_like_those_of_virtual_machines() -> None:
    assert mac("3d9fe93b2d000052", "6e68f9a484") == "32:6e:68:d4:9f:6d"


@given(networks, addresses, addresses)
def test_nodes_of_a_network_share_its_prefix_and_differ(network: str, one: str, two: str) -> None:
    for address_of in (rfc4193, sixplane):
        assert address_of(network, one).network == address_of(network, two).network
        assert (address_of(network, one) == address_of(network, two)) == (one == two)
    assert rfc4193(network, one) in IPv6Network("fd00::/8")
    assert sixplane(network, one) in IPv6Network("fc00::/8")
    assert (mac(network, one) == mac(network, two)) == (one == two)


@given(networks, addresses)
def test_an_address_contains_what_it_is_derived_from(network: str, address: str) -> None:
    assert rfc4193(network, address).ip == IPv6Address(bytes.fromhex(f"fd{network}9993{address}"))
    assert sixplane(network, address).ip.packed[5:] == bytes.fromhex(f"{address}000000000001")
    assert int(mac(network, address)[:2], 16) & 3 == 2  # locally administered, of one interface
    assert len(device_name(network)) == 10
