"""What a member accepts from the controller of a network, as `networks.d/ID.local.conf` has it."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING

from rolecall_services.zerotier.networks import rfc4193, sixplane

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

_LONGEST = 1000
"""Characters of a list of networks. The daemon ignores one of more than about 1,023, and then accepts everything."""
_PRIVATE = [
    ip_network(text)
    for text in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "198.18.0.0/15", "fc00::/7"),
        *("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"),
        *(f"{number}.0.0.0/8" for number in (6, 11, 21, 22, 25, 26, 28, 29, 30, 51, 55, 56)),
    )
]
"""What counts as private in ZeroTierOne 1.14.1; the last ones are old military networks."""


def local_conf(network: str, address: str, ip_ranges: Sequence[str], *, has_sixplane: bool = False) -> str:
    """Return the content of the file for one network.

    Args:
        network: The network's id.
        address: The member's address, in hexadecimal.
        ip_ranges: As `PeerSettings` has them. The member always accepts the addresses that follow from both ids.
        has_sixplane: Whether the network assigns addresses by 6PLANE.

    Raises:
        ValueError: When there are more networks than the daemon can read.
    """
    networks = [ip_network(each) for each in ip_ranges if "/" in each]
    managed = "1"
    if networks:
        own = [rfc4193(network, address), *([sixplane(network, address)] if has_sixplane else [])]
        managed = ",".join(map(str, [*networks, *(each.network for each in own)]))
        if len(managed) > _LONGEST:
            raise ValueError(
                f"the list of networks is {len(managed):,} characters long, but can have at most {_LONGEST:,}"
            )
    everywhere = _accepts_global(ip_ranges)
    default = "all" in ip_ranges or any(each.prefixlen == 0 for each in networks)
    return f"allowManaged={managed}\nallowGlobal={everywhere:d}\nallowDefault={default:d}\nallowDNS=0\n"


def accepts(ip_ranges: Sequence[str], address: IPv4Interface | IPv6Interface) -> bool:
    """Return whether a member takes an address that the controller assigns, with the prefix of its route.

    An entry of the list accepts what it contains and is not wider than itself.
    """
    networks = [ip_network(each) for each in ip_ranges if "/" in each]
    listed = not networks or any(_contains(each, address.network) for each in networks)
    alone = ip_network(address.ip)
    return listed and (_accepts_global(ip_ranges) or _is_private(alone))


def _accepts_global(ip_ranges: Sequence[str]) -> bool:
    networks = [ip_network(each) for each in ip_ranges if "/" in each]
    return not {"global", "all"}.isdisjoint(ip_ranges) or not all(map(_is_private, networks))


def _is_private(network: IPv4Network | IPv6Network) -> bool:
    """Return whether the daemon accepts addresses of this network without `allowGlobal`."""
    return any(_contains(outer, network) for outer in _PRIVATE)


def _contains(outer: IPv4Network | IPv6Network, network: IPv4Network | IPv6Network) -> bool:
    return network.network_address in outer and network.prefixlen >= outer.prefixlen
