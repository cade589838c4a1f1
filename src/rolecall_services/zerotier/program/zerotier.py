"""Place the files of ZeroTier's daemon, and bring its controller to what is declared. Installed by Rolecall.

    zerotier [--root DIR] admit | place | reconcile | status | probe NETWORK | leave

admit       verifies, before units change, that the daemon can be managed, and revokes who has left
place       places identity, join files, permissions, moons and records; runs before each start of the daemon
reconcile   brings the controller's networks and members to what is declared, and verifies it
status      says what differs from what is declared
probe       waits until a network is joined, and its addresses are in use
leave       takes everything back
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from pathlib import Path

from . import controller, health, home
from .api import Api, Silence
from .declared import Declared, Problem

_FOLDER = Path(__file__).resolve().parents[1]
_PAUSE = 0.5


def reconcile(declared: Declared) -> list[str]:
    """Bring the daemon to what is declared; return what has changed.

    Raises:
        Problem: When that fails.
    """
    api = Api(declared.home)
    health.require_own(api, declared)
    until = time.monotonic() + health.START
    while True:
        try:
            return controller.reconcile(api, declared)
        except Silence as silence:
            if time.monotonic() > until:
                raise Problem(f"the daemon does not answer: {silence}") from None
        time.sleep(_PAUSE)


def run(command: str, network: str, folder: Path, root: Path) -> int:
    """Run one command, print what it finds, and return the exit status."""
    problems: list[str] = []
    try:
        declared = Declared(folder, root)
        if command == "reconcile":
            for change in reconcile(declared):
                print(f"mended: {change}")
        elif command == "status":
            problems = health.status(Api(declared.home), declared)
        elif command == "probe":
            api = Api(declared.home)
            problems = health.probe(api, declared, network)
            for note in [] if problems else health.unheard(api, declared, network):
                print(f"note: {note}")
        else:
            {"admit": home.admit, "place": home.place, "leave": home.leave}[command](declared)
    except (Problem, OSError, Silence) as error:
        problems = [str(error)]
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return int(bool(problems))


def main() -> int:
    """Run the command on the command line, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("/"), help="directory below which all paths are")
    parser.add_argument("command", choices=("admit", "place", "reconcile", "status", "probe", "leave"))
    parser.add_argument("network", nargs="?", default="", help="id of a network, for probe")
    given = parser.parse_args()
    with contextlib.suppress(BrokenPipeError):
        return run(given.command, given.network, _FOLDER, given.root)
    return 1
