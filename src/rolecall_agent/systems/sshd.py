"""What sshd is configured to do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Callable, Dict, List, Tuple

from rolecall_agent.errors import Failure
from rolecall_agent.systems import commands

if TYPE_CHECKING:
    from rolecall_agent.system import Ask

KEYS_FILE = ".ssh/authorized_keys"
"""The file of a user's keys, below their home, unless sshd is configured otherwise."""
_CONFIGURATION = "/etc/ssh/sshd_config"
_FOLDER = f"{_CONFIGURATION}.d"
# sshd_config(5); Debian's own line includes only what is read here.
_SETS_FILE = re.compile(
    rb"^[ \t]*(?:authorizedkeysfile\b|include\b(?![ \t]+/etc/ssh/sshd_config\.d/\*\.conf[ \t]*$))",
    re.IGNORECASE | re.MULTILINE,
)
_UNKNOWN = b"Include"  # which may set it


class Sshd:
    """The configuration of sshd.

    Args:
        ask: `System.ask`.
        read: `System.read`.
        names: `System.names`.
        resolve: `System.resolve`.
    """

    def __init__(
        self,
        ask: Ask,
        read: Callable[[str], bytes],
        names: Callable[[str], List[str]],
        resolve: Callable[[str], str],
    ) -> None:
        self._ask = ask
        self._read = read
        self._names = names
        self._resolve = resolve
        self._known: Dict[Tuple[bytes, str], str] = {}

    def keys_file(self, user: str) -> str:
        """Return the first file with keys that may log in as a user: a pattern of sshd_config(5).

        Raises:
            Failure: When sshd does not say.
        """
        configuration = self._configuration()
        if not _SETS_FILE.search(configuration) or not commands.is_installed("sshd"):
            return KEYS_FILE
        if (configuration, user) not in self._known:
            connection = f"user={user},host=localhost,addr=127.0.0.1,laddr=127.0.0.1,lport=22"
            status, output = self._ask(["sshd", "-T", "-C", connection], errors=True)
            found = re.search(r"^authorizedkeysfile (\S+)", output, re.MULTILINE)
            if status or not found:
                raise Failure(f"sshd does not tell where the keys of user {user} are", output[-2000:])
            self._known[configuration, user] = found[1]
        return self._known[configuration, user]

    def _configuration(self) -> bytes:
        """Return the content of all files, or `_UNKNOWN` if one cannot be read: sshd follows links of any user."""
        try:
            names = self._names(self._resolve(_FOLDER))
            files = [_CONFIGURATION, *(f"{_FOLDER}/{name}" for name in names if name.endswith(".conf"))]
            return b"\n".join(map(self._content, files))
        except (Failure, OSError):
            return _UNKNOWN

    def _content(self, path: str) -> bytes:
        try:
            return self._read(self._resolve(path))
        except FileNotFoundError:
            return b""
