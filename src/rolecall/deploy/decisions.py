"""Decided runs that are not complete yet: a file for each, with the machines that may not have committed.

A run is *decided* when all of its machines can commit. From then on it only goes forward: each machine that knows of
it commits, whatever happens to the controller or the connection.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from rolecall import files

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    Decisions = Mapping[str, Sequence[str]]  # by the id of each run: its machines


def note(folder: Path, run: str, machines: Iterable[str]) -> None:
    """Note that a run is decided; durable afterwards.

    Args:
        folder: Where decisions are kept.
        run: Its id.
        machines: Those that are to commit.

    Raises:
        Faults: When that cannot be written.
        OSError: As above.
    """
    files.make_local(folder.parent)
    folder.mkdir(exist_ok=True)
    files.create(folder / run, "".join(f"{name}\n" for name in machines))
    files.sync(folder)
    files.sync(folder.parent)


def load(folder: Path) -> Decisions:
    """Return the decided runs, each with the machines that may not have committed."""
    runs = sorted(path for path in folder.iterdir() if path.name[0] != ".") if folder.is_dir() else []
    return {path.name: path.read_text().split() for path in runs}


def settle(folder: Path, run: str, machines: Iterable[str]) -> None:
    """Note which machines of a run may not have committed; a failure only delays that."""
    path = folder / run
    with suppress(OSError):
        if left := "".join(f"{name}\n" for name in machines):
            files.replace(path, left)
        else:
            path.unlink(missing_ok=True)
