"""Sealing by systemd-creds(1): bytes that this machine alone can open again."""

from __future__ import annotations

import os
import subprocess
from typing import List, Optional, Sequence, Tuple

from rolecall_agent.tree import Failure

PROGRAM = "systemd-creds"

# To what a value is bound: the first of these that can be opened again is taken. Never to a PCR that changes, for new
# firmware must not lock a machine out of its secrets. systemd 252 seals to a TPM without any PCR, but cannot open that;
# PCR 16 is for debugging, and stays as it is. The last is for machines whose TPM does not work.
_BINDINGS = (["--tpm2-pcrs="], ["--tpm2-pcrs=16"], ["--with-key=host"])


class Creds:
    """systemd-creds as it is here; what it can do is tried once."""

    def __init__(self) -> None:
        self._binding: Optional[List[str]] = None
        self._tried = False

    def seal(self, name: str, value: bytes) -> Optional[bytes]:
        """A credential; None where there is no means to make one that can be opened again."""
        if not self._tried:
            self._binding = next((binding for binding in _BINDINGS if _opens(binding)), None)
            self._tried = True
        if self._binding is None:
            return None
        status, credential = _run(["encrypt", f"--name={name}", *self._binding, "-", "-"], value)
        return credential if status == 0 else None

    def unseal(self, name: str, credential: bytes) -> bytes:
        """The value of a credential.

        Raises:
            Failure: When it cannot be opened.
        """
        status, value = _run(["decrypt", f"--name={name}", "-", "-"], credential)
        if status:
            raise Failure(f"the secret {name} that is kept here cannot be opened (systemd-creds: status {status})")
        return value


def _opens(binding: Sequence[str]) -> bool:
    """Whether what is bound so can be opened again."""
    name, value = "rolecall", os.urandom(16)
    status, credential = _run(["encrypt", f"--name={name}", *binding, "-", "-"], value)
    return status == 0 and _run(["decrypt", f"--name={name}", "-", "-"], credential) == (0, value)


def _run(words: Sequence[str], given: bytes) -> Tuple[int, bytes]:
    """What the program makes of bytes, and its status; 127 where there is none."""
    try:
        done = subprocess.run([PROGRAM, *words], input=given, capture_output=True, check=False)
    except OSError:
        return 127, b""
    return done.returncode, done.stdout
