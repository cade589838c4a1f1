"""Names and SSH host keys of all members, known on each of them."""

from collections.abc import Iterator
from ipaddress import ip_address

from pydantic import Field

from rolecall.service import Block, HostAddress, Member, Resource, Service, Settings, hosts, known_hosts

service = Service("hosts", description="Makes machines known to each other: names in /etc/hosts, and SSH host keys.")


class MachineSettings(Settings):
    """What the others call it."""

    network: str | None = Field(
        None, description="Instance of a VPN or other network whose addresses are used; without one, the machines' own."
    )
    domain: HostAddress | None = Field(
        None, description="The machine's name is MACHINE.DOMAIN, beside MACHINE; without one, MACHINE alone."
    )
    host_keys: bool = Field(
        default=True, description="Whether its pinned SSH host keys go into /etc/ssh/ssh_known_hosts of the others."
    )


default = service.role("default", MachineSettings, description="Knows all members, and is known to them.")


@default.configure
def introduce(me: Member[MachineSettings]) -> Iterator[Resource]:
    """Yield the names and the host keys of all members."""
    names: dict[str, list[str]] = {}
    keys = []
    for peer in me.members(default):
        address, peer_names = _address_of(peer), _names_of(peer)
        names.setdefault(address, []).extend(peer_names)
        if peer.settings.host_keys:
            port = peer.port_in(peer.settings.network)
            keys += [known_hosts(each, port, peer.host_keys) for each in (address, *peer_names)]
    yield hosts(me.name("names"), names)
    if text := "".join(keys):
        yield Block("/etc/ssh/ssh_known_hosts", me.name("keys"), text)


def _names_of(member: Member[MachineSettings]) -> list[str]:
    domain = member.settings.domain
    return [f"{member.machine}.{domain}", member.machine] if domain else [member.machine]


def _address_of(member: Member[MachineSettings]) -> str:
    """Return a member's IP address.

    Raises:
        ValueError: When it has none.
    """
    address = member.address_in(member.settings.network)
    try:
        return str(ip_address(address))
    except ValueError:
        raise ValueError(
            f"/etc/hosts needs an IP address, but that of machine {member.machine!r} is {address!r}; "
            f"set `machines.{member.machine}.address`, or `network`"
        ) from None
