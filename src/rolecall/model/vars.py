"""Vars as they are stored: their names, files and versions, and the slots of a rotation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SHARED = "shared"  # in place of a machine


@dataclass(frozen=True, slots=True, order=True)
class VarKey:
    """Names one var of a project.

    Attributes:
        machine: The machine that it is generated for, or "" for one that all machines share.
        name: ``INSTANCE.NAME`` for a var of an instance, ``NAME`` for one of the machine or project.
    """

    machine: str
    name: str

    @classmethod
    def read(cls, text: str) -> VarKey:
        """Return the key that has this text."""
        machine, _, name = text.partition("/")
        return cls("" if machine == SHARED else machine, name)

    def __str__(self) -> str:
        """``jon/backup.ssh``, or ``shared/ca``."""
        return f"{self.machine or SHARED}/{self.name}"


@dataclass(frozen=True, slots=True)
class VarFile:
    """One value of a var.

    Attributes:
        name: File name inside the var, e.g. ``"private"``.
        secret: Whether it is stored encrypted and never shown.
    """

    name: str
    secret: bool = True


Values = Mapping[str, bytes]
"""The values of a var by file, decrypted: only generators see them."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One value as it is stored in the project.

    Attributes:
        secret: Whether it is encrypted.
        version: Random public id of the value (22 characters of URL-safe base64); survives re-encryption.
        public: The value as text if it is public, else "".
    """

    secret: bool
    version: str
    public: str = ""


StoredVar = dict[str, StoredFile]
"""The files of a var by name. While peers accept two values, the files of the other one are among them, as
``.next/FILE`` (not in use yet) or ``.old/FILE`` (no longer in use)."""


NEXT, OLD = ".next/", ".old/"


STEPS = 3
"""The steps of a rotation without a gap: accept the new value beside the old one, use it, drop the old one."""


def current(var: StoredVar) -> StoredVar:
    """Return the files of the value in use."""
    return slot(var, "")


def slot(var: StoredVar, prefix: str) -> StoredVar:
    """Return the files of the value in the slot `NEXT` or `OLD`, {} if it is empty; for "" those in use."""
    cut = len(prefix)
    return {name[cut:]: file for name, file in var.items() if name.rpartition("/")[0] == prefix[:-1]}


def step_of(var: StoredVar) -> int:
    """Return how many of the `STEPS` of a rotation are done; 0 if none has started."""
    names = " ".join(var)
    return 1 if NEXT in names else 2 if OLD in names else 0
