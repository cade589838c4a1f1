"""Vars as they are stored: their names, files and versions, and the slots of a rotation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class VarKey:
    """Names one var of a project.

    Attributes:
        machine: The machine it is made for, or "" for one that all machines share.
        name: ``INSTANCE.NAME`` for a var of an instance, ``NAME`` for one of the machine or project.
    """

    machine: str
    name: str

    def __str__(self) -> str:
        """``jon/backup.ssh``, or ``shared/ca``."""
        return f"{self.machine or 'shared'}/{self.name}"


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
"""What a var holds, by file; secret values included: a generator is the one place where they may be seen."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One value as it stands in the project.

    Attributes:
        secret: Whether it is encrypted.
        version: Random public id of the value (22 characters of URL-safe base64); survives re-encryption.
        public: The value as text when it is public, else "".
    """

    secret: bool
    version: str
    public: str = ""


StoredVar = dict[str, StoredFile]
"""By the name of the file. While peers accept two values, those of the other one are here too, as ``.next/FILE`` (not
used yet) or ``.old/FILE`` (used no longer)."""


NEXT, OLD = ".next/", ".old/"


STEPS = 3
"""Of a rotation without a gap: accept the new value beside the old one, use it, drop the old one."""


def current(var: StoredVar) -> StoredVar:
    """The value that is in use."""
    return slot(var, "")


def slot(var: StoredVar, prefix: str) -> StoredVar:
    """The value under `NEXT` or `OLD`, {} when there is none; under "" the one in use."""
    cut = len(prefix)
    return {name[cut:]: file for name, file in var.items() if name.rpartition("/")[0] == prefix[:-1]}


def step_of(var: StoredVar) -> int:
    """How many of the `STEPS` of a rotation are done: 0 when none is under way."""
    names = " ".join(var)
    return 1 if NEXT in names else 2 if OLD in names else 0
