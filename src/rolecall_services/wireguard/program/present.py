"""What there is: interfaces, peers and routes of this machine, and what earlier runs have chosen and set."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from .declared import Peer, prefixed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .declared import Json, Mesh

HOME = Path(__file__).resolve().parent.parent  # with mesh.json and machine.json
STATE = Path("/run")
METRIC = "51820"  # of all routes: one that the machine has without the mesh comes first, and is never replaced


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


def is_ours(mesh: Mesh, name: str) -> bool:
    """Return whether an interface has a name of this mesh."""
    return bool(re.fullmatch(re.escape(mesh.own["interfaces"]) + r"-[ab]\d?", name))


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
