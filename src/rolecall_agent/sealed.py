"""The secret values that a machine keeps for its next boot: sealed where systemd can, and else for root alone.

``sealed/VERSION`` is one line of JSON and then the value: as a credential of systemd-creds(1), whose key is the
machine's own (of its TPM too where it has one), or as it is. ``size`` and ``mac`` in the line (HMAC-SHA-256 under
``mac.key``) say whether a file still holds the value, without opening it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
from typing import TYPE_CHECKING, Any, Container, Dict, Iterable, Set, Tuple

from rolecall_agent.tree import Failure

if TYPE_CHECKING:
    from rolecall_agent.content import Secret
    from rolecall_agent.system import System

_VERSION = re.compile(r"[A-Za-z0-9_-]{1,128}\Z")
_KEY_SIZE = 32


class Sealed:
    """Secret values by version. Everything raises OSError when the disk refuses.

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
        """Those that are here."""
        return set(self._system.names(self._folder))

    def add(self, version: str, value: bytes) -> None:
        """Keeps a value.

        Raises:
            Failure: When its version could not be a file's name.
        """
        if not _VERSION.match(version):
            raise Failure(f"{version!r} is no version of a secret")
        credential = self._system.seal(version, value)
        head = {"size": len(value), "mac": self._mac(value), "credential": credential is not None}
        kept = value if credential is None else credential
        self._system.write(f"{self._folder}/{version}", json.dumps(head).encode() + b"\n" + kept)

    def open(self, version: str) -> bytes:
        """A value.

        Raises:
            FileNotFoundError: When it is not here.
            Failure: When it cannot be opened any more, or is another one.
        """
        head, kept = self._read(version)
        value = self._system.unseal(version, kept) if head["credential"] else kept
        if not self._is(head, value):
            raise Failure(f"the secret {version} that is kept here is damaged")
        return value

    def prefix_size(self, version: str, data: bytes) -> int:
        """How many bytes at the beginning of data are a value; -1 when they are not.

        Raises:
            FileNotFoundError: When the value is not here.
        """
        try:
            head, _ = self._read(version)
        except Failure:
            return -1
        size: int = head["size"]
        return size if self._is(head, data[:size]) else -1

    def drop_unreadable(self, secrets: Iterable[Secret]) -> None:
        """Lets go of those that cannot be opened any more, so that they are sent again."""
        for version in {secret.version for secret in secrets} & self.versions():
            try:
                self.open(version)
            except Failure:
                self._system.remove(f"{self._folder}/{version}")

    def retain(self, versions: Container[str]) -> None:
        """Drops all others."""
        for version in self.versions():
            if version not in versions:
                self._system.remove(f"{self._folder}/{version}")

    def convert(self) -> None:
        """Brings what an agent of schema 1 kept, the bare values, into this form."""
        for version in self.versions():
            try:
                self._read(version)
            except Failure:
                self.add(version, self._system.read(f"{self._folder}/{version}"))

    def _read(self, version: str) -> Tuple[Dict[str, Any], bytes]:
        line, _, kept = self._system.read(f"{self._folder}/{version}").partition(b"\n")
        try:
            head: Dict[str, Any] = json.loads(line)
            head["size"], head["mac"], head["credential"]
        except (ValueError, LookupError, TypeError):
            raise Failure(f"the secret {version} that is kept here is damaged") from None
        return head, kept

    def _is(self, head: Dict[str, Any], value: bytes) -> bool:
        return len(value) == head["size"] and hmac.compare_digest(self._mac(value), head["mac"])

    def _mac(self, value: bytes) -> str:
        if not self._key:
            if self._system.stat(self._key_file) is None:
                self._system.write(self._key_file, os.urandom(_KEY_SIZE))
            self._key = self._system.read(self._key_file)
        return hmac.new(self._key, value, hashlib.sha256).hexdigest()
