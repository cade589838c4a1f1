"""Writing files that several programs write: whole or not at all, and one writer at a time."""

from __future__ import annotations

import fcntl
import glob
import os
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rolecall.errors import fault

if TYPE_CHECKING:
    from collections.abc import Iterator

_ABANDONED = 60  # seconds; none writes for so long


def replace(path: Path, text: str) -> None:
    """Writes a file whole or not at all, with the mode that it had; where a link stands, what it leads to."""
    path = path.resolve()
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    with _complete(path, text, mode) as whole:
        whole.replace(path)


def create(path: Path, content: str | bytes, mode: int = 0o644) -> None:
    """Writes a new file whole or not at all.

    Raises:
        Faults: When something stands there, or nothing can.
    """
    try:
        with _complete(path, content, mode) as whole:
            path.hardlink_to(whole)  # which, unlike a rename, never takes the place of another file
    except FileExistsError:
        raise fault(f"{path} already exists", hint="choose another name, or move the existing file") from None
    except OSError as error:
        raise fault(f"{path} cannot be written: {error.strerror}") from None


@contextmanager
def _complete(path: Path, content: str | bytes, mode: int) -> Iterator[Path]:
    """A file beside the one that is to be, with all of its content on disk; what is left of it at the end goes away."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.new"):
        with suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > _ABANDONED:
                left.unlink()  # by a writer that was killed
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", suffix=".new", delete=False) as file:
        whole = Path(file.name)
        try:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
            yield whole
        finally:
            whole.unlink(missing_ok=True)


def make_local(folder: Path) -> None:
    """Makes the folder that belongs to this checkout alone, ``.rolecall``, if it is missing; git ignores all of it."""
    folder.mkdir(0o755, parents=True, exist_ok=True)
    if not (ignored := folder / ".gitignore").exists():
        with suppress(FileExistsError):  # another process was faster
            descriptor = os.open(ignored, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            with open(descriptor, "w") as file:  # noqa: PTH123 - with a mode
                file.write("*\n")


@contextmanager
def locked(lock: Path) -> Iterator[None]:
    """One at a time holds this lock in a checkout's own folder; its file is made where there is none, and stays."""
    make_local(lock.parent)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
