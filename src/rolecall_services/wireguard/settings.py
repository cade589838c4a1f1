"""The settings of peers and devices."""

from ipaddress import IPv4Address, ip_network
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from rolecall.service import HostAddress, Settings
from rolecall_services.wireguard.addresses import range4


def _subnet(text: str) -> str:
    found = ip_network(text)  # raises ValueError when bits of a host are set
    if not found.prefixlen:
        raise ValueError(f"{text} is everything; name the networks that are behind the machine")
    return str(found)


Subnet = Annotated[str, AfterValidator(_subnet)]
"""A network in CIDR notation."""
Address4 = Annotated[str, AfterValidator(lambda text: str(IPv4Address(text)))]
Range4 = Annotated[str, AfterValidator(range4)]
Domain = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")]


class PeerSettings(Settings):
    """How a machine takes part."""

    endpoint: HostAddress | None = Field(
        None, description="Name or address under which the other peers reach it; without one, the machine's own."
    )
    nat: bool = Field(
        default=False,
        description="Whether others cannot reach it by themselves, since it is behind a router that translates "
        "addresses. It then keeps its connections open.",
    )
    port: int = Field(51820, ge=1, le=65534, description="UDP port of channel a; channel b has the next one.")
    channel: Literal["a", "b"] = Field(
        "a", description="The channel that it sends on. Change it for all peers together, to replace keys."
    )
    ipv4: Address4 | None = Field(
        None,
        description="Its IPv4 address in the mesh, beside the IPv6 address that follows from its name; without one, an "
        "address of `ipv4Range`.",
    )
    ipv4_range: Range4 | None = Field(
        None,
        description="Range of IPv4 addresses, such as 10.80.0.0/24, of which each peer and device gets one that stays "
        "its own. Set it for the role: all peers have the same.",
    )
    networks: list[Subnet] = Field(
        [],
        description="Networks behind it, such as fd12:3456::/48, that the other peers reach through it. For those of "
        "IPv4, each peer needs an IPv4 address.",
    )
    networks_may_connect: bool = Field(
        default=False,
        description="Whether machines in its `networks` may open connections into the mesh; else they only answer.",
    )
    mtu: int = Field(1420, ge=1280, le=65535, description="Largest packet in bytes.")
    keepalive: int = Field(25, ge=1, le=65535, description="Seconds between two signs of life of a peer behind NAT.")
    domain: Domain | None = Field(
        None, description="Its name is MACHINE.DOMAIN on all peers; without one, MACHINE.INSTANCE."
    )
    userspace: bool = Field(
        default=False, description="Whether wireguard-go runs the interfaces, on a kernel that has no WireGuard."
    )


class DeviceSettings(Settings):
    """How a device takes part."""

    channel: Literal["a", "b"] = Field("a", description="The channel that it uses; its file has the keys of that one.")
    ipv4: Address4 | None = Field(
        None, description="Its IPv4 address in the mesh; without one, an address of the peers' `ipv4Range`."
    )
    domain: Domain | None = Field(
        None, description="Its name is MACHINE.DOMAIN on all peers; without one, it has the domain of the peers."
    )
    mtu: int = Field(1420, ge=1280, le=65535, description="Largest packet in bytes.")
