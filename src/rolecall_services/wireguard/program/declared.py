"""What is declared: the interfaces, peers and routes of this machine that follow from mesh.json and machine.json."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Json = dict[str, Any]


class Peer(NamedTuple):
    """A peer of an interface, as `wg show dump` shows it; `endpoint` is ADDRESS, port or None."""

    key: str
    networks: frozenset[str]
    endpoint: tuple[str, int] | None
    keepalive: int


class Interface(NamedTuple):
    """An interface as it is to be."""

    name: str
    channel: str
    port: int  # 0 for any
    peers: dict[str, Peer]  # by key


class Mesh:
    """What is declared.

    Attributes:
        machine: This machine's name.
        peers: All peers by name, as mesh.json has them.
        relays: The names of the relays, sorted.
    """

    def __init__(self, folder: Path) -> None:
        self.own: Json = json.loads((folder / "machine.json").read_text())
        self.peers: dict[str, Json] = json.loads((folder / "mesh.json").read_text())
        self.machine: str = self.own["machine"]
        self.relays = sorted(name for name, peer in self.peers.items() if peer["relay"] and name != self.machine)
        self.me = self.peers[self.machine]
        self.hidden = self.me["endpoint"] is None  # behind NAT
        self._addresses: dict[str, str | None] = {}
        self.problems: list[str] = []

    @property
    def channel(self) -> str:
        """The channel that this machine sends on."""
        return str(self.own["channel"])

    def interface(self, channel: str, relay: int = 0) -> str:
        """Return the name of an interface: the main one of a channel, or the one to a relay, counted from 1."""
        return f"{self.own['interfaces']}-{channel}{relay or ''}"

    def relayed(self) -> list[str]:
        """Return the names of the peers that are reached through a relay."""
        if not self.hidden or not self.relays:
            return []
        return [name for name, peer in self.peers.items() if peer["endpoint"] is None and name != self.machine]

    def direct(self) -> list[str]:
        """Return the names of the peers of the main interfaces."""
        others = [name for name in self.peers if name != self.machine]
        if not self.hidden:
            return others
        return [name for name in others if self.peers[name]["endpoint"] is not None and name not in self.relays]

    def interfaces(self) -> list[Interface]:
        """Return all interfaces.

        Each relay has one of its own on a machine behind NAT. So that machine accepts what others behind NAT send
        through any relay, and chooses by its routes alone through which it sends.
        """
        found = []
        for number, channel in enumerate(sorted(self.own["keys"])):
            peers = [self._peer(name, channel, number) for name in self.direct() if channel in self.peers[name]["keys"]]
            port = 0 if self.hidden else self.me["port"] + number
            found.append(Interface(self.interface(channel), channel, port, {peer.key: peer for peer in peers}))
            for index, relay in enumerate(self.relays if self.hidden else (), 1):
                peer = self._peer(relay, channel, number, self.relayed())
                found.append(Interface(self.interface(channel, index), channel, 0, {peer.key: peer}))
        return found

    def _peer(self, name: str, channel: str, number: int, behind: Iterable[str] = ()) -> Peer:
        peer = self.peers[name]
        networks = frozenset(each for one in (name, *behind) for each in self.networks_of(one))
        host = peer["endpoint"]
        address = self._address_of(host) if host is not None else None
        endpoint = (address, peer["port"] + number) if address else None
        return Peer(peer["keys"][channel], networks, endpoint, self.own["keepalive"] if self.hidden else 0)

    def networks_of(self, name: str) -> list[str]:
        """Return the addresses and networks that are reached through a peer."""
        return [*map(prefixed, self.peers[name]["addresses"]), *self.peers[name]["networks"]]

    def routes(self, relay: int) -> dict[str, str]:
        """Return the interface for each network, when peers behind NAT are reached through a relay, from 1."""
        routes = {self.own["prefix"]: self.interface(self.channel)}
        for name in self.direct():
            channel = self._uses(name)
            first = 1 if channel == self.channel else 0  # its first address is below the prefix
            routes.update(dict.fromkeys(self.networks_of(name)[first:], self.interface(channel)))
        for index, name in enumerate(self.relays if self.hidden else (), 1):
            routes.update(dict.fromkeys(self.networks_of(name), self.interface(self.channel, index)))
        for name in self.relayed():
            routes.update(dict.fromkeys(self.networks_of(name), self.interface(self._uses(name), relay)))
        return routes

    def _uses(self, name: str) -> str:
        """Return the channel on which to send to a peer: a device has only one."""
        keys = self.peers[name]["keys"]
        return self.channel if self.channel in keys else str(next(iter(keys)))

    def forwards(self) -> bool:
        """Return whether this machine passes on packets."""
        return bool(self.me["relay"] or self.me["networks"])

    def _address_of(self, host: str) -> str | None:
        """Return the address of a host; wg(8) itself would ask for a long time for one that is unknown."""
        if host not in self._addresses:
            self._addresses[host] = None
            try:
                found = str(socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)[0][4][0])
            except OSError as error:
                self.problems.append(f"cannot find the address of {host}: {error}")
            else:
                if any(found in peer["addresses"] for peer in self.peers.values()):
                    self.problems.append(f"{host} is {found}, which is reached through the mesh itself")
                else:
                    self._addresses[host] = found
        return self._addresses[host]


def prefixed(address: str) -> str:
    """Return an address as a network with nothing else in it."""
    return f"{address}/{128 if ':' in address else 32}"
