"""What a member accepts from the controller of a network, as `networks.d/ID.local.conf` has it."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING

from rolecall_services.zerotier.networks import rfc4193

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def local_conf(network: str, address: str, ip_ranges: Sequence[str]) -> str:
    """Return the content of the file for one network.

    Args:
        network: The network's id.
        address: The member's address, in hexadecimal.
        ip_ranges: As `PeerSettings` has them. The member always accepts the address that follows from both ids.

    Raises:
        ValueError: When there are more networks than the daemon can read.
    """
    networks = [ip_network(each) for each in ip_ranges if "/" in each]
    managed = "1"
    if networks:
        managed = ",".join(map(str, [*networks, rfc4193(network, address).network]))
        if len(managed) > _LONGEST:
            raise ValueError(
                f"the list of networks is {len(managed):,} characters long, but can have at most {_LONGEST:,}"
            )
    everywhere = not {"global", "all"}.isdisjoint(ip_ranges) or not all(map(_is_private, networks))
    default = "all" in ip_ranges or any(each.prefixlen == 0 for each in networks)
    return f"allowManaged={managed}\nallowGlobal={everywhere:d}\nallowDefault={default:d}\nallowDNS=0\n"


def _is_private(network: IPv4Network | IPv6Network) -> bool:
    """Return whether the daemon accepts addresses of this network without `allowGlobal`."""
    return any(network.network_address in outer and network.prefixlen >= outer.prefixlen for outer in _PRIVATE)
