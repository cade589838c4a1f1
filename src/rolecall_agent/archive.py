"""The agent as the controller sends it: all its files in one text, and the command that starts it."""

from __future__ import annotations

import binascii
import functools
import hashlib
import json
from pathlib import Path
from typing import List, Optional, Tuple

_PACKAGE = Path(__file__).parent


@functools.lru_cache(maxsize=1)
def build() -> Tuple[str, bytes]:
    """Return the agent's digest and bytes, which are the same from a wheel and from a checkout.

    The bytes are the canonical JSON of path and text of every Python file; the digest is their SHA-256 in hex.
    """
    files = {
        f"{_PACKAGE.name}/{path.relative_to(_PACKAGE).as_posix()}": path.read_text(encoding="utf-8")
        for path in _PACKAGE.rglob("*.py")
    }
    # So that `python3 DIGEST boot` works without an installed package.
    files["__main__.py"] = "from rolecall_agent.__main__ import main\n\nraise SystemExit(main())\n"
    packed = json.dumps(files, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(packed).hexdigest(), packed


def command(root: Optional[str] = None, python: str = "python3") -> List[str]:
    """Return the argument vector that starts a conversation (`protocol`) on a machine.

    Its words contain no quote, backslash, exclamation mark or line break, so `shlex.join` works for sh, csh and fish.

    Args:
        root: Root directory of a recorded system; None for the machine itself, as root.
        python: The interpreter on the machine.
    """
    # -I and -S: nothing is imported from the user or the site, and it starts faster.
    return [python, "-I", "-S", "-c", bootstrap(), *([] if root is None else [root])]


@functools.lru_cache(maxsize=1)
def bootstrap() -> str:
    """Return the `bootstrap` module as one line of Python."""
    source = binascii.b2a_base64((_PACKAGE / "bootstrap.py").read_bytes(), newline=False).decode()
    return f'import binascii;exec(binascii.a2b_base64("{source}"))'
