"""Networks of ZeroTier with a controller of one's own: every identity, network and address is known in advance.

A machine has one daemon with one identity, however many networks it joins or controls. So what a machine needs is
declared once for all its roles, in `node`. A program on the machine places the daemon's files before each start, and
brings a controller to what is declared by the daemon's own API (see `program/`).
"""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from ipaddress import ip_network
from itertools import combinations
from typing import Any

from rolecall.service import (
    Action,
    Check,
    File,
    Member,
    Network,
    OpenPort,
    Package,
    Resource,
    Service,
    Unit,
    apt_repository,
    exec_line,
    unit_text,
)
from rolecall_services.zerotier.definitions import Peer, Plan, definition
from rolecall_services.zerotier.generators import Moon, MoonFile, NetworkId, Node, Root, ZeroTierIdentity
from rolecall_services.zerotier.networks import device_name, mac, rfc4193
from rolecall_services.zerotier.permissions import local_conf
from rolecall_services.zerotier.settings import ControllerSettings, MoonSettings, NodeSettings, PeerSettings
from rolecall_services.zerotier.worlds import MOST_ROOTS

service = Service("zerotier", description="Networks of ZeroTier with a controller of your own.")

controller = service.role(
    "controller", ControllerSettings, description="Has the network, and says who is in it.", minimum=1, maximum=1
)
peer = service.role("peer", PeerSettings, description="Joins the network.")
moon = service.role(
    "moon", MoonSettings, description="A root at which nodes find each other, as at public ones.", maximum=MOST_ROOTS
)

identities = {
    role.name: role.var(
        "identity",
        ZeroTierIdentity(),
        scope="machine",
        binds="the machine's addresses follow from it, and the ids of the networks that it controls",
    )
    for role in (controller, peer, moon)
}
network_id = controller.var(
    "network", NetworkId(), needs=[identities["controller"]], binds="all members have joined the network with this id"
)


def _roots(settings: Mapping[str, Mapping[str, Any]]) -> object:
    """Return what a moon is generated for."""
    return {machine: each.stable_endpoints for machine, each in settings[moon.name].items()}


moon_file = moon.var(
    "moon",
    Moon(),
    scope="shared",
    needs=[Root],
    instance_validation=_roots,
    extends=True,
    binds="a node takes a change of its moon only from the key that has signed it",
)

PORT = 9993
PRIORITY = 800
"""Below that of a mesh of WireGuard: until two nodes have found each other, packets take the way by a root."""
HOME = "/var/lib/zerotier-one"
DAEMON = "zerotier-one.service"
FOLDER = "/etc/rolecall/zerotier.node"  # no instance has a dot in its name
PROGRAM = f"{FOLDER}/zerotier"
UNIT = "rolecall-zerotier.service"
MODULES = ("__init__", "api", "controller", "declared", "health", "home", "tree", "zerotier")
REPOSITORY = "https://download.zerotier.com/debian"
_START = 90
"""Seconds for a check; the program itself waits 60 for the daemon, and 75 more for a network, and then says why."""
_EARLY = "packages"
"""The package starts the daemon when it is installed, so all that the daemon reads must be there before."""


@moon.exports(Root, needs=[identities["moon"]])
def introduce(me: Member[MoonSettings]) -> Iterator[Root]:
    """Yield what the moon says about a root."""
    yield Root(
        identity=me[identities["moon"]].identity.public,
        endpoints=tuple(me.settings.stable_endpoints),
    )


@peer.exports(Network, needs=[identities["peer"], network_id])
def offer_network(me: Member[PeerSettings]) -> Iterator[Network]:
    """Yield how the machine is reached in the network: its address of RFC 4193, which every member accepts."""
    network, _ = _plan(me)
    address = rfc4193(network, me[identities["peer"]].identity.address.hex()).ip
    yield Network(address=str(address), priority=PRIORITY, purpose="ZeroTier")


@controller.exports(OpenPort)
def name_port(_: Member[ControllerSettings]) -> Iterator[OpenPort]:
    """Yield the port at which members must reach it."""
    yield OpenPort(protocol="udp", port=PORT)


@moon.exports(OpenPort)
def name_port_of_root(_: Member[MoonSettings]) -> Iterator[OpenPort]:
    """Yield the port at which nodes must reach it."""
    yield OpenPort(protocol="udp", port=PORT)


@service.machine
def node(members: tuple[Member[NodeSettings], ...]) -> Iterator[Resource]:
    """Yield what a machine needs for all its roles in all instances."""
    _require_own_networks(members)
    yield from _package(members)
    program = [*_program()]
    me = members[0]
    own = me[identities[me.role]]
    secret = File(own.secret.path, own.secret, mode=0o400, needed_for=_EARLY)
    declared = File(f"{FOLDER}/node.json", _json(_node(own, secret.path, members)), needed_for=_EARLY)
    expected = File(f"{FOLDER}/expected.json", _json(_expected(own, members)), needed_for=_EARLY)
    controlled = File(f"{FOLDER}/controller.json", _json(_controlled(members)), needed_for=_EARLY)
    start = f"[Service]\nExecStartPre={exec_line([PROGRAM, 'place'])}\n"
    drop_in = File(f"/etc/systemd/system/{DAEMON}.d/rolecall.conf", start, needed_for=_EARLY)
    moons = [File(f"{FOLDER}/{each.id}.moon", each.content, needed_for=_EARLY) for each in _moons(members)]
    yield from (*program, secret, declared, expected, controlled, drop_in, *moons)
    # It runs before any unit is started, and its undo before anything is removed.
    yield Action("zerotier", _if_there("admit"), undo=_if_there("leave"))
    yield Action("zerotier-change", _if_there("admit"), when_changed=(declared, controlled, *moons))
    yield Unit(DAEMON, enabled=True, started=True, restart_on=(secret, declared, *moons))
    yield _reconciliation(controlled, *program)


@controller.check
def network_is_as_declared(_: Member[ControllerSettings]) -> Iterator[Check]:
    """Check that the daemon has the network, its members and what they may do; mend what was changed by hand."""
    yield Check("the network is as declared", (PROGRAM, "reconcile"), timeout=_START)


@moon.check
def moon_is_loaded(_: Member[MoonSettings]) -> Iterator[Check]:
    """Check that the daemon knows the moon whose root it is."""
    yield Check("the moon is loaded", (PROGRAM, "status"), timeout=_START)


@peer.check
def network_is_joined(me: Member[PeerSettings]) -> Iterator[Check]:
    """Check that the daemon knows the network, and that the controller gave this machine its addresses."""
    yield Check("the daemon is as declared", (PROGRAM, "status"), timeout=_START)
    network, _ = _plan(me)
    yield Check("the network is joined", (PROGRAM, "probe", network), peers=True, timeout=2 * _START)


def _require_own_networks(members: tuple[Member[Any], ...]) -> None:
    """Refuse instances with networks that overlap: packets could take the way of one only.

    Raises:
        ValueError: When two overlap.
    """
    joined = {me.instance: _plan(me)[1] for me in members if me.role == peer.name}
    owners = [(ip_network(target), name) for name, plan in joined.items() for target, _ in plan.routes]
    for (one, owner), (other, another) in combinations(owners, 2):
        if owner != another and one.version == other.version and one.overlaps(other):
            raise ValueError(f"{one} of {owner} and {other} of {another} overlap on a machine that is in both")


def _package(members: tuple[Member[NodeSettings], ...]) -> Iterator[Resource]:
    """Yield the daemon's package, and where it comes from, unless the machine has it already."""
    given = [member.settings for member in members]
    if any(each.package == "installed" for each in given):
        return
    releases = sorted({each.release for each in given if "release" in each.model_fields_set}) or [given[0].release]
    if len(releases) > 1:
        raise ValueError(f"several values of `release` for one machine: {', '.join(releases)}")
    [release] = releases
    yield from apt_repository(
        "zerotier", uri=f"{REPOSITORY}/{release}", suites=[release], components=["main"], key=_vendor_key()
    )
    yield Package("zerotier-one")


def _node(own: Node, secret: str, members: tuple[Member[Any], ...]) -> dict[str, Any]:
    """Return what the daemon reads at its start; a change of it restarts the daemon."""
    permissions = {}
    for me in members:
        if me.role == peer.name:
            network, plan = _plan(me)
            if network in permissions:
                raise ValueError(f"two instances have the network {network}; rotate `network` of one of them")
            permissions[network] = local_conf(
                network, own.identity.address.hex(), me.settings.ip_ranges, has_sixplane=plan.has_sixplane
            )
    return {
        "address": own.identity.address.hex(),
        "public": own.identity.public,
        "secret": secret,
        "home": HOME,
        "daemon": DAEMON,
        "local": _local(members),
        "networks": permissions,
    }


def _local(members: tuple[Member[NodeSettings], ...]) -> dict[str, Any] | None:
    """Return the content of local.conf; None leaves alone what somebody may have written."""
    settings: dict[str, Any] = {}
    if any(member.role in {controller.name, moon.name} for member in members):
        # A port that was random keeps those that have found it from this node for minutes after a restart.
        settings |= {"allowSecondaryPort": False, "portMappingEnabled": False}
    if avoided := {prefix for member in members for prefix in member.settings.avoid_interfaces}:
        settings["interfacePrefixBlacklist"] = sorted(avoided)
    return {"settings": settings} if settings else None


def _expected(own: Node, members: tuple[Member[Any], ...]) -> dict[str, Any]:
    """Return what a member has of each network once it is joined, for the checks."""
    networks = {}
    for me in members:
        if me.role == peer.name:
            network, plan = _plan(me)
            this = Peer(own.identity, me.settings)
            networks[network] = {
                "instance": me.instance,
                "device": device_name(network),
                "mac": mac(network, own.identity.address.hex()),
                "addresses": [*map(str, plan.addresses(this))],
                "assigned": plan.assigns_ipv4(this),
            }
    return networks


def _moons(members: tuple[Member[Any], ...]) -> list[MoonFile]:
    """Return the moons of the instances of a machine; all nodes need the files, the roots, too."""
    instances = {member.instance: member for member in members}
    roots = [root for me in instances.values() for root in me.members(moon)[:1]]
    return [root[moon_file] for root in roots]


def _plan(me: Member[Any]) -> tuple[str, Plan]:
    """Return the id of an instance's network, and its plan."""
    [host] = me.members(controller)
    network = host[network_id]
    return network, Plan.of(network, host.settings)


def _controlled(members: tuple[Member[Any], ...]) -> dict[str, Any]:
    """Return the networks that this machine controls, by id."""
    networks: dict[str, Any] = {}
    for me in members:
        if me.role == controller.name:
            network, plan = _plan(me)
            peers = {each.machine: Peer(each[identities["peer"]].identity, each.settings) for each in me.members(peer)}
            if network in networks:
                raise ValueError(f"two instances have the network {network}; rotate `network` of one of them")
            networks[network] = definition(me.instance, me.settings, peers, plan)
    return networks


def _reconciliation(controlled: File, *program: File) -> Unit:
    """Return the unit that brings the daemon to what is declared, at each of its starts and at each change."""
    sections = {
        "Unit": {
            "Description": "What Rolecall declares for ZeroTier",
            "After": DAEMON,
            "Requires": DAEMON,
            "PartOf": DAEMON,
        },
        "Service": {
            "Type": "oneshot",
            "RemainAfterExit": "yes",
            "ExecStart": exec_line([PROGRAM, "reconcile"]),
            "ExecReload": exec_line([PROGRAM, "reconcile"]),
            "Restart": "on-failure",
            "RestartSec": "30",
        },
        "Install": {"WantedBy": DAEMON},
    }
    return Unit(UNIT, unit_text(sections), enabled=True, started=True, reload_on=(controlled, *program))


def _if_there(command: str) -> tuple[str, ...]:
    """Return how to run a command of the program unless it is missing, as while an undeclaration is undone."""
    return ("sh", "-c", '! [ -e "$1" ] || exec "$@"', "sh", PROGRAM, command)


def _json(value: object) -> str:
    return json.dumps(value, indent=1) + "\n"


@cache
def _program() -> tuple[File, ...]:
    """Return the program's files; -B keeps Python from writing its byte code beside them."""
    first = "#!/usr/bin/python3 -B\nfrom program.zerotier import main\n\nraise SystemExit(main())\n"
    modules = files(__package__) / "program"
    return (
        File(PROGRAM, first, mode=0o755, needed_for=_EARLY),
        *(
            File(f"{FOLDER}/program/{name}.py", (modules / f"{name}.py").read_bytes(), needed_for=_EARLY)
            for name in MODULES
        ),
    )


@cache
def _vendor_key() -> str:
    """Return the key that signs the vendor's packages.

    From doc/contact@zerotier.com.gpg of the source code of ZeroTierOne; its fingerprint is
    74A5E9C458E1A431F1DA57A71657198823E52A61.
    """
    return (files(__package__) / "vendor.asc").read_text()
