"""Worlds of ZeroTier: signed lists of root nodes, as `moons.d/ID.moon` and `planet` have them."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from rolecall_services.zerotier import keys

if TYPE_CHECKING:
    from collections.abc import Collection

    from rolecall_services.zerotier.identities import Identity

MOST_ROOTS = 4
MOST_ENDPOINTS = 32
_PLANET, _MOON = 1, 127
_HEAD = 17 + keys.KEY_SIZE + keys.SIGNATURE_SIZE
"""Bytes before the roots: type, id, timestamp, key and signature."""
_BEFORE, _AFTER = b"\x7f" * 8, b"\xf7" * 8
"""What encloses the message that is signed."""


class Endpoint(NamedTuple):
    """Where nodes reach a root: an address of its underlying network, and a UDP port."""

    address: IPv4Address | IPv6Address
    port: int

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Return what a text as ``203.0.113.5/9993`` or ``2001:db8::1/9993`` describes.

        Raises:
            ValueError: When it is not the address of a host, or not a port.
        """
        host, _, port = text.rpartition("/")
        address = ip_address(host)
        if address.is_unspecified or address.is_multicast or "%" in host:
            raise ValueError(f"{host} is not the address of a host")
        if not (port.isascii() and port.isdecimal() and 0 < int(port) < 2**16):
            raise ValueError(f"{port!r} is not a port")
        return cls(address, int(port))

    def __str__(self) -> str:
        return f"{self.address}/{self.port}"

    def encoded(self) -> bytes:
        """Return its binary form, whose order is also that of endpoints in a file: IPv4 before IPv6, then by number."""
        return struct.pack(">B", self.address.version) + self.address.packed + struct.pack(">H", self.port)


class Root(NamedTuple):
    """A root node, and all endpoints at which nodes reach it: it is not accepted at any other."""

    identity: Identity
    endpoints: Collection[Endpoint]

    def encoded(self) -> bytes:
        """Return its binary form, without a secret key.

        Raises:
            ValueError: When it has more endpoints than a world can have.
        """
        if len(self.endpoints) > MOST_ENDPOINTS:
            raise ValueError(f"{len(self.endpoints)} endpoints, but a root can have at most {MOST_ENDPOINTS}")
        public = self.identity.address + b"\0" + self.identity.public_key + b"\0"
        endpoints = sorted(endpoint.encoded() for endpoint in self.endpoints)
        return public + bytes([len(endpoints)]) + b"".join(endpoints)


def moon(number: int, timestamp: int, roots: Collection[Root], signing_key: bytes) -> bytes:
    """Return the content of a moon's file, which every node needs, its roots included.

    Args:
        number: Its id, from 1 to 2**64 - 1, and the name of its file as 16 hexadecimal digits. By custom, it is the
            address of the first root.
        timestamp: In milliseconds since 1970. A node replaces what it has by what is newer, and has the same key.
        roots: One to four of them.
        signing_key: The secret key that signs this version and must sign the next one. As of the secret key of an
            identity, 64 bytes; it is not that of any node.

    Raises:
        ValueError: When there are too many roots or endpoints, a root is listed twice, or the id is out of range.
    """
    return _world(_MOON, number, timestamp, roots, signing_key)


def planet(number: int, timestamp: int, roots: Collection[Root], signing_key: bytes) -> bytes:
    """Return the content of a file `planet`, which replaces the public roots; as `moon`."""
    return _world(_PLANET, number, timestamp, roots, signing_key)


def number_and_timestamp(content: bytes) -> tuple[int, int]:
    """Return the id and the timestamp of a world.

    Raises:
        ValueError: When it is not one.
    """
    if len(content) < _HEAD:
        raise ValueError("its file is too short for a moon")
    _, number, timestamp = struct.unpack(">BQQ", content[:17])
    return number, timestamp


def signer(content: bytes) -> bytes:
    """Return the public key that has signed a moon and must sign the next version.

    Raises:
        ValueError: When it is not a moon, or its signature is not valid.
    """
    number_and_timestamp(content)
    if content[0] != _MOON:
        raise ValueError("its file is not a moon")
    key = content[17 : 17 + keys.KEY_SIZE]
    message = _BEFORE + content[: 17 + keys.KEY_SIZE] + content[_HEAD:] + _AFTER
    if not keys.is_signed(key, message, content[17 + keys.KEY_SIZE : _HEAD]):
        raise ValueError("the signature of its file is not valid")
    return key


def _world(kind: int, number: int, timestamp: int, roots: Collection[Root], signing_key: bytes) -> bytes:
    if not 0 < number < 2**64:
        raise ValueError(f"{number:,} is not the id of a moon")
    if not 0 < len(roots) <= MOST_ROOTS:
        raise ValueError(f"{len(roots)} roots, but a moon has 1 to {MOST_ROOTS}")
    addresses = sorted(root.identity.address for root in roots)
    if twice := [one for one, other in pairwise(addresses) if one == other]:
        raise ValueError(f"the root {twice[0].hex()} is listed twice")
    head = struct.pack(">BQQ", kind, number, timestamp) + keys.public_key(signing_key)
    body = bytes([len(roots)]) + b"".join(sorted(root.encoded() for root in roots))  # by their addresses
    if kind == _MOON:
        body += bytes(2)  # the length of what may follow: nothing
    return head + keys.sign(signing_key, _BEFORE + head + body + _AFTER) + body
