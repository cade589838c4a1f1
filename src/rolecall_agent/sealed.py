"""The secret values that a machine stores for its next boot: encrypted if systemd can, else readable only by root.

``sealed/VERSION`` is a line of JSON followed by the value: a credential of systemd-creds(1), encrypted with a key of
the machine (and of its TPM if it has one), or plain text. ``size`` and ``mac`` in the line (HMAC-SHA-256 with
``mac.key``) show whether a file still contains the value, without decrypting it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
from typing import TYPE_CHECKING, Any, Container, Dict, Iterable, Set, Tuple

from rolecall_agent.errors import Failure

if TYPE_CHECKING:
    from rolecall_agent.content import Secret
    from rolecall_agent.system import System

_VERSION = re.compile(r"[A-Za-z0-9_-]{1,128}\Z")
_KEY_SIZE = 32


class Sealed:
    """Secret values by version. Every method raises OSError when the disk fails.

    Args:
        system: The machine.
        home: The state directory.
    """

    def __init__(self, system: System, home: str) -> None:
        self._system = system
        self._folder = f"{home}/sealed"
        self._key_file = f"{home}/mac.key"
        self._key = b""

    def versions(self) -> Set[str]:
        """Return the versions that are stored."""
        return set(self._system.names(self._folder))

    def add(self, version: str, value: bytes) -> None:
        """Store a value.

        Raises:
            Failure: When the version is not usable as a file name.
        """
        if not _VERSION.match(version):
            raise Failure(f"invalid version of a secret: {version!r}")
        credential = self._system.seal(version, value)
        head = {"size": len(value), "mac": self._mac(value), "credential": credential is not None}
        stored = value if credential is None else credential
        self._system.write(f"{self._folder}/{version}", json.dumps(head).encode() + b"\n" + stored)

    def open(self, version: str) -> bytes:
        """Return a value.

        Raises:
            FileNotFoundError: When it is not stored.
            Failure: When it cannot be decrypted, or is damaged.
        """
        head, stored = self._read(version)
        value = self._system.unseal(version, stored) if head["credential"] else stored
        if not self._matches(head, value):
            raise Failure(f"the stored secret {version} is damaged")
        return value

    def prefix_size(self, version: str, data: bytes) -> int:
        """Return the length of a value if data starts with it, else -1.

        Raises:
            FileNotFoundError: When the value is not stored.
        """
        try:
            head, _ = self._read(version)
        except Failure:
            return -1
        size: int = head["size"]
        return size if self._matches(head, data[:size]) else -1

    def drop_unreadable(self, secrets: Iterable[Secret]) -> None:
        """Remove values that cannot be decrypted, so that they are sent again."""
        for version in {secret.version for secret in secrets} & self.versions():
            try:
                self.open(version)
            except Failure:
                self._system.remove(f"{self._folder}/{version}")

    def retain(self, versions: Container[str]) -> None:
        """Remove all other versions."""
        for version in self.versions():
            if version not in versions:
                self._system.remove(f"{self._folder}/{version}")

    def convert(self) -> None:
        """Convert the plain values that an agent with layout 1 stored."""
        for version in self.versions():
            try:
                self._read(version)
            except Failure:
                self.add(version, self._system.read(f"{self._folder}/{version}"))

    def _read(self, version: str) -> Tuple[Dict[str, Any], bytes]:
        line, _, stored = self._system.read(f"{self._folder}/{version}").partition(b"\n")
        try:
            head: Dict[str, Any] = json.loads(line)
            head["size"], head["mac"], head["credential"]
        except (ValueError, LookupError, TypeError):
            raise Failure(f"the stored secret {version} is damaged") from None
        return head, stored

    def _matches(self, head: Dict[str, Any], value: bytes) -> bool:
        return len(value) == head["size"] and hmac.compare_digest(self._mac(value), head["mac"])

    def _mac(self, value: bytes) -> str:
        if not self._key:
            if self._system.stat(self._key_file) is None:
                self._system.write(self._key_file, os.urandom(_KEY_SIZE))
            self._key = self._system.read(self._key_file)
        return hmac.new(self._key, value, hashlib.sha256).hexdigest()
