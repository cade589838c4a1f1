"""The inventory's files as they were read, before anything in them is checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rolecall.errors import Fault


class Clan(NamedTuple):
    """What was read from a Clan, and what was skipped.

    Attributes:
        files: The files that were read.
        modules: Whether it has modules of NixOS, which Rolecall does not install.
        skipped: Modules of other flakes.
        imported: Whether these may have imported others, as far as only Nix knows.
    """

    files: tuple[Path, ...]
    modules: bool
    skipped: tuple[str, ...]
    imported: bool = False


class Source:
    """One file of the inventory, with its plain data.

    Attributes:
        file: The file.
        prefix: Keys inside the file under which the inventory stands, e.g. ``("clan", "inventory")``.
        data: The inventory part of it, JSON-compatible.
        inputs: Where inputs come from, as the file declares it: a name to a URL or a distribution.
        empty: Key paths in `data` whose null is a key without a value, where the notation distinguishes that (YAML).
        files: The file, and those of the project that it names.
        notes: Warnings about what was not read.
        clan: What was read from a Clan, when the file is one.
    """

    __slots__ = ("clan", "data", "empty", "file", "files", "inputs", "notes", "prefix")

    def __init__(
        self,
        file: Path,
        data: Mapping[str, Any],
        prefix: tuple[str, ...] = (),
        inputs: Mapping[str, str] | None = None,
        empty: tuple[tuple[str | int, ...], ...] = (),
        *,
        files: tuple[Path, ...] = (),
        notes: tuple[Fault, ...] = (),
        clan: Clan | None = None,
    ) -> None:
        self.file = file
        self.prefix = prefix
        self.data = data
        self.inputs = inputs or {}
        self.empty = empty
        self.files = files or (file,)
        self.notes = notes
        self.clan = clan
