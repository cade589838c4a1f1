"""Files below a root directory, safe against symbolic links of unprivileged users."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Dict, Iterator, List, Mapping, Optional, Tuple

from rolecall_agent.errors import Failure

MAX_LINKS = 40  # as Linux does, path_resolution(7)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Entry:
    """What is at a path, without following a link.

    Attributes:
        type: ``file``, ``directory``, ``symlink`` or ``other``.
        owner: User name, or the id of an unknown user.
        group: Group name, or the id of an unknown group.
        mode: Permission bits.
        size: In bytes.
        mtime_ns: Modification time in nanoseconds since the epoch.
        target: Target of a symlink, else "".
    """

    type: str
    owner: str
    group: str
    mode: int
    size: int
    mtime_ns: int
    target: str = ""


class Tree(ABC):
    """Files by absolute path below a root.

    The folders of a path are opened one by one. A symbolic link is followed only if it belongs to root or to the user
    that runs this, and never out of the root. Otherwise a user's link could redirect a write to any file.
    """

    def __init__(self, root: str) -> None:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Close the root."""
        os.close(self._root)

    def stat(self, path: str) -> Optional[Entry]:
        """Return what is at a path; None for nothing."""
        try:
            with self._parent(path) as (folder, name):
                status = os.stat(name, dir_fd=folder, follow_symlinks=False)
                target = os.readlink(name, dir_fd=folder) if stat.S_ISLNK(status.st_mode) else ""
        except (FileNotFoundError, NotADirectoryError):
            return None
        types = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink"}
        owner, group = self._owner(path, status)
        kind = types.get(stat.S_IFMT(status.st_mode), "other")
        mode = stat.S_IMODE(status.st_mode)
        return Entry(kind, owner, group, mode, status.st_size, status.st_mtime_ns, target)

    def read(self, path: str) -> bytes:
        """Return the bytes of a regular file.

        Raises:
            OSError: When it does not exist or cannot be read.
            Failure: When it is not a regular file.
        """
        with self._parent(path) as (folder, name):
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
            with os.fdopen(fd, "rb") as file:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise Failure(f"{path} is not a regular file")
                return file.read()

    def names(self, path: str) -> List[str]:
        """Return the names in a directory, sorted; [] when it does not exist."""
        try:
            with self._parent(path) as (folder, name), self._opened(folder, name) as fd:
                return sorted(os.listdir(fd))
        except FileNotFoundError:
            return []

    def attributes(self, path: str) -> Dict[str, str]:
        """Return the extended attributes of a regular file, including ACL and label, as hex by name."""
        with self._parent(path) as (folder, name):
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
            try:
                return {key: os.getxattr(fd, key).hex() for key in os.listxattr(fd)}
            except OSError:  # the file system does not support them
                return {}
            finally:
                os.close(fd)

    def write(
        self,
        path: str,
        data: bytes,
        owner: str = "root",
        group: str = "root",
        mode: int = 0o600,
        *,
        mtime_ns: int = 0,
        attributes: Optional[Mapping[str, str]] = None,
    ) -> None:
        """Write a regular file atomically: temporary file, fsync, rename(2), fsync of the folder.

        Args:
            path: Where; its folder must exist. Anything there but a directory is replaced.
            data: The content.
            owner: User name.
            group: Group name.
            mode: Permission bits.
            mtime_ns: Modification time, or 0 for now.
            attributes: Extended attributes as `attributes` returns them; by default, an SELinux label is kept.

        Raises:
            OSError: When it cannot be written; nothing has changed then.
        """
        with self._parent(path) as (folder, name):
            temporary = temporary_name(name)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=folder)  # left by a killed agent
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(temporary, flags, 0o600, dir_fd=folder)
            try:
                with os.fdopen(fd, "wb") as file:
                    file.write(data)
                    file.flush()
                    self._set_owner(fd, path, owner, group)
                    os.fchmod(fd, mode)
                    for key, value in (_selinux_label(folder, name) if attributes is None else attributes).items():
                        os.setxattr(fd, key, bytes.fromhex(value))
                    if mtime_ns:
                        os.utime(fd, ns=(mtime_ns, mtime_ns))
                    os.fsync(fd)
                os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary, dir_fd=folder)
                raise
            os.fsync(folder)

    def symlink(self, path: str, target: str, owner: str = "root", group: str = "root") -> None:
        """Create or replace a symbolic link atomically.

        Raises:
            OSError: When it cannot be created.
        """
        with self._parent(path) as (folder, name):
            temporary = temporary_name(name)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=folder)
            os.symlink(target, temporary, dir_fd=folder)
            self._set_link_owner(folder, temporary, path, owner, group)
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)

    def mkdir(self, path: str, owner: str = "root", group: str = "root", mode: int = 0o755) -> None:
        """Create a directory in an existing parent. It is never more accessible than its mode allows.

        Raises:
            OSError: When it cannot be created.
        """
        with self._parent(path) as (folder, name):
            os.mkdir(name, 0o700, dir_fd=folder)
            self._set_access(folder, name, path, owner, group, mode)
            os.fsync(folder)

    def set_access(self, path: str, owner: str, group: str, mode: int) -> None:
        """Set owner, group and permission bits of a file or directory.

        Raises:
            OSError: When it does not exist.
        """
        with self._parent(path) as (folder, name):
            self._set_access(folder, name, path, owner, group, mode)

    def remove(self, path: str) -> None:
        """Remove a file, a link or an empty directory, if it exists.

        Raises:
            OSError: When it cannot be removed; ENOTEMPTY for a directory that is not empty.
        """
        with contextlib.suppress(FileNotFoundError), self._parent(path) as (folder, name):
            if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                os.rmdir(name, dir_fd=folder)
            else:
                os.unlink(name, dir_fd=folder)
            self._owner_removed(path)
            os.fsync(folder)

    def remove_temporary(self, path: str) -> None:
        """Remove the temporary file that a killed `write` or `symlink` left beside a path."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), self._parent(path) as (folder, name):
            os.unlink(temporary_name(name), dir_fd=folder)

    # A recorded system does these differently.

    @abstractmethod
    def _owner(self, path: str, status: os.stat_result) -> Tuple[str, str]: ...

    @abstractmethod
    def _set_owner(self, fd: int, path: str, owner: str, group: str) -> None: ...

    @abstractmethod
    def _set_link_owner(self, folder: int, name: str, path: str, owner: str, group: str) -> None: ...

    @abstractmethod
    def _owner_removed(self, path: str) -> None: ...

    # Opening the folders of a path.

    def _set_access(self, folder: int, name: str, path: str, owner: str, group: str, mode: int) -> None:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        try:
            self._set_owner(fd, path, owner, group)
            os.fchmod(fd, mode)
            os.fsync(fd)
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def _opened(self, folder: int, name: str) -> Iterator[int]:
        fd = os.open(name, _FOLDER, dir_fd=folder)
        try:
            yield fd
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def _parent(self, path: str) -> Iterator[Tuple[int, str]]:
        """Open the folder of a path, and yield it with the last name of the path."""
        *pending, name = path.strip("/").split("/")
        name = name or "."  # the root itself
        pending.reverse()
        opened = [os.dup(self._root)]
        links = 0
        try:
            while pending:
                part = pending.pop()
                if part == "..":
                    _go_up(opened, 1)
                elif part not in {"", "."}:
                    target = self._enter(opened, part, path)
                    links += bool(target)
                    if links > MAX_LINKS:
                        raise Failure(f"{path}: too many symbolic links")
                    if target.startswith("/"):
                        _go_up(opened, len(opened))
                    pending.extend(reversed(target.split("/")))
            yield opened[-1], name
        finally:
            for fd in opened:
                os.close(fd)

    def _enter(self, opened: List[int], name: str, path: str) -> str:
        """Open the next folder and return ""; for a link that may be followed, return its target instead."""
        try:
            opened.append(os.open(name, _FOLDER, dir_fd=opened[-1]))
        except OSError as error:
            if error.errno not in {errno.ELOOP, errno.ENOTDIR}:
                raise
        else:
            return ""
        status = os.stat(name, dir_fd=opened[-1], follow_symlinks=False)
        if not stat.S_ISLNK(status.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, f"{name} is not a directory", path)
        if status.st_uid not in {0, os.geteuid()}:
            raise Failure(f"{path}: {name} is a symbolic link of an unprivileged user, which is not followed")
        return os.readlink(name, dir_fd=opened[-1])


def _go_up(opened: List[int], steps: int) -> None:
    """Close the last folders, but never the root."""
    for _ in range(min(steps, len(opened) - 1)):
        os.close(opened.pop())


def temporary_name(name: str) -> str:
    """Return the temporary name for a name: short, and the same again after a kill."""
    return ".rolecall-new-" + hashlib.sha256(name.encode()).hexdigest()[:16]


def _selinux_label(folder: int, name: str) -> Dict[str, str]:
    """Return the SELinux label of a regular file, if it has one."""
    with contextlib.suppress(OSError):
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        try:
            return {"security.selinux": os.getxattr(fd, "security.selinux").hex()}
        finally:
            os.close(fd)
    return {}
