"""Moons are those of ZeroTier, byte for byte."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from rolecall_services.zerotier.identities import Identity, is_reserved
from rolecall_services.zerotier.worlds import Endpoint, Root, moon, planet

if TYPE_CHECKING:
    from collections.abc import Callable

VECTORS = Path(__file__).parent / "vectors"
KEY = bytes(range(64))

identities = st.builds(
    Identity,
    st.binary(min_size=5, max_size=5).filter(lambda address: not is_reserved(address)),
    st.binary(min_size=64, max_size=64),
    st.none() | st.binary(min_size=64, max_size=64),
)
hosts = st.ip_addresses().filter(lambda address: not (address.is_unspecified or address.is_multicast))
endpoints = st.builds(Endpoint, hosts, st.integers(1, 65535))
root_lists = st.lists(
    st.builds(Root, identities, st.lists(endpoints, max_size=4)),
    min_size=1,
    max_size=4,
    unique_by=lambda root: root.identity.address,
)


@pytest.mark.parametrize(("make", "name"), [(moon, "0000003d9fe93b2d.moon"), (planet, "planet")])
def test_worlds_are_as_genmoon_writes_them(make: Callable[..., bytes], name: str) -> None:
    source = json.loads((VECTORS / f"{make.__name__}.json").read_text())
    real = (VECTORS / name).read_bytes()
    roots = [
        Root(Identity.parse(root["identity"]), [Endpoint.parse(text) for text in root["stableEndpoints"]])
        for root in source["roots"]
    ]
    timestamp = int.from_bytes(real[9:17], "big")  # when genmoon ran
    assert make(int(source["id"], 16), timestamp, roots, bytes.fromhex(source["signingKey_SECRET"])) == real


def decoded(world: bytes) -> list[tuple[bytes, bytes, list[bytes]]]:
    """Return address, public key and encoded endpoints of each root, in the order of the file."""
    roots, rest = [], world[178:]
    for _ in range(world[177]):
        address, key, count, rest = rest[:5], rest[6:70], rest[71], rest[72:]
        encoded = []
        for _ in range(count):
            size = {4: 7, 6: 19}[rest[0]]
            encoded.append(rest[:size])
            rest = rest[size:]
        roots.append((address, key, encoded))
    assert rest == bytes(2)
    return roots


@given(root_lists, st.integers(1, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_a_moon_is_sorted_and_signed_and_has_no_secret(roots: list[Root], number: int, timestamp: int) -> None:
    world = moon(number, timestamp, roots, KEY)
    public = [Root(replace(root.identity, secret_key=None), [*root.endpoints][::-1]) for root in roots]
    assert world == moon(number, timestamp, public[::-1], KEY)
    assert (world[0], int.from_bytes(world[1:9], "big"), int.from_bytes(world[9:17], "big")) == (127, number, timestamp)

    found = decoded(world)
    assert found == [
        (root.identity.address, root.identity.public_key, sorted(endpoint.encoded() for endpoint in root.endpoints))
        for root in sorted(roots, key=lambda root: root.identity.address)
    ]

    message = b"\x7f" * 8 + world[:81] + world[177:] + b"\xf7" * 8
    signature, digest = world[81:145], world[145:177]
    assert digest == hashlib.sha512(message).digest()[:32]
    Ed25519PublicKey.from_public_bytes(world[49:81]).verify(signature, digest)


@given(endpoints)
def test_an_endpoint_that_is_written_is_read(endpoint: Endpoint) -> None:
    assert Endpoint.parse(str(endpoint)) == endpoint


def test_endpoints_are_read() -> None:
    assert Endpoint.parse("203.0.113.5/9993") == (IPv4Address("203.0.113.5"), 9993)
    assert Endpoint.parse("2001:db8::1/9993") == (IPv6Address("2001:db8::1"), 9993)


@pytest.mark.parametrize("host", ["", "sara.example", "203.0.113.5/24", "0.0.0.0", "::", "ff02::1", "fe80::1%eth0"])  # noqa: S104 - refused
def test_an_endpoint_without_the_address_of_a_host_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="address"):
        Endpoint.parse(f"{host}/9993")


@pytest.mark.parametrize("port", ["", "0", "65536", "-1", "٩", "http", "1 "])
def test_an_endpoint_without_a_port_is_refused(port: str) -> None:
    with pytest.raises(ValueError, match="is not a port"):
        Endpoint.parse(f"203.0.113.5/{port}")


def test_limits() -> None:
    [identity, *others] = [Identity(bytes((0, 0, 0, 0, number)), bytes(64)) for number in range(1, 6)]
    endpoint = Endpoint.parse("203.0.113.5/9993")
    moon(1, 0, [Root(each, [endpoint] * 32) for each in others], KEY)
    with pytest.raises(ValueError, match="33 endpoints, but a root can have at most 32"):
        moon(1, 0, [Root(identity, [endpoint] * 33)], KEY)
    for roots in ([], [identity, *others]):
        with pytest.raises(ValueError, match=f"{len(roots)} roots, but a moon has 1 to 4"):
            moon(1, 0, [Root(each, []) for each in roots], KEY)
    with pytest.raises(ValueError, match="the root 0000000001 is listed twice"):
        moon(1, 0, [Root(identity, [endpoint]), Root(identity, [])], KEY)
    for number in (0, 2**64):
        with pytest.raises(ValueError, match="is not the id of a moon"):
            moon(number, 0, [Root(identity, [])], KEY)
