"""Set up the interfaces of a WireGuard mesh. Installed by Rolecall; reads mesh.json and machine.json.

    mesh up [--interface NAME] | down | status | probe | follow

``up`` brings interfaces, keys, peers, addresses and routes to what is declared. ``status`` says what differs. ``probe``
asks whether another peer answers. ``follow`` runs all the time on machines behind NAT, and moves the routes to other
such machines to the first relay that answers.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from . import present
from .changes import differs, down, set_routes, up
from .declared import Mesh
from .present import HOME, chosen, endpoints, is_ours, links, peers_of, routes_of

if TYPE_CHECKING:
    from collections.abc import Iterator

SILENCE = 3.0  # seconds without an answer after which a relay counts as gone
PERIOD = 1.0  # seconds between two questions
AT_ONCE = 20  # peers that are asked at the same moment
SETTLE = 30.0  # seconds for another peer to answer, which may switch later than this one


@contextlib.contextmanager
def alone(mesh: Mesh) -> Iterator[None]:
    """Keep other runs of this program from changing the same interfaces."""
    with (present.STATE / f"rolecall-{mesh.own['interfaces']}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


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
                (present.STATE / f"rolecall-{mesh.own['interfaces']}.relay").write_text(alive[0])
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
