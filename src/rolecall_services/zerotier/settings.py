"""Settings of the roles controller, peer and moon.

A controller starts with any file, and silently ignores what it cannot use. So what it would ignore is refused here, as
far as the settings of one member show it; `definitions` refuses the rest.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from rolecall.service import Settings, unique
from rolecall_services.zerotier.identities import is_reserved
from rolecall_services.zerotier.worlds import MOST_ENDPOINTS, Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST_ROUTES = 128
_MOST_ADDRESSES = 30
"""Of 32 per member, those that do not follow from the network's id."""
_MOST_DNS_SERVERS = 4
_MOST_DOMAIN = 127


def _address(text: str) -> str:
    """Return an address in its canonical form.

    Raises:
        ValueError: When it is not the address of one host.
    """
    address = ip_address(text)
    if address.is_unspecified or address.is_multicast or "%" in text:
        raise ValueError("is not the address of a host")
    return str(address)


def _network(text: str) -> str:
    """Return a network in its canonical form.

    Raises:
        ValueError: When it is not a network: it has bits set behind its prefix, or no prefix.
    """
    if "/" not in text:
        raise ValueError("has no prefix length, such as 10.147.20.0/24")
    return str(ip_network(text))


def _accepted(text: str) -> str:
    return text if text in ("private", "global", "all") else _network(text)


def _node(text: str) -> str:
    if is_reserved(bytes.fromhex(text)):
        raise ValueError("is a reserved address")
    return text


def _endpoint(text: str) -> str:
    return str(Endpoint.parse(text))


Address = Annotated[str, AfterValidator(_address)]
Subnet = Annotated[str, AfterValidator(_network)]
AcceptedRange = Annotated[str, AfterValidator(_accepted)]
NodeAddress = Annotated[str, Field(pattern=r"^[0-9a-f]{10}$"), AfterValidator(_node)]
InterfacePrefix = Annotated[str, Field(pattern=r"^[^\s/]{1,15}$")]
StableEndpoint = Annotated[str, AfterValidator(_endpoint)]


def covering(on_link: Iterable[str], address: str) -> IPv4Network | IPv6Network | None:
    """Return the narrowest of networks without a gateway that contains an address; a member gets its prefix.

    The controller never assigns an address that no route contains.
    """
    found = [network for network in map(ip_network, on_link) if ip_address(address) in network]
    return max(found, key=lambda network: network.prefixlen, default=None)


class NodeSettings(Settings):
    """The daemon itself. A machine with several roles needs these settings in one of them only."""

    package: Literal["vendor", "installed"] = Field(
        "vendor",
        description="vendor (from its package repository for Debian), or installed (the machine has the package "
        "zerotier-one already).",
    )
    release: str = Field(
        "bookworm", pattern=r"^[a-z]+$", description="Codename of the machine's Debian, for the repository."
    )
    avoid_interfaces: Annotated[list[InterfacePrefix], unique] = Field(
        [],
        description="Interfaces whose names begin with one of these are not used, such as those of another VPN.",
    )


class Route(Settings):
    """A route that members get, and whose addresses the controller may assign."""

    target: Subnet = Field(description="Network, such as 10.147.20.0/24.")
    via: Address | None = Field(None, description="Gateway; without one, the network is the ZeroTier network itself.")

    @model_validator(mode="after")
    def _one_family(self) -> Self:
        if self.via is not None and ip_address(self.via).version != ip_network(self.target).version:
            raise ValueError(f"the gateway {self.via} and the network {self.target} are of different families")
        return self


class AddressRange(Settings):
    """A range of addresses, including both ends."""

    start: Address = Field(description="First address.")
    end: Address = Field(description="Last address.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        start, end = ip_address(self.start), ip_address(self.end)
        if start.version != end.version or int(start) > int(end):
            raise ValueError(f"the range ends at {end}, which is not after {start}")
        return self

    def pool(self) -> dict[str, str]:
        """Return the range as the controller has it, which never assigns the end of a pool unless it is the start."""
        end = ip_address(self.end)
        if isinstance(end, IPv4Address) and self.end != self.start:  # the last of so many IPv6 addresses is not missed
            end += 1
        return {"ipRangeStart": self.start, "ipRangeEnd": str(end)}


class DynamicIp(Settings):
    """Addresses for members that have none of their own."""

    enable: bool = Field(default=False, description="Whether the controller assigns addresses.")
    ranges: list[AddressRange] = Field(
        [],
        description="From where, each within one route. Without any: from the IPv4 routes without a gateway; and "
        "without such routes from a network of 254 addresses below 10.128.0.0/9 that follows from the network's id.",
    )


class Dns(Settings):
    """Name servers that members learn about; ZeroTier on Linux does nothing with them."""

    domain: str = Field(min_length=1, description="Search domain.")
    servers: list[Address] = Field(min_length=1, max_length=_MOST_DNS_SERVERS, description="Their addresses.")

    @model_validator(mode="after")
    def _short(self) -> Self:
        if len(self.domain.encode()) > _MOST_DOMAIN:
            raise ValueError(f"the domain is longer than {_MOST_DOMAIN} bytes")
        return self


class ControllerSettings(NodeSettings):
    """The network, and who may join it."""

    public: bool = Field(default=False, description="Whether every node that asks becomes a member.")
    allowed_ids: Annotated[list[NodeAddress], unique] = Field([], description="Members that are not machines.")
    routes: list[Route] = Field([], max_length=_MOST_ROUTES, description="Routes of all members.")
    dynamic_ip: DynamicIp = Field(DynamicIp(), description="Addresses for members that have none of their own.")
    dns: Dns | None = Field(None, description="Name servers that members learn about.")
    sixplane: bool = Field(
        default=False, description="Whether each member also has a network of its own, by 6PLANE, for what runs on it."
    )

    @model_validator(mode="after")
    def _usable(self) -> Self:
        targets = [route.target for route in self.routes]
        if twice := sorted({target for target in targets if targets.count(target) > 1}):
            raise ValueError(f"several routes to {', '.join(twice)}")
        for each in self.dynamic_ip.ranges:
            start, end = ip_address(each.start), ip_address(each.end)
            route = self.covering(each.start)
            if route is None or end not in route:
                raise ValueError(f"no route without a gateway contains all of {start} to {end}")
            if isinstance(route, IPv4Network) and end == route.broadcast_address:
                raise ValueError(f"the range ends at {end}, the broadcast address of {route}")
            if isinstance(route, IPv4Network) and start == route.network_address:
                raise ValueError(f"the range starts at {start}, the address of {route} itself")
        return self

    def covering(self, address: str) -> IPv4Network | IPv6Network | None:
        """Return the narrowest of its networks that contains an address, as `covering` does."""
        return covering([route.target for route in self.routes if route.via is None], address)


class PeerSettings(NodeSettings):
    """What a member accepts from the controller, and its own addresses."""

    ip_ranges: Annotated[list[AcceptedRange], unique] = Field(
        ["private"],
        min_length=1,
        description="Addresses and routes that it accepts: private (private ones), global (public ones, too), "
        "all (a default route, too), or networks.",
    )
    addresses: Annotated[list[Address], unique] = Field(
        [], max_length=_MOST_ADDRESSES, description="Its own addresses, each within a route of the controller."
    )

    @model_validator(mode="after")
    def _words_or_networks(self) -> Self:
        words = [each for each in self.ip_ranges if "/" not in each]
        if words and len(self.ip_ranges) > 1:
            raise ValueError(f"'{words[0]}' cannot be combined with other ranges")
        return self


class MoonSettings(NodeSettings):
    """Where nodes reach this root."""

    stable_endpoints: Annotated[list[StableEndpoint], unique] = Field(
        min_length=1,
        max_length=MOST_ENDPOINTS,
        description="Each ADDRESS/PORT at which nodes reach it, such as 203.0.113.5/9993.",
    )
