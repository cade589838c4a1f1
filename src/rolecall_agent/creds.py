"""Encryption by systemd-creds(1), which only this machine can decrypt."""

from __future__ import annotations

import os
import subprocess
from typing import List, Optional, Sequence, Tuple

from rolecall_agent.errors import Failure

PROGRAM = "systemd-creds"

# What a value is bound to; the first one that can be decrypted again is used. Never a PCR that changes: new firmware
# must not lock a machine out of its secrets. systemd 252 encrypts with a TPM and no PCR, but cannot decrypt that;
# PCR 16 is for debugging and does not change. The last one is for machines whose TPM does not work.
_BINDINGS = (["--tpm2-pcrs="], ["--tpm2-pcrs=16"], ["--with-key=host"])


class Creds:
    """The systemd-creds of this machine; what it can do is tried once."""

    def __init__(self) -> None:
        self._binding: Optional[List[str]] = None
        self._tried = False

    def seal(self, name: str, value: bytes) -> Optional[bytes]:
        """Return an encrypted credential; None if this machine cannot create one and decrypt it again."""
        if not self._tried:
            self._binding = next((binding for binding in _BINDINGS if _can_decrypt(binding)), None)
            self._tried = True
        if self._binding is None:
            return None
        status, credential = _run(["encrypt", f"--name={name}", *self._binding, "-", "-"], value)
        return credential if status == 0 else None

    def unseal(self, name: str, credential: bytes) -> bytes:
        """Return the value of a credential.

        Raises:
            Failure: When it cannot be decrypted.
        """
        status, value = _run(["decrypt", f"--name={name}", "-", "-"], credential)
        if status:
            raise Failure(f"cannot decrypt the stored secret {name} (systemd-creds: status {status})")
        return value


def _can_decrypt(binding: Sequence[str]) -> bool:
    """Return whether a value with this binding can be decrypted again."""
    name, value = "rolecall", os.urandom(16)
    status, credential = _run(["encrypt", f"--name={name}", *binding, "-", "-"], value)
    return status == 0 and _run(["decrypt", f"--name={name}", "-", "-"], credential) == (0, value)


def _run(words: Sequence[str], data: bytes) -> Tuple[int, bytes]:
    """Run the program with these bytes as input; return its status, 127 if it does not exist, and its output."""
    try:
        done = subprocess.run([PROGRAM, *words], input=data, capture_output=True, check=False)
    except OSError:
        return 127, b""
    return done.returncode, done.stdout
