"""A closed mesh VPN with WireGuard: every machine knows the public keys of all others in advance.

Each machine has two interfaces, the *channels* a and b, with a key each. Traffic uses one of them. So all keys can be
replaced without a lost packet: those of the idle channel first, then those of the other one (see README.md).

Two machines talk to each other directly, unless both are behind NAT: then a relay passes on what they send. Devices
that Rolecall does not manage, such as phones, get a file.
"""

import hashlib
import json
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from ipaddress import IPv6Address, ip_network
from itertools import combinations, pairwise

from pydantic import Field

from rolecall.service import (
    Block,
    Check,
    Context,
    File,
    Function,
    Interface,
    Member,
    Network,
    NoSettings,
    OpenPort,
    Package,
    Resource,
    Service,
    VarFile,
    WireGuardKeyPair,
    exec_line,
    host_and_port,
    hosts,
    nftables_table,
    parts,
    secret_file,
    service_unit,
    timer_unit,
    unit_text,
)
from rolecall.service import Unit as SystemdUnit
from rolecall_services.wireguard.addresses import FILE, assign, known, wanted
from rolecall_services.wireguard.forwarding import rules
from rolecall_services.wireguard.settings import DeviceSettings, PeerSettings

service = Service("wireguard", description="A closed mesh VPN: every machine knows the keys of all others in advance.")

CHANNELS = ("a", "b")
MODULES = ("changes", "declared", "mesh", "present")  # of the program on machines
PRIORITY = 900
"""Below that of `internet`: a connection over the mesh is tried after a direct one."""
_BASE = 11  # characters of an interface's name that are left beside "-a" and the number of a relay: IFNAMSIZ is 16
_LONGEST = 40  # characters of an instance in the name of a table, which may have 64


peer = service.role("peer", PeerSettings, description="Reaches all other peers, and is reached by them.")
relay = service.role("relay", description="A peer that passes on packets between two peers behind NAT.", maximum=9)

device = service.role(
    "device",
    DeviceSettings,
    description="Something that Rolecall does not manage, such as a phone: it gets a file for its WireGuard.",
    excludes=[peer, relay],
)

keys = {channel: peer.var(f"key-{channel}", WireGuardKeyPair()) for channel in CHANNELS}

device_key = device.var("device-key", WireGuardKeyPair())


def _prefix(_: Context) -> dict[str, bytes]:
    import secrets

    # RFC 4193, 3.2: fd, 40 random bits, and a subnet.
    return {"prefix": str(IPv6Address(b"\xfd" + secrets.token_bytes(5) + bytes(10))).encode()}


network = peer.var(
    "network",
    Function(_prefix, (VarFile("prefix", secret=False),)),
    scope="shared",
    binds="it is part of the addresses of all peers",
)

addresses = peer.var(
    "addresses",
    Function(assign, (VarFile(FILE, secret=False),)),
    scope="shared",
    instance_validation=wanted,
    extends=True,
    binds="the IPv4 addresses of machines come from it",
)


class Entry(Interface):
    """What all peers know about one of them, as a line of mesh.json."""

    text: str = Field(description="Its line: the machine's name and what is known about it, as JSON.")


def address_of(prefix: str, machine: str) -> str:
    """Return the IPv6 address of a peer: 64 bits of the mesh, and 64 of its name."""
    return str(IPv6Address(IPv6Address(prefix).packed[:8] + hashlib.sha256(machine.encode()).digest()[:8]))


@peer.exports(Entry, needs=[*keys.values(), network, addresses])
def introduce(me: Member[PeerSettings]) -> Iterator[Entry]:
    """Yield what the others must know."""
    settings = me.settings
    entry = {
        "name": _name_of(me),
        "keys": {channel: me[key].public for channel, key in keys.items()},
        "addresses": _addresses(me, me.machine, settings.ipv4),
        "networks": settings.networks,
        "endpoint": None if settings.nat else settings.endpoint or me.address,
        "port": settings.port,
        "relay": any(each.machine == me.machine for each in me.members(relay)),
    }
    yield Entry(text=f"{json.dumps(me.machine)}: {json.dumps(entry)}")


@peer.exports(Network, needs=[network])
def offer_network(me: Member[PeerSettings]) -> Iterator[Network]:
    """Yield how it is reached in the mesh."""
    yield Network(
        address=address_of(_prefix_of(me), me.machine),
        names=[_name_of(me)],
        priority=PRIORITY,
        purpose="mesh VPN",
    )


@peer.exports(OpenPort)
def name_ports(me: Member[PeerSettings]) -> Iterator[OpenPort]:
    """Yield the ports on which it listens; one behind NAT is not reached by others."""
    if not me.settings.nat:
        yield from (OpenPort(protocol="udp", port=me.settings.port + index) for index in range(len(CHANNELS)))


@device.exports(Entry, needs=[device_key, network, addresses])
def introduce_device(me: Member[DeviceSettings]) -> Iterator[Entry]:
    """Yield what the peers must know of a device, which is like one of them behind NAT, with one channel."""
    entry = {
        "name": f"{me.machine}.{me.settings.domain or _domain_of_peers(me)}",
        "keys": {me.settings.channel: me[device_key].public},
        "addresses": _addresses_of_device(me),
        "networks": [],
        "endpoint": None,
        "port": 0,
        "relay": False,
    }
    yield Entry(text=f"{json.dumps(me.machine)}: {json.dumps(entry)}")


@device.configure
def write_for_device(me: Member[DeviceSettings]) -> Iterator[Resource]:
    """Yield the file for a device, as wg-quick(8) and the apps read it. What is behind NAT is reached by one relay."""
    channel = me.settings.channel
    lines = ",\n".join(export.value.text for export in me.exports(Entry, instance=me.instance))
    mesh = {name: peer for name, peer in json.loads(f"{{{lines}}}").items() if name != me.machine}
    behind = [each for peer in mesh.values() if peer["endpoint"] is None for each in peer["addresses"]]
    first_relay = min((name for name, peer in mesh.items() if peer["relay"]), default="")
    sections = []
    for name, peer in mesh.items():
        if peer["endpoint"] is not None:
            inside = peer["addresses"] + (behind if name == first_relay else [])
            host, port = peer["endpoint"], peer["port"] + CHANNELS.index(channel)
            sections += [
                f"\n[Peer]\n# {name}\nPublicKey = {peer['keys'][channel]}\n",
                f"AllowedIPs = {', '.join([*map(_alone, inside), *peer['networks']])}\n",
                f"Endpoint = {host_and_port(host, port, default=0)}\nPersistentKeepalive = 25\n",
            ]
    own = ", ".join(map(_alone, _addresses_of_device(me)))
    head = ("[Interface]\nPrivateKey = ", me[device_key].private, f"\nAddress = {own}\nMTU = {me.settings.mtu}\n")
    yield File(me.path("device.conf"), parts(*head, "".join(sections)), mode=0o600)


@peer.configure
def join(me: Member[PeerSettings]) -> Iterator[Resource]:
    """Yield the mesh as all know it, what only this machine knows, and the program that sets up its interfaces."""
    lines = ",\n".join(export.value.text for export in me.exports(Entry, instance=me.instance))
    mesh, names = _known_to_all(me.path("mesh.json"), me.name("peers"), lines)
    secrets = {channel: secret_file(me[key].private) for channel, key in keys.items()}
    program, *modules = _program(me.path("mesh"))
    own = {
        "machine": me.machine,
        "interfaces": _interface(me.instance),
        "prefix": f"{_prefix_of(me)}/64",
        "channel": me.settings.channel,
        "keys": {channel: secret.path for channel, secret in secrets.items()},
        "mtu": me.settings.mtu,
        "keepalive": me.settings.keepalive,
        "userspace": me.settings.userspace,
    }
    local = File(me.path("machine.json"), json.dumps(own, indent=2) + "\n")
    yield from _forward_filter(me)
    yield from (Package("wireguard-tools"), Package("iproute2", names={"fedora": "iproute", "rhel": "iproute"}))
    yield from (*secrets.values(), program, *modules, mesh, local, names)
    yield SystemdUnit(
        me.name("mesh.service"),
        unit_text(
            {
                "Unit": {
                    "Description": f"WireGuard mesh {me.instance}",
                    "Wants": "network-online.target",
                    "After": "network-online.target nss-lookup.target",
                },
                "Service": {
                    "Type": "oneshot",
                    "RemainAfterExit": "yes",
                    "ExecStart": exec_line([program.path, "up"]),
                    "ExecReload": exec_line([program.path, "up"]),
                    "ExecStopPost": exec_line([program.path, "down"]),  # also after a start that failed
                    "Restart": "on-failure",
                    "RestartSec": "30",
                },
                "Install": {"WantedBy": "multi-user.target"},
            }
        ),
        enabled=True,
        started=True,
        reload_on=(mesh, local, program, *modules, *secrets.values()),
    )
    refresh = service_unit(
        me.name("refresh.service"),
        [program.path, "up"],
        description=f"Look up the endpoints of the WireGuard mesh {me.instance} again",
        oneshot=True,
    )
    yield from (refresh, timer_unit(refresh, "*:0/5", description=f"Start {refresh.name}", random_delay=60))
    if me.settings.nat and len(me.members(relay)) > 1:
        yield service_unit(
            me.name("relays.service"),
            [program.path, "follow"],
            description=f"Choice of a relay that answers, for the WireGuard mesh {me.instance}",
            settings={"Restart": "always", "RestartSec": "5"},
            restart_on=[mesh, local, program, *modules],
        )
    if me.settings.userspace:
        yield Package("wireguard-go")
        yield SystemdUnit(
            me.name("tunnel@.service"),
            unit_text(
                {
                    "Unit": {"Description": f"WireGuard interface %i of the mesh {me.instance}"},
                    "Service": {
                        "Type": "exec",
                        "ExecStart": "wireguard-go -f %i",
                        "ExecStartPost": exec_line([program.path, "up", "--interface"]) + " %i",
                        "Restart": "always",
                        "RestartSec": "1",
                    },
                }
            ),
        )


def _forward_filter(me: Member[PeerSettings]) -> Iterator[Resource]:
    """Yield the rules of a peer that forwards packets; the program lets the kernel do so."""
    relays = me.members(relay)
    is_relay = any(each.machine == me.machine for each in relays)
    if is_relay or me.settings.networks:
        numbers = range(len(relays) + 1 if me.settings.nat else 1)
        name, settings = _interface(me.instance), me.settings
        interfaces = [f"{name}-{channel}{number or ''}" for channel in CHANNELS for number in numbers]
        text = rules(interfaces, settings.networks, relay=is_relay, may_connect=settings.networks_may_connect)
        yield from nftables_table(_table(me.instance), text)


@relay.configure
def pass_on(me: Member[NoSettings]) -> Iterator[Resource]:
    """Yield nothing more: mesh.json says which peers are relays, and the program of each does what follows."""
    as_peer = [each for each in me.members(peer) if each.machine == me.machine]
    if not as_peer:
        raise ValueError(f"{me.machine} is a relay of {me.instance}, but not a peer; let it play that role, too")
    if as_peer[0].settings.nat:
        raise ValueError(f"{me.machine} is a relay of {me.instance}, so it cannot be behind NAT")
    yield from ()


@service.machine
def tell_apart(members: tuple[Member[PeerSettings], ...]) -> Iterator[Resource]:
    """Yield nothing; refuse two meshes with the same port or IPv4 addresses on a machine."""
    peers = [each for each in members if each.role == peer.name and not each.settings.nat]
    for one, other in combinations(peers, 2):
        if abs(one.settings.port - other.settings.port) < len(CHANNELS):
            raise ValueError(
                f"{one.instance} and {other.instance} listen on the same ports; set `port` of one of them so that "
                f"they are {len(CHANNELS)} apart"
            )
    ranges = [
        (ip_network(each.settings.ipv4_range), each.instance)
        for each in members
        if each.role == peer.name and each.settings.ipv4_range
    ]
    for (first, its_mesh), (second, another) in combinations(ranges, 2):
        if first.overlaps(second):
            raise ValueError(f"`ipv4Range` of {its_mesh} and {another} overlap on a machine that is in both")
    yield from ()


@peer.check
def interfaces_are_up(me: Member[PeerSettings]) -> Iterator[Check]:
    """Check that the interfaces, keys and routes are as declared, and that another peer answers."""
    yield Check("interfaces are up", (me.path("mesh"), "status"))
    yield Check("another peer answers", (me.path("mesh"), "probe"), peers=True, timeout=60)


def _alone(address: str) -> str:
    """Return an address as a network with nothing else in it."""
    return f"{address}/{128 if ':' in address else 32}"


def _addresses_of_device(me: Member[DeviceSettings]) -> list[str]:
    peers = me.members(peer)
    if not peers:
        raise ValueError(f"{me.instance} has devices, but no peers that they could reach")
    return _addresses(peers[0], me.machine, me.settings.ipv4)


def _domain_of_peers(me: Member[DeviceSettings]) -> str:
    """Return the domain that all peers have, if they have the same."""
    domains = {each.settings.domain for each in me.members(peer)}
    return (domains.pop() if len(domains) == 1 else None) or me.instance


def _addresses(any_peer: Member[PeerSettings], machine: str, by_hand: str | None) -> list[str]:
    """Return the addresses of a machine in the mesh of a peer: that of IPv6, and that of IPv4 if it has one."""
    found = [address_of(_prefix_of(any_peer), machine)]
    if by_hand:
        return [*found, by_hand]
    if any_peer.settings.ipv4_range:
        ipv4 = known(str(any_peer[addresses][FILE])).get(machine)
        if ipv4 is None:
            raise ValueError(f"the var 'addresses' of {any_peer.instance} has no address for {machine}; add one")
        found.append(ipv4)
    return found


def _name_of(me: Member[PeerSettings]) -> str:
    return f"{me.machine}.{me.settings.domain or me.instance}"


def _prefix_of(me: Member[PeerSettings]) -> str:
    return str(me[network]["prefix"]).strip()


def _interface(instance: str) -> str:
    """Return how the names of an instance's interfaces begin."""
    if len(instance) <= _BASE:
        return instance
    return f"{instance[: _BASE - 5]}-{hashlib.sha256(instance.encode()).hexdigest()[:4]}"


def _table(instance: str) -> str:
    """Return the name of an instance's table of nftables, which can hold no hyphen."""
    if "-" not in instance and len(instance) <= _LONGEST:
        return f"wireguard_{instance}"
    return f"wireguard_{instance.replace('-', '_')[:_LONGEST]}_{hashlib.sha256(instance.encode()).hexdigest()[:8]}"


@lru_cache(maxsize=8)
def _known_to_all(path: str, block: str, lines: str) -> tuple[File, Block]:
    """Return what is the same on all peers, made once: mesh.json, and their names in /etc/hosts.

    Raises:
        ValueError: When two peers have the same address, or networks that overlap.
    """
    text = f"{{\n{lines}\n}}\n"
    peers = json.loads(text)
    owners = [(ip_network(each), name) for name, peer in peers.items() for each in peer["addresses"] + peer["networks"]]
    owners.sort(key=lambda pair: (pair[0].version, pair[0].network_address.packed, pair[0].prefixlen))
    for (one, owner), (other, another) in pairwise(owners):
        if one.version == other.version and one.overlaps(other):
            raise ValueError(f"{one} of {owner} and {other} of {another} overlap")
    names = {address: [peer["name"]] for peer in peers.values() for address in peer["addresses"]}
    inner = {*names, *(peer["name"] for peer in peers.values())}
    if looped := [name for name, peer in peers.items() if peer["endpoint"] in inner]:
        raise ValueError(f"the endpoint of {looped[0]} is in the mesh itself; set its `endpoint`")
    return File(path, text), hosts(block, names)


@lru_cache(maxsize=8)
def _program(path: str) -> tuple[File, ...]:
    """Return the program that runs on peers, made once; -B keeps Python from writing its byte code beside it."""
    first = "#!/usr/bin/python3 -B\nfrom program.mesh import main\n\nraise SystemExit(main())\n"
    folder = f"{path.rpartition('/')[0]}/program"
    modules = files(__package__) / "program"
    return (
        File(path, first, mode=0o755),
        *(File(f"{folder}/{name}.py", (modules / f"{name}.py").read_bytes()) for name in MODULES),
    )
