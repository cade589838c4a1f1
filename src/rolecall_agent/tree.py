"""Files below a root directory, safe against what ordinary users put in the way."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Dict, Iterator, List, Mapping, Optional, Tuple

MAX_LINKS = 40  # as Linux does, path_resolution(7)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Failure(Exception):  # noqa: N818 - not always an error of the program: mostly of what it found
    """Something could not be done.

    Attributes:
        message: For a person; never a secret.
        detail: Longer text from a program, or "".
        restored: Whether the machine is as it was before what was asked.
    """

    def __init__(self, message: str, detail: str = "", *, restored: bool = True) -> None:
        self.message = message
        self.detail = detail
        self.restored = restored
        super().__init__(message)


@dataclass(frozen=True)
class Entry:
    """What stands at a path; a link is not followed.

    Attributes:
        type: ``file``, ``directory``, ``symlink`` or ``other``.
        owner: User name, or the id where it has none.
        group: Group name, or the id where it has none.
        mode: Permission bits.
        size: In bytes.
        mtime_ns: Time of the last change in nanoseconds since the epoch.
        target: Of a symlink, else "".
    """

    type: str
    owner: str
    group: str
    mode: int
    size: int
    mtime_ns: int
    target: str = ""


class Tree(ABC):
    """Files by absolute path below a root; owners are real here.

    Every folder on the way is opened one by one: a symbolic link is followed only when root, or who runs this, made
    it, and never out of the root. (Else a user could lead us from his home to any file.)
    """

    def __init__(self, root: str) -> None:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Lets the root go."""
        os.close(self._root)

    def stat(self, path: str) -> Optional[Entry]:
        """What stands there; None for nothing."""
        try:
            with self._parent(path) as (folder, name):
                found = os.stat(name, dir_fd=folder, follow_symlinks=False)
                target = os.readlink(name, dir_fd=folder) if stat.S_ISLNK(found.st_mode) else ""
        except (FileNotFoundError, NotADirectoryError):
            return None
        types = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink"}
        owner, group = self._owner(path, found)
        kind = types.get(stat.S_IFMT(found.st_mode), "other")
        mode = stat.S_IMODE(found.st_mode)
        return Entry(kind, owner, group, mode, found.st_size, found.st_mtime_ns, target)

    def read(self, path: str) -> bytes:
        """A regular file's bytes.

        Raises:
            OSError: When it is not there or cannot be read.
            Failure: When it is no regular file.
        """
        with self._parent(path) as (folder, name):
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
            with os.fdopen(fd, "rb") as file:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise Failure(f"{path} is no regular file")
                return file.read()

    def names(self, path: str) -> List[str]:
        """The names in a directory, sorted; [] when it is not there."""
        try:
            with self._parent(path) as (folder, name), self._opened(folder, name) as fd:
                return sorted(os.listdir(fd))
        except FileNotFoundError:
            return []

    def attributes(self, path: str) -> Dict[str, str]:
        """Extended attributes of a regular file, ACL and label among them: name to hex; {} where there are none."""
        with self._parent(path) as (folder, name):
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
            try:
                return {key: os.getxattr(fd, key).hex() for key in os.listxattr(fd)}
            except OSError:  # a file system without them
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
        """Puts a regular file there in one step: beside, fsync, rename(2), fsync of the folder.

        Args:
            path: Where; its folder exists. What stood there, unless a directory, is replaced.
            data: All its bytes.
            owner: User name.
            group: Group name.
            mode: Permission bits.
            mtime_ns: A time to give it, or 0 for now.
            attributes: Extended attributes as `attributes` gave them; by default an SELinux label there is kept.

        Raises:
            OSError: When it cannot be written; nothing has changed then.
        """
        with self._parent(path) as (folder, name):
            beside = _beside(name)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(beside, dir_fd=folder)  # left by one that was killed
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(beside, flags, 0o600, dir_fd=folder)
            try:
                with os.fdopen(fd, "wb") as file:
                    file.write(data)
                    file.flush()
                    self._give(fd, path, owner, group)
                    os.fchmod(fd, mode)
                    for key, value in (_label(folder, name) if attributes is None else attributes).items():
                        os.setxattr(fd, key, bytes.fromhex(value))
                    if mtime_ns:
                        os.utime(fd, ns=(mtime_ns, mtime_ns))
                    os.fsync(fd)
                os.rename(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(beside, dir_fd=folder)
                raise
            os.fsync(folder)

    def symlink(self, path: str, target: str, owner: str = "root", group: str = "root") -> None:
        """Puts a symbolic link there in one step.

        Raises:
            OSError: When it cannot be made.
        """
        with self._parent(path) as (folder, name):
            beside = _beside(name)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(beside, dir_fd=folder)
            os.symlink(target, beside, dir_fd=folder)
            self._give_link(folder, beside, path, owner, group)
            os.rename(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)

    def mkdir(self, path: str, owner: str = "root", group: str = "root", mode: int = 0o755) -> None:
        """Makes a directory whose parent exists; its mode is right from its first moment.

        Raises:
            OSError: When it cannot be made.
        """
        with self._parent(path) as (folder, name):
            os.mkdir(name, 0o700, dir_fd=folder)
            self._own(folder, name, path, owner, group, mode)
            os.fsync(folder)

    def own(self, path: str, owner: str, group: str, mode: int) -> None:
        """Sets owner, group and permission bits of a file or directory.

        Raises:
            OSError: When it is not there.
        """
        with self._parent(path) as (folder, name):
            self._own(folder, name, path, owner, group, mode)

    def remove(self, path: str) -> None:
        """Removes a file or link, or an empty directory; nothing when it is not there.

        Raises:
            OSError: When it cannot be removed; ENOTEMPTY for a directory with something in it.
        """
        with contextlib.suppress(FileNotFoundError), self._parent(path) as (folder, name):
            if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                os.rmdir(name, dir_fd=folder)
            else:
                os.unlink(name, dir_fd=folder)
            self._forget(path)
            os.fsync(folder)

    def sweep(self, path: str) -> None:
        """Removes what a killed `write` or `symlink` left beside a path."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), self._parent(path) as (folder, name):
            os.unlink(_beside(name), dir_fd=folder)

    # What a recorded system does in another way.

    @abstractmethod
    def _owner(self, path: str, found: os.stat_result) -> Tuple[str, str]: ...

    @abstractmethod
    def _give(self, fd: int, path: str, owner: str, group: str) -> None: ...

    @abstractmethod
    def _give_link(self, folder: int, name: str, path: str, owner: str, group: str) -> None: ...

    @abstractmethod
    def _forget(self, path: str) -> None: ...

    # The way to a path.

    def _own(self, folder: int, name: str, path: str, owner: str, group: str, mode: int) -> None:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        try:
            self._give(fd, path, owner, group)
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
        """The open folder of a path, and the path's last name."""
        *ahead, name = path.strip("/").split("/")
        name = name or "."  # the root itself
        ahead.reverse()
        way = [os.dup(self._root)]
        links = 0
        try:
            while ahead:
                part = ahead.pop()
                if part == "..":
                    _leave(way, 1)
                elif part not in {"", "."}:
                    target = self._enter(way, part, path)
                    links += bool(target)
                    if links > MAX_LINKS:
                        raise Failure(f"{path}: too many symbolic links on the way")
                    if target.startswith("/"):
                        _leave(way, len(way))
                    ahead.extend(reversed(target.split("/")))
            yield way[-1], name
        finally:
            for fd in way:
                os.close(fd)

    def _enter(self, way: List[int], name: str, path: str) -> str:
        """Opens the next folder; or, for a link that may be followed, gives its target."""
        try:
            way.append(os.open(name, _FOLDER, dir_fd=way[-1]))
        except OSError as error:
            if error.errno not in {errno.ELOOP, errno.ENOTDIR}:
                raise
        else:
            return ""
        found = os.stat(name, dir_fd=way[-1], follow_symlinks=False)
        if not stat.S_ISLNK(found.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, f"{name} is not a directory", path)
        if found.st_uid not in {0, os.geteuid()}:
            raise Failure(f"{path}: {name} on the way is a symbolic link that an ordinary user made")
        return os.readlink(name, dir_fd=way[-1])


def _leave(way: List[int], steps: int) -> None:
    """Goes back up, at most to the root."""
    for _ in range(min(steps, len(way) - 1)):
        os.close(way.pop())


def _beside(name: str) -> str:
    """The temporary name for a name; short enough for any, and the same again after a kill."""
    return ".rolecall-new-" + hashlib.sha256(name.encode()).hexdigest()[:16]


def _label(folder: int, name: str) -> Dict[str, str]:
    """The SELinux label of a regular file, if it has one."""
    with contextlib.suppress(OSError):
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        try:
            return {"security.selinux": os.getxattr(fd, "security.selinux").hex()}
        finally:
            os.close(fd)
    return {}
