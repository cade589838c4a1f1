"""Files below a root directory, safe against the other users of the machine."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import stat
from abc import ABC, abstractmethod
from typing import Callable, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Tuple, TypeVar, Union

from rolecall_agent.barriers import Barriers, barriers_at
from rolecall_agent.errors import Failure
from rolecall_agent.fingerprint import Notes
from rolecall_agent.walk import FOLDER, MAX_LINKS, Place, Walk, look

TEMPORARY = ".rolecall-"
"""How all temporary names begin."""
MAX_SIZE = 1 << 30  # bytes; no content that a controller sends is larger

ACL = "system.posix_acl_access"
"""The attribute with an access control list, acl(5)."""
LABEL = "security.selinux"
"""The attribute with the label of SELinux, which depends on the path."""

_OF_CONTENT = {"security.ima", "security.evm"}  # signatures, ima_policy and evm of the kernel's documentation
_PIECE = 1 << 20  # bytes
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_TYPES = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink"}

T = TypeVar("T")


class Entry(NamedTuple):
    """What is at a path, without following a link.

    Attributes:
        type: ``file``, ``directory``, ``symlink`` or ``other``.
        owner: User name, or the id of an unknown user.
        group: Group name, or the id of an unknown group.
        mode: Permission bits.
        size: In bytes.
        ids: User id and group id.
        mtime_ns: Modification time in nanoseconds since the epoch.
        links: How many names it has.
        target: Target of a symlink, else "".
    """

    type: str
    owner: str
    group: str
    mode: int
    size: int
    ids: Tuple[int, int]
    mtime_ns: int
    links: int = 1
    target: str = ""


class Tree(ABC):
    """Files by absolute path below a root. `Walk` describes how a path is followed.

    Attributes:
        token: What temporary names are computed from, so that no other user can guess one. A switch writes it to its
            journal, so that its recovery finds what a killed agent left.
        notes: What was looked at.
    """

    def __init__(self, root: str) -> None:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.renew()

    def renew(self) -> None:
        """Begin anew: with another token, and without notes."""
        self.token = os.urandom(16).hex()
        self.notes = Notes()

    def close(self) -> None:
        """Close the root."""
        os.close(self._root)

    def stat(self, path: str) -> Optional[Entry]:
        """Return what is at a path; None for nothing."""
        try:
            with self._walk(path) as (folder, name):
                status, target = look(folder, name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        owner, group = self._owner(path, status)
        kind = _TYPES.get(stat.S_IFMT(status.st_mode), "other")
        mode = stat.S_IMODE(status.st_mode)
        ids = (status.st_uid, status.st_gid)
        return Entry(kind, owner, group, mode, status.st_size, ids, status.st_mtime_ns, status.st_nlink, target)

    def resolve(self, path: str) -> str:
        """Return the path to which links at a path lead: the path itself when there is no link.

        Raises:
            Failure: When a link must not be followed.
        """
        for _ in range(MAX_LINKS):
            try:
                walk = self._walk(path)
                with walk as (_, name):
                    target = walk.follow(name)
            except (FileNotFoundError, NotADirectoryError):
                return path
            if not target:
                return path
            path = target if target.startswith("/") else f"{path.rpartition('/')[0]}/{target}"
        raise Failure(f"{path}: too many symbolic links")

    def place(self, path: str) -> Place:
        """Return where a folder is; what is missing of its path counts as if it were created.

        Raises:
            Failure: When a link must not be followed.
        """
        names: List[str] = []
        while True:
            walk = Walk(self._root, f"{path}/.")  # without a note: no fingerprint depends on it
            with contextlib.suppress(FileNotFoundError, NotADirectoryError), walk:
                return functools.reduce(Place.below, reversed(names), walk.place)
            path, _, name = path.rpartition("/")
            names.append(name)

    def barriers(self, path: str) -> Barriers:
        """Return what keeps something at a path from being replaced.

        Raises:
            OSError: When its folder does not exist or cannot be examined.
        """
        with self._walk(path) as (folder, name):
            return barriers_at(folder, name)

    def pieces(self, path: str, limit: int = MAX_SIZE) -> Iterator[bytes]:
        """Yield the bytes of a regular file, piece by piece.

        Args:
            path: Where it is.
            limit: The number of bytes that it may have: a user can make a file of any size.

        Raises:
            OSError: When it does not exist or cannot be read.
            Failure: When it is not a regular file, or too large.
        """
        with self._walk(path) as (folder, name):
            fd = os.open(name, _READ, dir_fd=folder)
            try:
                status = os.fstat(fd)
                if not stat.S_ISREG(status.st_mode):
                    raise Failure(f"{path} is not a regular file")
                if status.st_size <= limit:
                    size = min(max(status.st_size, 4095), _PIECE) + 1  # a small file is read at once
                    while piece := os.read(fd, size):
                        limit -= len(piece)
                        if limit < 0:
                            break
                        yield piece
                    else:
                        return
                raise Failure(f"{path} is too large")
            finally:
                os.close(fd)

    def read(self, path: str, limit: int = MAX_SIZE) -> bytes:
        """Return the bytes of a regular file, as `pieces` yields them."""
        return b"".join(self.pieces(path, limit))

    def digest(self, path: str, limit: int = MAX_SIZE) -> str:
        """Return the lower-case hex SHA-256 of a regular file, as `pieces` yields it."""
        digest = hashlib.sha256()
        for piece in self.pieces(path, limit):
            digest.update(piece)
        return digest.hexdigest()

    def names(self, path: str) -> List[str]:
        """Return the names in a directory, sorted; [] when it does not exist."""
        names: List[str] = []
        with contextlib.suppress(FileNotFoundError), self._walk(path) as (folder, name):
            fd = os.open(name, FOLDER, dir_fd=folder)
            try:
                names = sorted(os.listdir(fd))
            finally:
                os.close(fd)
        self.notes.folders[path] = names
        return names

    def attributes(self, path: str) -> Dict[str, str]:
        """Return the extended attributes of a regular file, including ACL and label, as hex by name."""
        with self._walk(path) as (folder, name):
            fd = os.open(name, _READ, dir_fd=folder)
            try:
                return {key: os.getxattr(fd, key).hex() for key in os.listxattr(fd)}
            except OSError:  # the file system does not support them
                return {}
            finally:
                os.close(fd)

    def write(
        self,
        path: str,
        data: Union[bytes, Iterable[bytes]],
        owner: str = "root",
        group: str = "root",
        mode: int = 0o600,
        *,
        mtime_ns: int = 0,
        attributes: Optional[Mapping[str, str]] = None,
        private: bool = False,
    ) -> None:
        """Write a regular file atomically: temporary file, fsync, rename(2), fsync of the folder.

        Args:
            path: Where; its folder must exist. Anything there but a directory is replaced.
            data: The content, whole or in pieces. What raises while it is produced leaves the path as it is.
            owner: User name.
            group: Group name.
            mode: Permission bits.
            mtime_ns: Modification time, or 0 for now.
            attributes: Extended attributes as `attributes` returns them. By default, those of a file that is replaced
                are kept if only root or the owner can have set them, and otherwise only its SELinux label.
            private: Whether nobody may have access by an access control list, be it kept or inherited from the folder.

        Raises:
            OSError: When it cannot be written; nothing has changed then.
        """
        with self._walk(path) as (folder, name):
            temporary, fd = self._create(path, lambda free: os.open(free, _CREATE, 0o600, dir_fd=folder))
            try:
                with os.fdopen(fd, "wb") as file:
                    file.writelines((data,) if isinstance(data, bytes) else data)
                    file.flush()
                    self._set_owner(fd, path, owner, group)
                    kept = _kept(folder, name, os.fstat(fd).st_uid) if attributes is None else attributes
                    _set_attributes(fd, kept, private=private)
                    os.fchmod(fd, mode)  # last, since it limits an access control list
                    if mtime_ns:
                        os.utime(fd, ns=(mtime_ns, mtime_ns))
                    os.fsync(fd)
                os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary, dir_fd=folder)
                raise
            os.fsync(folder)

    def symlink(self, path: str, target: str, owner: str = "root", group: str = "root", *, mtime_ns: int = 0) -> None:
        """Create or replace a symbolic link atomically; ``mtime_ns`` is its modification time, or 0 for now.

        Raises:
            OSError: When it cannot be created.
        """
        with self._walk(path) as (folder, name):
            temporary, _ = self._create(path, lambda free: os.symlink(target, free, dir_fd=folder))
            try:
                self._set_link_owner(folder, temporary, path, owner, group)
                if mtime_ns:
                    os.utime(temporary, ns=(mtime_ns, mtime_ns), dir_fd=folder, follow_symlinks=False)
                os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary, dir_fd=folder)
                raise
            os.fsync(folder)

    def mkdir(self, path: str, owner: str = "root", group: str = "root", mode: int = 0o755) -> None:
        """Create a directory in an existing parent. Whenever it exists, it has this owner and mode.

        Raises:
            OSError: When it cannot be created.
        """
        with self._walk(path) as (folder, name):
            temporary, _ = self._create(path, lambda free: os.mkdir(free, 0o700, dir_fd=folder))
            try:
                self._set_access(folder, temporary, path, "directory", owner, group, mode)
                os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.rmdir(temporary, dir_fd=folder)
                raise
            os.fsync(folder)

    def set_access(self, path: str, type_: str, owner: str, group: str, mode: int) -> None:
        """Set owner, group and permission bits of a file or directory.

        Args:
            path: Where it is.
            type_: What it must be: ``file`` or ``directory``.
            owner: User name.
            group: Group name.
            mode: Permission bits.

        Raises:
            OSError: When it does not exist, or should be a directory and is not.
            Failure: When it is not a file, or also has another name: a user may have linked any file to this path.
        """
        with self._walk(path) as (folder, name):
            self._set_access(folder, name, path, type_, owner, group, mode)

    def remove(self, path: str) -> None:
        """Remove a file, a link or an empty directory, if it exists.

        Raises:
            OSError: When it cannot be removed; ENOTEMPTY for a directory that is not empty.
        """
        with contextlib.suppress(FileNotFoundError), self._walk(path) as (folder, name):
            if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                os.rmdir(name, dir_fd=folder)
            else:
                os.unlink(name, dir_fd=folder)
            self._owner_removed(path)
            os.fsync(folder)

    def remove_temporary(self, path: str) -> None:
        """Remove what a killed agent left beside a path while it was creating something there.

        Raises:
            OSError: When it cannot be removed.
        """
        for find in (str, self.resolve):  # at the path itself, and where a link there leads
            with contextlib.suppress(FileNotFoundError, NotADirectoryError, Failure):
                found = find(path)
                with self._walk(found) as (folder, _):
                    temporary = self._temporary_name(found)
                    try:
                        os.unlink(temporary, dir_fd=folder)
                    except IsADirectoryError:
                        try:
                            os.rmdir(temporary, dir_fd=folder)
                        except OSError as error:
                            if error.errno != errno.ENOTEMPTY:  # with something in it, it is not the agent's
                                raise

    # A recorded system does these differently.

    @abstractmethod
    def _owner(self, path: str, status: os.stat_result) -> Tuple[str, str]: ...

    @abstractmethod
    def _set_owner(self, fd: int, path: str, owner: str, group: str) -> None: ...

    @abstractmethod
    def _set_link_owner(self, folder: int, name: str, path: str, owner: str, group: str) -> None: ...

    @abstractmethod
    def _owner_removed(self, path: str) -> None: ...

    # Steps that several methods share.

    def _walk(self, path: str) -> Walk:
        self.notes.paths.add(path)
        return Walk(self._root, path)

    def _create(self, path: str, create: Callable[[str], T]) -> Tuple[str, T]:
        """Create something under a temporary name; return the name, and what `create` returned."""
        name = self._temporary_name(path)
        try:
            return name, create(name)
        except FileExistsError:  # left by a killed agent
            name = TEMPORARY + os.urandom(8).hex()
            return name, create(name)

    def _temporary_name(self, path: str) -> str:
        """Return the temporary name for a path: short, and with the same token the same again."""
        return TEMPORARY + hashlib.sha256(f"{self.token} {path}".encode()).hexdigest()[:16]

    def _set_access(self, folder: int, name: str, path: str, type_: str, owner: str, group: str, mode: int) -> None:
        fd = os.open(name, FOLDER if type_ == "directory" else _READ, dir_fd=folder)
        try:
            status = os.fstat(fd)
            if type_ == "file" and (not stat.S_ISREG(status.st_mode) or status.st_nlink > 1):
                raise Failure(f"{path} is not a regular file with a single name; move it away first")
            self._set_owner(fd, path, owner, group)
            os.fchmod(fd, mode)
            os.fsync(fd)
        finally:
            os.close(fd)


def _kept(folder: int, name: str, owner: int) -> Optional[Dict[str, str]]:
    """Return the attributes that a new file in place of a regular file keeps; None if there is no such file."""
    with contextlib.suppress(OSError):
        fd = os.open(name, _READ, dir_fd=folder)
        try:
            status = os.fstat(fd)
            trusted = status.st_nlink == 1 and status.st_uid in {0, owner}  # a user may have linked any file here
            names = {*os.listxattr(fd)} - _OF_CONTENT if trusted else {LABEL}
            return {key: os.getxattr(fd, key).hex() for key in names} if stat.S_ISREG(status.st_mode) else None
        finally:
            os.close(fd)
    return None


def _set_attributes(fd: int, attributes: Optional[Mapping[str, str]], *, private: bool) -> None:
    """Give a new file attributes; None for those that it has inherited from its folder."""
    kept = attributes or {}
    if private or (attributes is not None and ACL not in kept):
        with contextlib.suppress(OSError):  # it has inherited none
            os.removexattr(fd, ACL)
    for key, value in kept.items():
        if not (private and key == ACL):
            os.setxattr(fd, key, bytes.fromhex(value))
