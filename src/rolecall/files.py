"""Write files atomically, and one writer at a time."""

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

_ABANDONED = 60  # seconds; no writer takes so long


def replace(path: Path, text: str) -> None:
    """Write a file atomically, keeping its mode; a link is followed."""
    path = path.resolve()
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    with _complete(path, text, mode) as whole:
        whole.replace(path)


def create(path: Path, content: str | bytes, mode: int = 0o644) -> None:
    """Write a new file atomically.

    Raises:
        Faults: When the path already exists, or cannot be written.
    """
    try:
        with _complete(path, content, mode) as whole:
            path.hardlink_to(whole)  # which, unlike a rename, never replaces another file
    except FileExistsError:
        raise fault(f"{path} already exists", hint="choose another name, or move the existing file") from None
    except OSError as error:
        raise fault(f"{path} cannot be written: {error.strerror}") from None


@contextmanager
def _complete(path: Path, content: str | bytes, mode: int) -> Iterator[Path]:
    """Yield a temporary file beside a path, with all of its content on disk, and remove it in the end."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.new"):
        with suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > _ABANDONED:
                left.unlink()  # its writer was killed
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


def sync(path: Path | str) -> None:
    """Wait until a file, or the names in a folder, are on the disk.

    Raises:
        OSError: When it cannot be opened, or the disk fails.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_local(folder: Path) -> None:
    """Create the folder of this checkout's state, ``.rolecall``, if it is missing; git ignores it."""
    folder.mkdir(0o755, parents=True, exist_ok=True)
    if not (ignored := folder / ".gitignore").exists():
        with suppress(FileExistsError):  # another process was faster
            descriptor = os.open(ignored, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            with open(descriptor, "w") as file:  # noqa: PTH123 - with a mode
                file.write("*\n")


@contextmanager
def locked(lock: Path) -> Iterator[None]:
    """Hold a lock of this checkout inside of the `with` block; its file is created if needed, and stays."""
    make_local(lock.parent)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
