"""Package files that are kept, with their digests: a damaged one must not be installed."""

from __future__ import annotations

import hashlib
import os
from typing import Dict, List, Sequence, Tuple

from rolecall_agent.state import sync

FOLDER = "/var/lib/rolecall/packages"
"""Where package files are downloaded to, and kept."""
LIMIT = 500_000_000
"""How many bytes of them are kept; see `tidy`."""
DIGESTS = "SHA256SUMS"
_BLOCK = 1 << 20
_HEX = 64  # digits


def prepare(starts: Sequence[str]) -> None:
    """Create the folder, and delete files whose names begin like these and that are not as they were recorded.

    A package manager would take them for what it has downloaded itself: apt compares nothing but their sizes.
    """
    os.makedirs(FOLDER, 0o755, exist_ok=True)
    for name in os.listdir(FOLDER):
        if name.startswith(tuple(starts)) and not is_intact(os.path.join(FOLDER, name)):
            os.remove(os.path.join(FOLDER, name))


def record(endings: Tuple[str, ...], starts: Sequence[str]) -> None:
    """Record the digests of all files; durable afterwards.

    Args:
        endings: How the names of package files end.
        starts: How the names of those begin that may be others than before, although their names are the same.
    """
    before = _digests()
    for folder, _, names in os.walk(FOLDER):
        for name in names:
            path = os.path.join(FOLDER, name)
            if name.endswith(endings) and not os.path.exists(path):
                os.link(os.path.join(folder, name), path)  # zypper deletes its files once they are installed
    known = {name: digest for name, digest in before.items() if not name.startswith(tuple(starts))}
    names = sorted(name for name in os.listdir(FOLDER) if name.endswith(endings))
    after = {name: known.get(name) or _digest(name) for name in names}
    if after != before:
        lines = [f"{digest}  {name}\n" for name, digest in after.items()]
        path = os.path.join(FOLDER, DIGESTS)
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        os.replace(f"{path}.new", path)
    sync(FOLDER)


def path_of(start: str) -> str:
    """Return the path of the file whose name begins like this, or "" if none is kept."""
    paths = (os.path.join(FOLDER, name) for name in sorted(_digests()) if name.startswith(start))
    return next(filter(os.path.exists, paths), "")


def is_intact(path: str) -> bool:
    """Return whether a file is as it was recorded."""
    name = os.path.basename(path)
    return _digest(name) == _digests().get(name)


def tidy(endings: Tuple[str, ...], needed: Sequence[str]) -> List[str]:
    """Delete files beyond the limit, the oldest first; return their names.

    Args:
        endings: How the names of package files end.
        needed: How the names of those begin that go last.
    """

    def rank(name: str) -> Tuple[bool, int]:
        return name.startswith(tuple(needed)), os.stat(os.path.join(FOLDER, name)).st_ctime_ns

    size, deleted = 0, []
    for name in sorted((name for name in os.listdir(FOLDER) if name.endswith(endings)), key=rank, reverse=True):
        size += os.path.getsize(os.path.join(FOLDER, name))
        if size > LIMIT:
            os.remove(os.path.join(FOLDER, name))
            deleted.append(name)
    return sorted(deleted)


def _digests() -> Dict[str, str]:
    try:
        with open(os.path.join(FOLDER, DIGESTS), encoding="utf-8") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return {}
    return {line[_HEX + 2 :]: line[:_HEX] for line in lines}


def _digest(name: str) -> str:
    digest = hashlib.sha256()
    with open(os.path.join(FOLDER, name), "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
        os.fsync(file.fileno())
    return digest.hexdigest()
