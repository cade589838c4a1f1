"""The agent as the controller sends it: all its files in one text, and the command that starts it."""

from __future__ import annotations

import binascii
import functools
import hashlib
import zlib
from pathlib import Path
from typing import List, Tuple

from rolecall_agent.bootstrap import pack
from rolecall_agent.frames import meeting_point
from rolecall_agent.systems.commands import PYTHON_OPTIONS

_PACKAGE = Path(__file__).parent


@functools.lru_cache(maxsize=1)
def build() -> Tuple[str, bytes]:
    """Return the agent's digest and bytes, which are the same from a wheel and from a checkout.

    The bytes are every Python file, as `bootstrap.pack` joins them; the digest is their SHA-256 in hex.
    """
    files = {
        f"{_PACKAGE.name}/{path.relative_to(_PACKAGE).as_posix()}": path.read_bytes() for path in _PACKAGE.rglob("*.py")
    }
    # So that `python3 DIGEST boot` works without an installed package.
    files["__main__.py"] = b"from rolecall_agent.__main__ import main\n\nraise SystemExit(main())\n"
    packed = pack(files)
    return hashlib.sha256(packed).hexdigest(), packed


def command(root: str, python: str) -> List[str]:
    """Return the argument vector that starts a conversation (`protocol`) with a recorded system.

    Args:
        root: Its root directory.
        python: The interpreter.
    """
    options = [option for option in PYTHON_OPTIONS if option != "-B"]  # no loss of power matters there
    return [python, *options, "-c", _as_line("bootstrap"), build()[0], root]


def relay_command(module: str = "wire") -> List[str]:
    """Return the argument vector that starts a conversation (`protocol`) on a machine, as any user that may use sudo.

    Its words contain no quote, backslash, exclamation mark or line break, so `shlex.join` works for sh, csh and fish.

    Args:
        module: The module of the agent that answers: `wire`, or `confirm`.
    """
    return ["python3", *PYTHON_OPTIONS, "-c", _as_line("relay"), _as_line("bootstrap"), build()[0], module]


def join_command(token: str) -> List[str]:
    """Return the argument vector that continues a conversation over a new connection, if the agent is still there."""
    return ["python3", *PYTHON_OPTIONS, "-c", _as_line("relay"), meeting_point(token)]


def supervise_command(words: List[str]) -> List[str]:
    """Return the argument vector that runs a command as root, and ends it when the connection ends."""
    return ["python3", *PYTHON_OPTIONS, "-c", _as_line("supervisor"), *words]


@functools.lru_cache(maxsize=4)
def _as_line(module: str) -> str:
    """Return a module of the agent as one line of Python."""
    packed = zlib.compress((_PACKAGE / f"{module}.py").read_bytes(), 9)
    source = binascii.b2a_base64(packed, newline=False).decode()
    # One expression: systemd warns of an escaped semicolon in a unit that it has written itself.
    return f'exec(__import__("zlib").decompress(__import__("binascii").a2b_base64("{source}")))'
