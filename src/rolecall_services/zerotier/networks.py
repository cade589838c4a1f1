"""What follows from the id of a ZeroTier network and the address of a node, without asking either.

Network ids are 16 and addresses 10 lower-case hexadecimal digits, as everywhere in ZeroTier's files.
"""

from __future__ import annotations

import hashlib
from base64 import b32encode
from ipaddress import IPv4Network, IPv6Interface

MOST_NETWORKS = 2**24
"""Networks that a controller can have, and one more: their numbers begin with 1."""
_LOCALLY_ADMINISTERED = 0x02
_MULTICAST = 0x01
_MAC_OF_QEMU = 0x52


def network_id(controller: str, number: int) -> str:
    """Return the id of a network.

    Args:
        controller: The address of its controller, which serves no other ids than those that start with it.
        number: From 1 to 16,777,215; ZeroTier's own tools avoid 0, too.

    Raises:
        ValueError: When the number is out of range.
    """
    if not 0 < number < MOST_NETWORKS:
        raise ValueError(f"the number of a network must be from 1 to {MOST_NETWORKS - 1:,}: {number:,}")
    return f"{controller}{number:06x}"


def rfc4193(network: str, address: str) -> IPv6Interface:
    """Return the address of a node in a network with `rfc4193`."""
    return _interface(f"fd{network}9993{address}", 88)


def sixplane(network: str, address: str) -> IPv6Interface:
    """Return the address of a node in a network with `6plane`; the node owns the /80 around it."""
    folded = int(network[:8], 16) ^ int(network[8:], 16)
    return _interface(f"fc{folded:08x}{address}000000000001", 40)


def default_ipv4(network: str) -> IPv4Network:
    """Return the network in which members get IPv4 addresses where no routes are declared.

    It follows from the network's id, so it rarely meets a network of a member's surroundings. It is in the upper half
    of 10.0.0.0/8, since what people choose themselves tends to be in the lower one.
    """
    second, third = hashlib.sha256(bytes.fromhex(network)).digest()[:2]
    return IPv4Network((bytes((10, 128 | second, third, 0)), 24))


def device_name(network: str) -> str:
    """Return the name of the interface to a network on Linux, unless another interface already has it."""
    number = int(network, 16)
    folded = (number ^ number >> 24) % 2**40
    return "zt" + b32encode(folded.to_bytes(5, "big")).decode().lower()


def mac(network: str, address: str) -> str:
    """Return the MAC address of a node's interface to a network."""
    folded = bytes.fromhex(network)[::-1]  # the last byte is the first one of the MAC
    first = folded[0] & ~_MULTICAST | _LOCALLY_ADMINISTERED
    if first == _MAC_OF_QEMU:  # whose prefix 52:54:00 ZeroTier avoids
        first = 0x32
    rest = (a ^ b for a, b in zip(bytes.fromhex(address), folded[1:6], strict=True))
    return bytes((first, *rest)).hex(":")


def _interface(digits: str, prefix: int) -> IPv6Interface:
    return IPv6Interface((bytes.fromhex(digits), prefix))
