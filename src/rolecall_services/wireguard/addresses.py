"""IPv4 addresses of a mesh: a range from which each member gets one that stays its own."""

import json
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from rolecall.service import Context

FILE = "addresses"  # of the var that keeps them: a JSON object of addresses by machine
_ROLES = ("peer", "device")  # whose members have IPv4 addresses
_SHOWN = 3  # names in a message


def range4(text: str) -> str:
    """Return a range from which members can get addresses, as it is written.

    Raises:
        ValueError: When it is no network, or has no addresses but those of the network and for broadcasts.
    """
    network = IPv4Network(text)
    if network.num_addresses <= 2:  # noqa: PLR2004 - the network's own, and that for broadcasts
        raise ValueError(f"{text} has no addresses to give; use a prefix of at most 30 bits, such as 10.80.0.0/24")
    return str(network)


def wanted(members: Mapping[str, Mapping[str, Any]]) -> object:
    """Return what addresses are needed for: the range, and the address that each member has by hand, or None.

    Args:
        members: The settings of all members by role and machine.

    Raises:
        ValueError: When peers have different ranges.
    """
    ranges = {settings.ipv4_range: machine for machine, settings in members["peer"].items()}
    if len(ranges) > 1:
        (one, machine), (other, another) = list(ranges.items())[:2]
        raise ValueError(
            f"{machine} has the range {one}, and {another} has {other}; set `ipv4Range` once, for the role"
        )
    [network] = ranges
    if network is None:
        return None
    return {"range": network, "members": {name: each.ipv4 for role in _ROLES for name, each in members[role].items()}}


def assign(context: Context) -> dict[str, bytes]:
    """Return the addresses of all members, and of those that have left: the value of the var.

    Raises:
        ValueError: As `assigned`.
    """
    found = known(context.earlier.get(FILE, b"{}").decode())
    if context.wanted:
        by_hand = {name: IPv4Address(each) if each else None for name, each in context.wanted["members"].items()}
        addresses = {name: IPv4Address(each) for name, each in found.items()}
        found = {
            name: str(each) for name, each in assigned(IPv4Network(context.wanted["range"]), by_hand, addresses).items()
        }
    return {FILE: (json.dumps(found, indent=2, sort_keys=True) + "\n").encode()}


def assigned(
    network: IPv4Network, members: Mapping[str, IPv4Address | None], earlier: Mapping[str, IPv4Address]
) -> dict[str, IPv4Address]:
    """Return an address for each member that has none by hand, and those that are kept for machines that have left.

    Args:
        network: The range.
        members: The address that each has by hand, or None.
        earlier: The addresses that were assigned before. Those in the range stay.

    Raises:
        ValueError: When the range is too small; when a member has by hand what is assigned to another one; when two
            have the same address.
    """
    by_hand = {address: name for name, address in members.items() if address}
    owners: dict[IPv4Address, str] = {}
    for name, address in sorted(earlier.items()):
        if address not in network or address in {network.network_address, network.broadcast_address}:
            continue
        owner = by_hand.get(address, name)
        if owner != name and name in members and members[name] is None:
            raise ValueError(f"{owner} has `ipv4` set to {address}, which is the address of {name}; set another one")
        if owner == name and (other := owners.setdefault(address, name)) != name:
            raise ValueError(f"{other} and {name} have the same address {address}; remove one of the two from the var")
    found = {name: address for address, name in owners.items()}
    free = (address for address in network.hosts() if address not in owners and address not in by_hand)
    without = [name for name, address in sorted(members.items()) if address is None and name not in found]
    new = dict(zip(without, free, strict=False))
    if len(new) < len(without):
        raise ValueError(_full(network, members, found, len(without) - len(new)))
    return found | new


def _full(
    network: IPv4Network, members: Mapping[str, IPv4Address | None], found: Mapping[str, IPv4Address], lacking: int
) -> str:
    """Return why a range has no address for some members."""
    left = sorted(found.keys() - members.keys())
    message = f"{network} has {network.num_addresses - 2} addresses, {lacking} too few for {len(members)} machines"
    if left:
        names = ", ".join(left[:_SHOWN]) + (f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else "")
        message += f" and the {len(left)} that have left ({names}), whose addresses are kept"
    return f"{message}; set a larger `ipv4Range`"


@lru_cache(maxsize=8)
def known(text: str) -> Mapping[str, str]:
    """Return the addresses by machine that the var keeps.

    Raises:
        ValueError: When the text is not such a value, since a person has changed it.
    """
    try:
        found = json.loads(text)
        return {str(name): str(IPv4Address(address)) for name, address in found.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"the var {FILE!r} is not a JSON object of IPv4 addresses by machine: {error}") from None
