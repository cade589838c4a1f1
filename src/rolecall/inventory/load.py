"""Stage 1: the project's inventory files to one checked inventory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from rolecall.errors import Fault, Faults, fault
from rolecall.inventory import files
from rolecall.inventory.locate import locate
from rolecall.model.source import Source

if TYPE_CHECKING:
    from rolecall.model.inventory import Loaded
    from rolecall.project import Project


class Read(NamedTuple):
    """The inventory's files.

    Attributes:
        sources: Those that could be read, from general to specific.
        faults: What is wrong with the others.
    """

    sources: list[Source]
    faults: list[Fault]


def load(project: Project) -> Loaded:
    """Return the project's inventory.

    Raises:
        Faults: All that is wrong with its files, notation and shape, each with its place.
    """
    loaded, faults = check(read(project))
    if faults:
        raise Faults(faults)
    return loaded


def read(project: Project, *, renaming: tuple[str, str, str] | None = None) -> Read:
    """Read the project's inventory files.

    Args:
        project: The project.
        renaming: The rename that the caller does or completes: ``machine`` or ``instance``, its old and its new name.

    Raises:
        Faults: When the project has no inventory file; when a rename was interrupted, since other faults would mislead.
    """
    if project.renaming.exists():
        what, old, new = json.loads(project.renaming.read_text())[:3]
        if (what, old, new) != renaming:
            hint = f"complete it, unless another command is still running: `rolecall {what}s rename {old} {new}`"
            raise fault(f"renaming {what} {old!r} to {new!r} was interrupted", hint=hint)
    sources: list[Source] = []
    faults: list[Fault] = []
    present = files.find(project)
    nix = any(file.suffix == ".nix" for file in present) and files.asks_for_nix(project)
    for file in present:
        try:
            sources.append(files.read(file, nix=nix))
        except Faults as error:
            faults += (locate(each, [Source(file, {})]) for each in error.faults)
    return Read([*_folders(project), *sources], faults)


def check(found: Read) -> tuple[Loaded, tuple[Fault, ...]]:
    """Return the valid parts of an inventory, and the faults of the others.

    It lets a caller report these faults together with those of later stages; `load` raises them.

    Raises:
        Faults: When a file could not be read: later stages would report misleading faults.
    """
    from rolecall.inventory.join import join  # pydantic, which it imports, takes longer than reading

    loaded, faults = join(found.sources)
    if found.faults:
        raise Faults([*found.faults, *faults])
    return loaded, faults


def _folders(project: Project) -> list[Source]:
    """Return the machines that are declared by having a folder, as the most general source."""
    names = project.machine_folders
    return [Source(project.machines, {"machines": {name: {} for name in names}})] if names else []
