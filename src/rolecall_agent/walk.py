"""The way to a path: its folders, opened one by one, so that no local user can redirect it."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, List, NamedTuple, Optional, Sequence, Tuple, Type

from rolecall_agent.errors import Failure

if TYPE_CHECKING:
    from types import TracebackType

MAX_LINKS = 40  # as Linux does, path_resolution(7)
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Place(NamedTuple):
    """Where a path leads to.

    Attributes:
        path: The path without links.
        folders: Device and inode of the root and each folder that exists, down to the last one.
        missing: The names below that folder, none of which is a folder.
        flags: How the file system of that folder is mounted; see `os.statvfs`.
    """

    path: str
    folders: Tuple[Tuple[int, int], ...]
    missing: Tuple[str, ...] = ()
    flags: int = 0

    @property
    def identity(self) -> object:
        """The same for all paths that lead there, also through another mount of a folder."""
        return self.folders[-1], self.missing

    def below(self, name: str) -> Place:
        """Return the place with a name in this folder, which is no folder itself or is not entered."""
        return self._replace(path=f"{self.path}/{name}", missing=(*self.missing, name))


class Walk:
    """The folders of a path: ``with Walk(root, path) as (folder, name)`` opens the last one and closes all of them.

    A symbolic link is followed only if root alone, or the user that runs this, can change it and every folder on the
    way to it; and never out of the root. Otherwise a user could redirect a write to any file: by a link, or by renaming
    a link that root made in a folder of theirs. An OSError inside names the whole path.

    Args:
        root: Descriptor of the root; stays open.
        path: Absolute path.
    """

    def __init__(self, root: int, path: str) -> None:
        self._root = root
        self._path = path
        self._opened: List[int] = []
        self._names: List[str] = []

    def __enter__(self) -> Tuple[int, str]:
        """Open the folders; return the last one and the last name of the path."""
        *folders, name = self._path.strip("/").split("/")
        try:
            self._enter_all(folders)
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self._folder, name or "."  # the root itself

    def __exit__(
        self, _: Optional[Type[BaseException]], error: Optional[BaseException], __: Optional[TracebackType]
    ) -> None:
        """Close the folders."""
        self._close(len(self._opened))
        if isinstance(error, OSError) and not str(error.filename).startswith("/"):
            raise OSError(error.errno, error.strerror, self._path) from error

    def follow(self, name: str) -> str:
        """Return the target of a link in the last folder, or "" for anything else.

        Raises:
            Failure: When the link must not be followed.
            OSError: When nothing is there.
        """
        status, target = look(self._folder, name)
        if not stat.S_ISLNK(status.st_mode):
            return ""
        trusted = {0, os.geteuid()}
        folders = [os.fstat(fd) for fd in (self._root, *self._opened)]
        if status.st_uid not in trusted or any(each.st_uid not in trusted or each.st_mode & 0o022 for each in folders):
            raise Failure(
                f"{self._path}: the symbolic link {name!r} is not followed, because other users than root can change "
                "it or a folder above it; replace it with what it leads to"
            )
        return target

    @property
    def place(self) -> Place:
        """Where the last folder is."""
        path = "".join(f"/{name}" for name in self._names)
        folders = tuple((each.st_dev, each.st_ino) for each in map(os.fstat, (self._root, *self._opened)))
        return Place(path, folders, flags=os.fstatvfs(self._folder).f_flag)

    @property
    def _folder(self) -> int:
        return self._opened[-1] if self._opened else self._root

    def _enter_all(self, names: Sequence[str]) -> None:
        pending = list(reversed(names))
        links = 0
        while pending:
            part = pending.pop()
            if part == "..":
                self._close(1)
            elif part not in {"", "."}:
                target = self._enter(part)
                links += bool(target)
                if links > MAX_LINKS:
                    raise Failure(f"{self._path}: too many symbolic links")
                if target.startswith("/"):
                    self._close(len(self._opened))
                pending.extend(reversed(target.split("/")))

    def _enter(self, name: str) -> str:
        """Open the next folder and return ""; for a link that may be followed, return its target instead."""
        try:
            self._opened.append(os.open(name, FOLDER, dir_fd=self._folder))
            self._names.append(name)
        except OSError as error:
            if error.errno not in {errno.ELOOP, errno.ENOTDIR}:
                raise
        else:
            return ""
        target = self.follow(name)
        if not target:
            raise NotADirectoryError(errno.ENOTDIR, f"{name} is not a directory", self._path)
        return target

    def _close(self, steps: int) -> None:
        """Close the last folders, but never the root."""
        for _ in range(min(steps, len(self._opened))):
            os.close(self._opened.pop())
            self._names.pop()


def look(folder: int, name: str) -> Tuple[os.stat_result, str]:
    """Return status and target ("" unless it is a link) of what has a name in a folder: both of the same thing."""
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        return status, ""
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        status = os.fstat(fd)
        return status, os.readlink("", dir_fd=fd) if stat.S_ISLNK(status.st_mode) else ""
    finally:
        os.close(fd)
