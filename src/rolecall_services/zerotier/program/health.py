"""Whether the daemon is as declared, and whether its networks work."""

from __future__ import annotations

import json
import subprocess
import time
from ipaddress import ip_interface
from typing import TYPE_CHECKING

from . import controller
from .api import Api, Silence
from .declared import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from .declared import Declared, Json

START = 60.0
"""Seconds for the daemon to answer after its start."""
_SETTLE = 5.0
"""Seconds to load networks and moons after the daemon answers."""
_JOIN = 75.0
"""Seconds to join: a member asks its controller once a minute."""
_PAUSE = 0.5
_NEVER_HEARD = "-1.-1.-1"


def require_own(api: Api, declared: Declared) -> None:
    """Require that the daemon answers, and runs with the identity of this machine.

    Raises:
        Problem: When it does not.
    """
    address = (api.wait(START) or {}).get("address")
    if address != declared.address:
        raise Problem(f"the daemon runs with the address {address}, not {declared.address}; restart {declared.daemon}")


def status(api: Api, declared: Declared) -> list[str]:
    """Return what differs from what is declared, as far as this machine alone shows it. Raises as `require_own`."""
    require_own(api, declared)
    return [*_settled(lambda: _missing(api, declared), _SETTLE), *_differences(api, declared)]


def probe(api: Api, declared: Declared, network: str) -> list[str]:
    """Return why a network does not work yet. Raises as `require_own`."""
    require_own(api, declared)
    if network not in declared.expected:
        return [f"the network {network} is not declared"]
    return _settled(lambda: _lacks(api, declared, network), _JOIN)


def _settled(problems: Callable[[], list[str]], seconds: float) -> list[str]:
    """Return the problems once there are none, or at the end of the time."""
    until = time.monotonic() + seconds
    while True:
        try:
            found = problems()
        except Silence as silence:
            found = [f"the daemon does not answer: {silence}"]
        if not found or time.monotonic() > until:
            return found
        time.sleep(_PAUSE)


def _missing(api: Api, declared: Declared) -> list[str]:
    """Return which networks and moons the daemon has not loaded."""
    found = []
    listed = _listed(api)
    for network in declared.networks:
        there = listed.get(network)
        if there is None:
            found.append(f"the network {network} is not listed; can the user zerotier-one open /dev/net/tun?")
        elif there.get("portError"):
            found.append(f"the interface of the network {network} has the error {there['portError']}")
    moons = {f"{int(each['id'], 16):016x}" for each in api.get("/moon") or () if not each.get("waiting")}
    return [*found, *(f"the moon {moon} is not loaded" for moon in sorted(declared.moons.keys() - moons))]


def _differences(api: Api, declared: Declared) -> list[str]:
    """Return which files and records are not as declared."""
    found = []
    for network, permissions in declared.networks.items():
        if declared.home.read(f"networks.d/{network}.local.conf") != permissions.encode():
            found.append(f"the network {network} may change other things on this machine; restart {declared.daemon}")
    if declared.local is not None and _read(declared) != declared.local:
        found.append(f"local.conf is not as declared; restart {declared.daemon}")
    if declared.controlled:
        if not api.has_controller():
            return [*found, controller.NO_CONTROLLER]
        found += [change.what for change in controller.changes(api, declared)]
    return found


def _lacks(api: Api, declared: Declared, network: str) -> list[str]:
    entry = declared.expected[network]
    there = _listed(api).get(network, {})
    if there.get("status") != "OK":
        return [f"the network {network} is not joined: {there.get('status', 'it is not listed')}"]
    # What the daemon lists as assigned is what the controller assigned, not what is in use.
    device = there.get("portDeviceName") or entry["device"]
    addresses = _addresses(device)
    found = [f"{device} lacks the address {each}" for each in entry["addresses"] if each not in addresses]
    declared_ones = {*entry["addresses"]}
    ipv4 = [each for each in addresses if ip_interface(each).version == 4 and each not in declared_ones]  # noqa: PLR2004 - of IP
    if entry["assigned"] and not ipv4:
        found.append(f"{device} has no IPv4 address")
    return found


def unheard(api: Api, declared: Declared, network: str) -> list[str]:
    """Return a note if the network's controller was not heard: a member that has joined works without it, too."""
    host = network[: len(declared.address)]
    peers = {each["address"]: each for each in api.get("/peer") or ()}
    if host != declared.address and peers.get(host, {}).get("version", _NEVER_HEARD) == _NEVER_HEARD:
        return [f"the controller {host} was not heard since {declared.daemon} has started"]
    return []


def _listed(api: Api) -> dict[str, Json]:
    return {each["id"]: each for each in api.get("/network") or ()}


def _addresses(device: str) -> set[str]:
    """Return the addresses of an interface, with prefixes."""
    argv = ["ip", "-json", "address", "show", "dev", device]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout or "[]") if done.returncode == 0 else []
    each = [one for link in found for one in link.get("addr_info", ()) if one]
    return {f"{one['local']}/{one['prefixlen']}" for one in each}


def _read(declared: Declared) -> object:
    try:
        return json.loads(declared.home.read("local.conf") or b"null")
    except ValueError:
        return None
