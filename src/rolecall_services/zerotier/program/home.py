"""The files of the daemon's home folder: placed before each of its starts, since most are read only then.

The daemon rewrites some of them, and makes all of them its user's. So they are not compared with what is declared.
"""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING

from . import controller
from .api import Api, Silence
from .declared import Problem

if TYPE_CHECKING:
    from .declared import Declared

_NETWORK = re.compile(r"[0-9a-fA-F]{16}(?=\.conf\Z|\.json\Z)")
_OURS = ("identity.secret", "identity.public")
_LOCAL = "local.conf"
_SECONDS = 10


def admit(declared: Declared) -> None:
    """Verify, before units change, that the daemon of this machine can be managed, and revoke who has left.

    A daemon tells only members that it has heard since its start. So nobody may be revoked after a restart alone.

    Raises:
        Problem: When it cannot be managed.
    """
    _require_no_other(declared)
    if declared.controlled and _runs(declared.daemon):
        api = Api(declared.home)
        api.wait(_SECONDS)
        try:
            there = api.has_controller()
        except Silence:
            return  # not ready yet: `reconcile` waits for it
        if not there:
            raise Problem(controller.NO_CONTROLLER)
        controller.revoke(api, declared)


def place(declared: Declared) -> None:
    """Place all files that are declared, and remove those that are no longer.

    Raises:
        Problem: When the machine has no identity of ours, or another one that is in use.
    """
    secret, home, state = declared.identity(), declared.home, declared.state
    if not state.exists:
        _require_no_other(declared)
        state.fresh = home.is_unused()
        for name in _OURS:
            state.keep_original(name, home.read(name))
    if home.read("identity.secret.saved_after_collision") == secret:
        raise Problem(
            f"a root says that another node has the address {declared.address}; "
            "make a new identity: `rolecall vars rotate --force MACHINE/zerotier.identity`"
        )
    gone = state.networks - declared.networks.keys(), state.moons - declared.moons.keys()
    # First, so that nothing is forgotten when this is interrupted.
    state.networks |= declared.networks.keys()
    state.moons |= declared.moons.keys()
    state.controlled |= declared.controlled.keys()
    state.save()
    if home.write("identity.secret", secret):
        _forget(declared, state.networks, set())  # what the daemon keeps of them was sent to the other identity
    home.write("identity.public", declared.public.encode())
    _forget(declared, *gone)
    _place_local(declared)
    for network, permissions in declared.networks.items():
        if home.read(f"networks.d/{network}.conf") is None:  # what the daemon has made of it stays
            home.write(f"networks.d/{network}.conf", b"")
        home.write(f"networks.d/{network}.local.conf", permissions.encode())
    for moon, content in declared.moons.items():
        home.write(f"moons.d/{moon}.moon", content)
    controller.place(home, declared)
    state.networks, state.moons = set(declared.networks), set(declared.moons)
    state.save()


def _place_local(declared: Declared) -> None:
    """Place local.conf, or put back what was there before it was ours."""
    home, state = declared.home, declared.state
    if declared.local is not None:
        if not state.local:
            state.keep_original(_LOCAL, home.read(_LOCAL))
            state.local = True
            state.save()
        home.write(_LOCAL, json.dumps(declared.local).encode())
    elif state.local:
        _restore(declared, _LOCAL)
        state.local = False


def leave(declared: Declared) -> None:
    """Take back everything; a daemon that runs goes on, and has its former identity from its next start on.

    Raises:
        Problem: When a running daemon does not do it.
    """
    home, state = declared.home, declared.state
    if not state.exists:
        return
    running = _runs(declared.daemon)
    if running:
        api = Api(home)
        api.wait(_SECONDS)
        declared.controlled.clear()
        controller.reconcile(api, declared)
        for network in state.networks:
            api.ask("DELETE", f"/network/{network}")
        for moon in state.moons:
            api.ask("DELETE", f"/moon/{moon[-10:]}")  # the API takes as many digits as an address has
    else:
        controller.remove(home, state.controlled)
    _forget(declared, state.networks, state.moons)
    for name in (*_OURS, *([_LOCAL] if state.local else [])):
        _restore(declared, name)
    if state.fresh and not running and not _joined(declared):
        home.clear()
    state.forget()


def _forget(declared: Declared, networks: set[str], moons: set[str]) -> None:
    for network in networks:
        declared.home.remove(f"networks.d/{network}.conf")
        declared.home.remove(f"networks.d/{network}.local.conf")
    for moon in moons:
        declared.home.remove(f"moons.d/{moon}.moon")


def _restore(declared: Declared, name: str) -> None:
    original = declared.state.original(name)
    if original is None:
        declared.home.remove(name)
    else:
        declared.home.write(name, original)


def _joined(declared: Declared) -> list[str]:
    """Return the ids of all networks that the daemon has joined or controls."""
    names = declared.home.names("networks.d") + declared.home.names("controller.d/network")
    return sorted({found[0].lower() for name in names if (found := _NETWORK.match(name))})


def _require_no_other(declared: Declared) -> None:
    """Require that no other identity is in use, whose networks would be lost with it."""
    there = (declared.home.read("identity.secret") or b"")[:10].decode(errors="replace")
    if declared.state.exists or there in {"", declared.address}:
        return
    if joined := _joined(declared):
        raise Problem(
            f"this machine uses ZeroTier already, with the address {there} and the networks {', '.join(joined)}; keep "
            "that identity with `rolecall vars set MACHINE/zerotier.identity secret=identity.secret "
            "public=identity.public`, or leave these networks"
        )


def _runs(daemon: str) -> bool:
    try:
        return subprocess.run(["systemctl", "--quiet", "is-active", daemon], check=False).returncode == 0
    except OSError:  # no systemd, as below another root directory
        return False
