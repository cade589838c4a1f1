"""Bring what there is to what is declared, and touch nothing else: sessions go on, and no packet is lost."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import present
from .declared import prefixed
from .present import HOME, METRIC, chosen, endpoints, is_ours, links, peers_of, routes_of, run

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .declared import Interface, Json, Mesh, Peer

ONLINE = 10.0  # seconds to wait for an interface of wireguard-go


def up(mesh: Mesh, only: str = "") -> None:
    """Bring everything to what is declared."""
    wanted = mesh.interfaces()
    known = endpoints(mesh)
    for interface in wanted:
        if only in {"", interface.name}:
            create(mesh, interface.name)
            bring(mesh, interface, {} if only else known.get(interface.name, {}))
        known[interface.name] = {peer.key: peer.endpoint for peer in interface.peers.values() if peer.endpoint}
    (present.STATE / f"rolecall-{mesh.own['interfaces']}.endpoints").write_text(json.dumps(known))
    ours = [name for name in links() if is_ours(mesh, name)]
    if mesh.forwards():
        forward()
    set_routes(ours, mesh.routes(chosen(mesh)), add_only=bool(only))
    if not only:
        for name in ours:
            if name not in {interface.name for interface in wanted}:
                remove(name)


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
