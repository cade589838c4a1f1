"""The vars that are stored: list and read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rolecall import vars as var_store
from rolecall.errors import fault, nearest
from rolecall.model.vars import VarKey

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from rolecall.model.vars import StoredVar
    from rolecall.pipeline.workspace import Workspace


@dataclass(frozen=True, slots=True)
class StoredValue:
    """One file of a var, as it is stored.

    Attributes:
        machine: The machine it is made for; None for one that all machines share.
        name: The var's name.
        file: The name of the file.
        secret: Whether it is encrypted.
        version: The random id of this very value.
        pending: Whether it waits for an update.
    """

    machine: str | None
    name: str
    file: str
    secret: bool
    version: str
    pending: bool

    @property
    def key(self) -> VarKey:
        """The var."""
        return VarKey(self.machine or "", self.name)

    def __str__(self) -> str:
        """``MACHINE/NAME/FILE``."""
        return f"{self.key}/{self.file}"


def stored_values(workspace: Workspace) -> list[StoredValue]:
    """Return the files of all vars, sorted; those of a pending value where there is one. Nothing is decrypted."""
    pending, stored = var_store.pending(workspace.project), var_store.stored_all(workspace.project)
    return _values(stored | pending, pending)


def _values(vars_: Mapping[VarKey, StoredVar], pending: Container[VarKey]) -> list[StoredValue]:
    return [
        StoredValue(key.machine or None, key.name, name, file.secret, file.version, key in pending)
        for key, var in sorted(vars_.items())
        for name, file in sorted(var.items())
    ]


def find_value(workspace: Workspace, name: str) -> StoredValue:
    """Return the file with a name such as ``MACHINE/NAME/FILE``; FILE may be left out if the var has only one.

    A stored value comes before a pending one that will replace it.

    Raises:
        Faults: When there is none.
    """
    values = [*stored_values(workspace), *_values(var_store.stored_all(workspace.project), ())]
    # Reversed: a shared var comes last, and so `shared/…` names it even if a machine is called `shared`.
    named = {str(value): value for value in sorted(values, key=lambda value: value.key, reverse=True)}
    files: dict[str, list[str]] = {}
    for full, value in named.items():
        if "/" not in value.file:  # without the slots of a rotation
            files.setdefault(str(value.key), []).append(full)
    if len(files.get(name, ())) > 1:
        raise fault(f"{name} has several files", hint=f"name one: {', '.join(sorted(files[name]))}")
    named |= {key: named[full] for key, [full, *others] in files.items() if not others}
    if name not in named:
        raise fault(f"no var {name!r}", hint=nearest(name, named, what="vars"))
    return named[name]


def read_value(workspace: Workspace, value: StoredValue) -> bytes:
    """Return what a file of a var holds; a secret is decrypted.

    Raises:
        Faults: When it cannot be decrypted.
    """
    project, place = workspace.project, (value.key, value.file)
    if value.secret:
        return var_store.decrypt(project, [place], pending=[value.key] if value.pending else ())[place]
    vars_ = var_store.pending(project) if value.pending else var_store.stored_all(project)
    return vars_[value.key][value.file].public.encode()
