"""What keeps even root from replacing something: mounts, read-only file systems, and attributes of files."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from typing import Iterator, NamedTuple

# linux/fs.h; on architectures that number it in another way, the kernel answers with an error.
_GET_FLAGS = 2 << 30 | struct.calcsize("l") << 16 | ord("f") << 8 | 1
_IMMUTABLE = 0x10 | 0x20  # and append-only


class Barriers(NamedTuple):
    """The barriers at a path. Those that cannot be found out are false.

    Attributes:
        read_only: Whether the file system is mounted read-only: that of a directory, or of the folder of anything else.
        sealed: Whether its folder is immutable or append-only, so that nothing in it can be created or replaced.
        immutable: Whether what is there is immutable or append-only.
        mounted: Whether something is mounted there, so that rename(2) cannot replace it.
    """

    read_only: bool
    sealed: bool
    immutable: bool
    mounted: bool


def barriers_at(folder: int, name: str) -> Barriers:
    """Return the barriers at a name in an open folder.

    Raises:
        OSError: When the folder cannot be examined.
    """
    return Barriers(
        _is_read_only(folder, name), _is_immutable(folder, "."), _is_immutable(folder, name), _is_mounted(folder, name)
    )


def _is_read_only(folder: int, name: str) -> bool:
    with contextlib.suppress(OSError), _opened(folder, name, os.O_PATH | os.O_DIRECTORY) as fd:
        return bool(os.fstatvfs(fd).f_flag & os.ST_RDONLY)
    return bool(os.fstatvfs(folder).f_flag & os.ST_RDONLY)


def _is_immutable(folder: int, name: str) -> bool:
    """Source: ioctl_iflags(2)."""
    with contextlib.suppress(OSError), _opened(folder, name, os.O_RDONLY) as fd:
        flags = fcntl.ioctl(fd, _GET_FLAGS, bytes(struct.calcsize("l")))
        return bool(struct.unpack_from("I", flags)[0] & _IMMUTABLE)
    return False


def _is_mounted(folder: int, name: str) -> bool:
    with contextlib.suppress(FileNotFoundError), _opened(folder, name, os.O_PATH) as fd:
        return _mount_id(fd) != _mount_id(folder)
    return False


def _mount_id(fd: int) -> str:
    """Return the id of the mount to which a descriptor belongs, "" if unknown. Source: proc(5), fdinfo."""
    with contextlib.suppress(OSError), open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as file:
        return next((line for line in file if line.startswith("mnt_id:")), "")
    return ""


@contextlib.contextmanager
def _opened(folder: int, name: str, flags: int) -> Iterator[int]:
    fd = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        yield fd
    finally:
        os.close(fd)
