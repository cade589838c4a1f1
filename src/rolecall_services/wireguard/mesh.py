#!/usr/bin/python3
"""Set up the interfaces of a WireGuard mesh. Installed by Rolecall; reads mesh.json and machine.json beside it.

    mesh up [--interface NAME] | down | status | probe | follow

``up`` brings interfaces, keys, peers, addresses and routes to what is declared, and touches nothing that is right
already: sessions go on, and no packet is lost. ``status`` says what differs. ``probe`` asks whether another peer
answers. ``follow`` runs all the time on machines behind NAT, and moves the routes to other such machines to the first
relay that answers.

Standard library only, Python 3.9 and newer: it runs on the machines.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HOME = Path(__file__).resolve().parent
STATE = Path("/run")
SILENCE = 3.0  # seconds without an answer after which a relay counts as gone
METRIC = "51820"  # of all routes: one that the machine has without the mesh comes first, and is never replaced
PERIOD = 1.0  # seconds between two questions
ONLINE = 10.0  # seconds to wait for an interface of wireguard-go
AT_ONCE = 20  # peers that are asked at the same moment
SETTLE = 30.0  # seconds for another peer to answer, which may switch later than this one
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


# What there is


def run(*argv: str, given: str = "") -> str:
    """Run a command, which must succeed, and return what it prints."""
    done = subprocess.run(argv, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"error: {argv[0]} {argv[1]}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def links() -> dict[str, Json]:
    """Return all interfaces of this machine by name."""
    return {link["ifname"]: link for link in json.loads(run("ip", "-json", "link", "show") or "[]")}


def peers_of(name: str) -> tuple[str, int, dict[str, Peer]]:
    """Return private key, port and peers of an interface. Source: wg(8), `show INTERFACE dump`."""
    first, *lines = run("wg", "show", name, "dump").splitlines()
    private, _, port, _ = first.split("\t")
    peers = {}
    for line in lines:
        key, _, endpoint, networks, _, _, _, keepalive = line.split("\t")
        host, _, at = endpoint.rpartition(":")
        peers[key] = Peer(
            key,
            frozenset(networks.split(",")) if networks != "(none)" else frozenset(),
            (host.strip("[]"), int(at)) if host else None,
            0 if keepalive == "off" else int(keepalive),
        )
    return private, int(port), peers


def routes_of(names: Iterable[str]) -> dict[str, str]:
    """Return the interface of each network that is reached through one of these interfaces by a route of ours."""
    found = {}
    for family in ("-4", "-6"):
        for route in json.loads(run("ip", "-json", family, "route", "show", "proto", "static") or "[]"):
            if route.get("dev") in names and str(route.get("metric")) == METRIC:
                network = route["dst"]
                found[network if "/" in network else prefixed(network)] = route["dev"]
    return found


# Commands


@contextlib.contextmanager
def alone(mesh: Mesh) -> Iterator[None]:
    """Keep other runs of this program from changing the same interfaces."""
    with (STATE / f"rolecall-{mesh.own['interfaces']}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def chosen(mesh: Mesh) -> int:
    """Return the number of the relay that `follow` has chosen last."""
    try:
        name = (STATE / f"rolecall-{mesh.own['interfaces']}.relay").read_text()
    except OSError:
        return 1
    return mesh.relays.index(name) + 1 if name in mesh.relays else 1


def endpoints(mesh: Mesh) -> dict[str, Json]:
    """Return the endpoints that were set last, by interface and key: a peer may have another one since it has moved."""
    try:
        found: dict[str, Json] = json.loads((STATE / f"rolecall-{mesh.own['interfaces']}.endpoints").read_text())
    except (OSError, ValueError):
        return {}
    return found


def up(mesh: Mesh, only: str = "") -> None:
    """Bring everything to what is declared."""
    wanted = mesh.interfaces()
    known = endpoints(mesh)
    for interface in wanted:
        if only in {"", interface.name}:
            create(mesh, interface.name)
            bring(mesh, interface, {} if only else known.get(interface.name, {}))
        known[interface.name] = {peer.key: peer.endpoint for peer in interface.peers.values() if peer.endpoint}
    (STATE / f"rolecall-{mesh.own['interfaces']}.endpoints").write_text(json.dumps(known))
    ours = [name for name in links() if is_ours(mesh, name)]
    if mesh.forwards():
        forward()
    set_routes(ours, mesh.routes(chosen(mesh)), add_only=bool(only))
    if not only:
        for name in ours:
            if name not in {interface.name for interface in wanted}:
                remove(name)


def is_ours(mesh: Mesh, name: str) -> bool:
    """Return whether an interface has a name of this mesh."""
    return bool(re.fullmatch(re.escape(mesh.own["interfaces"]) + r"-[ab]\d?", name))


def create(mesh: Mesh, name: str) -> None:
    """Create an interface, unless it exists."""
    if mesh.own["userspace"]:
        socket_file = Path(f"/run/wireguard/{name}.sock")  # by which wg(8) sets it up
        deadline = time.monotonic() + ONLINE
        while name not in links() or not socket_file.exists():
            run("systemctl", "start", "--no-block", tunnel(name))
            if time.monotonic() > deadline:
                raise SystemExit(f"error: wireguard-go has not created {name}; see `systemctl status {tunnel(name)}`")
            time.sleep(0.05)
        return
    if name in links():
        return
    done = subprocess.run(["ip", "link", "add", name, "type", "wireguard"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(
            f"error: the kernel cannot create {name}: {done.stderr.strip()}\n"
            "hint: if it has no WireGuard, set `userspace = true` for this machine"
        )


def tunnel(name: str) -> str:
    """Return the unit that runs an interface in user space."""
    return f"rolecall-{HOME.name}.tunnel@{name}.service"


def bring(mesh: Mesh, wanted: Interface, known: Json) -> None:
    """Bring one interface to what is declared; what is right already stays as it is.

    ``known`` has the endpoints that were set last.
    """
    name = wanted.name
    private = Path(mesh.own["keys"][wanted.channel]).read_text().strip()
    now, port, peers = peers_of(name)
    settings = []
    if now != private:
        settings += ["private-key", "/dev/stdin"]
    if wanted.port and port != wanted.port:
        settings += ["listen-port", str(wanted.port)]
    for key in peers.keys() - wanted.peers.keys():
        settings += ["peer", key, "remove"]
    if settings:
        run("wg", "set", name, *settings, given=private + "\n")
    due = [peer for peer in wanted.peers.values() if differs(peers.get(peer.key), peer, known.get(peer.key))]
    if due:
        run("wg", "addconf", name, "/dev/stdin", given="".join(map(section, due)))
    link = links()[name]
    if link["mtu"] != mesh.own["mtu"] or "UP" not in link["flags"]:
        run("ip", "link", "set", name, "mtu", str(mesh.own["mtu"]), "up")
    # During a change of the channel, packets arrive on the other one than the route back leads to.
    Path(f"/proc/sys/net/ipv4/conf/{name}/rp_filter").write_text("2")
    wanted_here = {*map(prefixed, mesh.me["addresses"])}
    there = json.loads(run("ip", "-json", "address", "show", "dev", name, "scope", "global") or "[]")
    found = [each for link in there for each in link.get("addr_info", ()) if each]  # {} stands for what is left out
    here = {f"{each['local']}/{each['prefixlen']}" for each in found}
    for address in wanted_here - here:
        run("ip", "address", "add", address, "dev", name, *(["nodad"] if ":" in address else []))
    for address in here - wanted_here:
        run("ip", "address", "del", address, "dev", name)


def differs(now: Peer | None, wanted: Peer, known: Any = None) -> bool:  # noqa: ANN401 - JSON
    """Return whether a peer must be set. ``known`` is the endpoint that was set last: from there, it may have moved."""
    if now is None or (now.networks, now.keepalive) != (wanted.networks, wanted.keepalive):
        return True
    if wanted.endpoint is None:
        return False
    return now.endpoint is None or (known is not None and tuple(known) != wanted.endpoint)


def section(peer: Peer) -> str:
    """Return a peer as a section of a configuration file, wg(8)."""
    lines = ["[Peer]", f"PublicKey = {peer.key}", f"AllowedIPs = {', '.join(sorted(peer.networks))}"]
    if peer.endpoint:
        host, port = peer.endpoint
        lines.append(f"Endpoint = {f'[{host}]' if ':' in host else host}:{port}")
    lines.append(f"PersistentKeepalive = {peer.keepalive or 'off'}")
    return "".join(f"{line}\n" for line in lines)


def set_routes(ours: Iterable[str], wanted: dict[str, str], *, add_only: bool = False) -> None:
    """Move the routes of the mesh; each moves at once, so that there is one at any time."""
    there = routes_of(ours)
    lines = [
        f"route replace {network} dev {name} proto static metric {METRIC}"
        for network, name in wanted.items()
        if there.get(network) != name and name in ours
    ]
    if not add_only:
        gone = {network: name for network, name in there.items() if network not in wanted}
        lines += [f"route del {network} dev {name} proto static metric {METRIC}" for network, name in gone.items()]
    if lines:
        run("ip", "-force", "-batch", "-", given="".join(f"{line}\n" for line in lines))


def forward() -> None:
    """Let the kernel pass on packets, and go on to accept routes from routers, which it would end with that."""
    for path in Path("/proc/sys/net/ipv6/conf").glob("*/accept_ra"):
        if path.read_text().strip() == "1":
            path.write_text("2")
    for name in ("ipv6/conf/all/forwarding", "ipv4/ip_forward"):
        path = Path("/proc/sys/net") / name
        if path.read_text().strip() != "1":
            path.write_text("1")


def stop_tunnel(name: str) -> None:
    """Stop wireguard-go for an interface, if it runs it."""
    subprocess.run(["systemctl", "stop", tunnel(name)], capture_output=True, check=False)  # fails for an unknown unit


def remove(name: str) -> None:
    """Remove an interface."""
    stop_tunnel(name)
    if name in links():
        run("ip", "link", "delete", name)


def down(mesh: Mesh) -> None:
    """Remove all interfaces of the mesh, and their routes with them."""
    stop_tunnel("*")
    for name in links():
        if is_ours(mesh, name):
            run("ip", "link", "delete", name)


def status(mesh: Mesh) -> list[str]:
    """Return what differs from what is declared."""
    found = []
    there, known = links(), endpoints(mesh)
    for wanted in mesh.interfaces():
        if wanted.name not in there:
            found.append(f"{wanted.name} does not exist")
            continue
        private, port, peers = peers_of(wanted.name)
        if private != Path(mesh.own["keys"][wanted.channel]).read_text().strip():
            found.append(f"{wanted.name} has another key")
        if wanted.port and port != wanted.port:
            found.append(f"{wanted.name} listens on port {port}, not {wanted.port}")
        names = {peer["keys"].get(wanted.channel): name for name, peer in mesh.peers.items()}
        last = known.get(wanted.name, {})
        due = [peer for peer in wanted.peers.values() if differs(peers.get(peer.key), peer, last.get(peer.key))]
        wrong = [names[peer.key] for peer in due]
        wrong += [f"the unknown key {key}" for key in peers.keys() - wanted.peers.keys()]
        found += [f"{wanted.name} has another entry for {name}" for name in sorted(wrong)]
    ours = [name for name in there if is_ours(mesh, name)]
    routes = routes_of(ours)
    for network, name in mesh.routes(chosen(mesh)).items():
        if routes.get(network) != name:
            found.append(f"the route to {network} leads to {routes.get(network, 'nowhere')}, not to {name}")
    return found


def ask(address: str, *options: str) -> subprocess.Popen[bytes]:
    """Start to ask an address whether it answers, which it must do within a second; the exit status says so."""
    argv = ["ping", "-n", "-q", "-c", "1", "-W", "1", *options, address]
    return subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def probe(mesh: Mesh) -> list[str]:
    """Return why the mesh does not work: no other peer answers."""
    open_peers = [peer for name, peer in mesh.peers.items() if name != mesh.machine and peer["endpoint"] is not None]
    others = [peer["addresses"][0] for peer in open_peers]  # the others may be laptops and phones
    deadline = time.monotonic() + SETTLE
    while others and time.monotonic() < deadline:
        asked, others = others[:AT_ONCE], [*others[AT_ONCE:], *others[:AT_ONCE]]
        if 0 in [process.wait() for process in [ask(address) for address in asked]]:
            return []
        time.sleep(PERIOD)
    return [f"none of {len(others)} other peers answers"] if others else []


def follow(mesh: Mesh) -> None:
    """Choose the first relay that answers, for ever."""
    heard = dict.fromkeys(mesh.relays, -SILENCE)
    heard[mesh.relays[chosen(mesh) - 1]] = time.monotonic()  # until it has had time to answer
    with alone(mesh):  # an earlier process may have moved the routes meanwhile
        set_routes([name for name in links() if is_ours(mesh, name)], mesh.routes(chosen(mesh)))
    while True:
        began = time.monotonic()
        asked = {
            name: ask(mesh.peers[name]["addresses"][0], "-I", mesh.interface(mesh.channel, index))
            for index, name in enumerate(mesh.relays, 1)
        }
        for name, process in asked.items():
            if process.wait() == 0:
                heard[name] = time.monotonic()
        alive = [name for name in mesh.relays if time.monotonic() - heard[name] < SILENCE]
        now = mesh.relays[chosen(mesh) - 1]
        if alive and alive[0] != now:
            print(f"sending through {alive[0]} from now on, not through {now}", flush=True)
            with alone(mesh):
                (STATE / f"rolecall-{mesh.own['interfaces']}.relay").write_text(alive[0])
                set_routes([name for name in links() if is_ours(mesh, name)], mesh.routes(chosen(mesh)))
        time.sleep(max(0.0, began + PERIOD - time.monotonic()))


def main() -> int:
    """Run one command, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("up", "down", "status", "probe", "follow"))
    parser.add_argument("--interface", default="", help="bring up only this one, which has just been created")
    given = parser.parse_args()
    mesh = Mesh(HOME)
    problems: list[str] = []
    if given.command == "follow":
        follow(mesh)
    elif given.command == "probe":
        problems = probe(mesh)
    else:
        with alone(mesh):
            if given.command == "up":
                up(mesh, given.interface)
            elif given.command == "down":
                down(mesh)
            else:
                problems = status(mesh)
    for warning in mesh.problems:  # the timer tries again
        print(f"warning: {warning}", file=sys.stderr)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return int(bool(problems))


if __name__ == "__main__":
    raise SystemExit(main())
