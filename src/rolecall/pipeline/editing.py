"""Read and change the inventory by command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rolecall import files
from rolecall.errors import undotted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rolecall.errors import Fault
    from rolecall.inventory.changes import Change
    from rolecall.inventory.edit import Edited
    from rolecall.model.inventory import PerFile
    from rolecall.pipeline.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Entry:
    """What an inventory says at one key path.

    Attributes:
        path: The key path.
        value: The value there, of all files together.
        digest: The digest of the inventory.
    """

    path: tuple[str | int, ...]
    value: Any
    digest: str


def get(workspace: Workspace, path: str) -> Entry:
    """Return what the inventory says at a dotted key path.

    Raises:
        Faults: When a file cannot be read, or the path does not exist.
    """
    from rolecall.inventory import edit

    keys = undotted(path)
    return Entry(keys, *edit.get(workspace.project, keys, _combined))


def set_value(
    workspace: Workspace, path: str, text: str, *, string: bool = False, own: bool = False, expect: str = ""
) -> Edited:
    """Set the value at a dotted key path; as `edit`.

    Args:
        workspace: The project.
        path: The key path.
        text: The value in JSON, or else a text.
        string: Whether it is a text even if it is valid JSON.
        own: As for `edit`.
        expect: As for `edit`.

    Raises:
        Faults: As `edit`.
    """
    from rolecall.inventory.changes import Set
    from rolecall.inventory.notations.json_text import value

    return edit(workspace, [Set(undotted(path), text if string else value(text))], own=own, expect=expect)


def unset_value(workspace: Workspace, path: str, *, own: bool = False, expect: str = "") -> Edited:
    """Remove the value at a dotted key path; as `edit`.

    Raises:
        Faults: As `edit`.
    """
    from rolecall.inventory.changes import Unset

    return edit(workspace, [Unset(undotted(path))], own=own, expect=expect)


def edit(workspace: Workspace, changes: Sequence[Change], *, own: bool = False, expect: str = "") -> Edited:
    """Change the inventory; see `rolecall.inventory.edit`.

    Args:
        workspace: The project.
        changes: What to change.
        own: Whether to write the user's own file rather than `inventory.json`.
        expect: The digest that the inventory must have (see `get`); "" for any.

    Raises:
        Faults: When it has another digest, a change cannot be made there, or it would cause new faults. Nothing is
            written then.
    """
    from rolecall.inventory.edit import edit as edited
    from rolecall.pipeline.judging import judge_of, note_bound

    note_bound(workspace)
    done = edited(
        workspace.project,
        lambda _: changes,
        own=own,
        expect=expect,
        judge=judge_of(workspace.project),
        combine=_combined,
    )
    workspace.refresh()
    return done


def convert(workspace: Workspace, notation: str, file: Path | None = None) -> tuple[str, tuple[Fault, ...]]:
    """Return the user's own inventory file in another notation, and warnings about what is lost.

    Args:
        workspace: The project.
        notation: The name of the notation.
        file: A new file to write the text to.

    Raises:
        Faults: When the inventory cannot be read, or has what the other notation cannot write; when the file exists.
    """
    from rolecall.inventory.convert import convert as converted

    text, warnings = converted(workspace.project, notation)
    if file:
        files.create(file, text)
    return text, warnings


def _combined(settings: PerFile) -> dict[str, Any]:
    """Return what settings that several files give amount to."""
    from rolecall.evaluate.merge import combined

    return combined(settings)
