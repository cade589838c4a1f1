"""What the roles of an instance mean for its network: the records that its controller must have, and each address."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING, Any, NamedTuple

from rolecall_services.zerotier.networks import default_ipv4, rfc4193, sixplane
from rolecall_services.zerotier.permissions import accepts
from rolecall_services.zerotier.settings import AddressRange, covering

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rolecall_services.zerotier.identities import Identity
    from rolecall_services.zerotier.settings import ControllerSettings, PeerSettings

_LONGEST_WITH_BROADCAST = 30
"""The longest prefix of an IPv4 network whose first and last address belong to no host."""
_BARE = {"mtu": 2800, "multicastLimit": 32, "enableBroadcast": True, "authTokens": {}}
"""What a network has unless somebody changes it by hand. A token would let in whoever has it."""


class Peer(NamedTuple):
    """A machine that joins a network."""

    identity: Identity
    settings: PeerSettings


class Plan(NamedTuple):
    """The routes of a network, and from where its members get addresses that are not declared."""

    network: str
    routes: tuple[tuple[str, str | None], ...]  # network and gateway
    ranges: tuple[AddressRange, ...]
    has_sixplane: bool

    @classmethod
    def of(cls, network: str, settings: ControllerSettings) -> Plan:
        """Return the plan of a network with this id; if members need IPv4 addresses, it has a route for them."""
        routes = [(route.target, route.via) for route in settings.routes]
        ranges = settings.dynamic_ip.ranges if settings.dynamic_ip.enable else []
        if settings.dynamic_ip.enable and not ranges:
            if not (networks := _ipv4(routes)):
                networks = [default_ipv4(network)]
                routes.append((str(networks[0]), None))
            ranges = [AddressRange(start=str(each[1]), end=str(each[-2])) for each in networks]
        return cls(network, tuple(routes), tuple(ranges), settings.sixplane)

    def interface(self, address: str) -> IPv4Interface | IPv6Interface:
        """Return an address with the prefix that the controller gives it.

        Raises:
            ValueError: When the controller would never assign it, or it belongs to no host.
        """
        on_link = [target for target, via in self.routes if via is None]
        if (network := covering(on_link, address)) is None:
            raise ValueError(f"no route without a gateway contains {address}; add one to `routes` of the controller")
        has_edges = isinstance(network, IPv4Network) and network.prefixlen <= _LONGEST_WITH_BROADCAST
        if has_edges and ip_address(address) in {network.network_address, network.broadcast_address}:
            raise ValueError(f"{address} is not the address of a host in {network}")
        return ip_interface(f"{address}/{network.prefixlen}")

    def addresses(self, peer: Peer) -> list[IPv4Interface | IPv6Interface]:
        """Return all addresses of a member that are known in advance, with their prefixes.

        Raises:
            ValueError: When the member would not get or not accept one of them.
        """
        node = peer.identity.address.hex()
        own = [rfc4193(self.network, node), *([sixplane(self.network, node)] if self.has_sixplane else [])]
        declared = [self.interface(each) for each in peer.settings.addresses]
        for each in declared:
            if not accepts(peer.settings.ip_ranges, each):
                raise ValueError(f"its `ipRanges` do not accept its own address {each}")
        return [*own, *declared]

    def assigns_ipv4(self, peer: Peer) -> bool:
        """Return whether a member gets an IPv4 address from a range, and accepts each that it may get."""
        if any(map(_is_ipv4, peer.settings.addresses)):
            return False
        ends = [each.end for each in self.ranges if _is_ipv4(each.end)]
        return bool(ends) and all(accepts(peer.settings.ip_ranges, self.interface(end)) for end in ends)


def definition(name: str, settings: ControllerSettings, peers: Mapping[str, Peer], plan: Plan) -> dict[str, Any]:
    """Return all that the controller must have of a network, as `program/controller.py` reads it.

    Args:
        name: Its name.
        settings: Those of the controller.
        peers: All peers by machine.
        plan: The network's plan.

    Raises:
        ValueError: When the controller would ignore something, or a member would not get its addresses.
    """
    owners: dict[str, str] = {}
    for machine, peer in peers.items():
        try:
            plan.addresses(peer)
        except ValueError as error:
            raise ValueError(f"{machine}: {error}") from None
        for address in peer.settings.addresses:
            if (other := owners.setdefault(address, machine)) != machine:
                raise ValueError(f"{other} and {machine} both have the address {address}")
    known = {peer.identity.address.hex() for peer in peers.values()}
    foreign = [each for each in settings.allowed_ids if each not in known]
    if not settings.public:
        _require_room(plan, peers, foreign)
    of_ipv4 = [_is_ipv4(each.start) for each in plan.ranges]
    return {
        "network": {
            **_BARE,
            "name": name,
            "private": not settings.public,
            "rules": [{"not": False, "or": False, "type": "ACTION_ACCEPT"}],  # without a rule, all is dropped
            "routes": [{"target": target, "via": via} for target, via in plan.routes],
            "ipAssignmentPools": [each.pool() for each in plan.ranges],
            "v4AssignMode": {"zt": any(of_ipv4)},
            "v6AssignMode": {"rfc4193": True, "6plane": plan.has_sixplane, "zt": not all(of_ipv4)},
            "dns": settings.dns.model_dump() if settings.dns else {"domain": "", "servers": []},
        },
        "members": {
            peer.identity.address.hex(): {
                "name": machine,
                "identity": peer.identity.public,
                "addresses": peer.settings.addresses,
            }
            for machine, peer in peers.items()
        }
        | {address: {"name": address, "identity": "", "addresses": []} for address in foreign},
    }


def _is_ipv4(address: str) -> bool:
    return isinstance(ip_address(address), IPv4Address)


def _ipv4(routes: Sequence[tuple[str, str | None]]) -> list[IPv4Network]:
    """Return the IPv4 networks without a gateway that have room for several hosts."""
    on_link = (ip_network(target) for target, via in routes if via is None)
    return [each for each in on_link if isinstance(each, IPv4Network) and each.prefixlen <= _LONGEST_WITH_BROADCAST]


def _require_room(plan: Plan, peers: Mapping[str, Peer], foreign: Sequence[str]) -> None:
    """Require an IPv4 address for each member that needs one from a range: one that gets none is not told so."""
    taken = [ip_address(address) for peer in peers.values() for address in peer.settings.addresses]
    room = sum(
        last - first + 1 - sum(first <= int(each) <= last for each in taken) - _ends_in_255(first, last)
        for first, last in _spans(plan)
    )
    needing = len(foreign) + sum(plan.assigns_ipv4(peer) for peer in peers.values())
    if plan.ranges and any(_spans(plan)) and needing > room:
        raise ValueError(f"the ranges of `dynamicIp` have {room:,} free addresses, but {needing:,} members need one")


def _ends_in_255(first: int, last: int) -> int:
    """Return how many addresses of a range the controller never assigns, since they end in 255."""
    return (last + 1) // 256 - first // 256


def _spans(plan: Plan) -> Iterator[tuple[int, int]]:
    """Yield the first and last address of each IPv4 range, as numbers."""
    for each in plan.ranges:
        if _is_ipv4(each.start):
            yield int(ip_address(each.start)), int(ip_address(each.end))
