"""The daemon's home folder, which belongs to its own user: root must not follow links that this user may have made."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe in place of a file does not block


class Tree:
    """Files below one folder, by paths such as ``networks.d/3d9fe93b2d00000a.conf``.

    Every method raises OSError when the disk fails, or something else is in a file's place.
    """

    def __init__(self, top: Path) -> None:
        self.top = top

    def read(self, path: str) -> bytes | None:
        """Return the content of a regular file; None if there is nothing."""
        try:
            with self._folder(path) as (folder, name):
                descriptor = os.open(name, os.O_RDONLY | _FILE, dir_fd=folder)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(f"{self.top}/{path} is not a file")
            return file.read()

    def write(self, path: str, content: bytes) -> bool:
        """Make a file have this content, readable by its owner alone; return whether that was a change."""
        if self.read(path) == content:
            return False
        with self._folder(path, create=True) as (folder, name):
            beside = f".{name}.{secrets.token_hex(8)}"
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FILE, 0o600, dir_fd=folder)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(descriptor)
                os.replace(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                os.unlink(beside, dir_fd=folder)
                raise
        return True

    def remove(self, path: str) -> None:
        """Remove a file, if it is there."""
        with contextlib.suppress(FileNotFoundError), self._folder(path) as (folder, name):
            os.unlink(name, dir_fd=folder)

    def names(self, path: str = "") -> list[str]:
        """Return the names in a folder, sorted; [] if it does not exist."""
        try:
            with self._folder(f"{path}/." if path else ".") as (folder, _):
                return sorted(os.listdir(folder))  # noqa: PTH208 - a descriptor
        except FileNotFoundError:
            return []

    def is_unused(self) -> bool:
        """Return whether nothing is in it, except links of the package."""
        for name in self.names():
            with self._folder(name) as (folder, _):
                if not stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                    return False
        return True

    def clear(self, path: str = "", *, itself: bool = False) -> None:
        """Remove everything below a folder except links: those in the home folder belong to the package.

        With ``itself``, the folder is removed, too, if it is empty then.
        """
        for name in self.names(path):
            below = f"{path}/{name}" if path else name
            with self._folder(below) as (folder, _):
                mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                self.clear(below, itself=True)
            elif not stat.S_ISLNK(mode):
                self.remove(below)
        if itself:
            with contextlib.suppress(OSError), self._folder(path) as (folder, name):
                os.rmdir(name, dir_fd=folder)

    @contextlib.contextmanager
    def _folder(self, path: str, *, create: bool = False) -> Iterator[tuple[int, str]]:
        """Open the folder of a path; yield its descriptor, and the name in it."""
        *folders, name = PurePosixPath(path).parts or (".",)
        if path.endswith("/."):  # the folder itself
            folders, name = [*folders, name], "."
        if create:
            self.top.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for folder in folders:
                if create:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(folder, 0o700, dir_fd=descriptor)
                below = os.open(folder, _FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor, name
        finally:
            os.close(descriptor)
