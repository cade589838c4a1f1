"""The fingerprint of a machine that was found to be as declared: while it is the same, so is the machine.

It consists of what a comparison has looked at: the status of each path, the names in each folder that it listed, and
the answer of each command. Like the index of Git, it takes a file for unchanged while its inode and its times are;
nobody can set the time of a status change (ctime). It imports little, since it saves time (see `early`).
"""

from __future__ import annotations

import json
import os
import select
import stat
import sys
import time
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Set, Tuple

if TYPE_CHECKING:
    from typing import Mapping

PATH = "/var/lib/rolecall/fingerprint.json"
_STATE = "/var/lib/rolecall"  # of whose files those are noted that count
MARGIN = 20_000_000
"""Nanoseconds by which the time of a status change may lag behind the clock: a tick, at most ten milliseconds."""
_COARSE = 2_000_000_000  # the same where a file system stores whole seconds
_SOURCES = "/etc/nsswitch.conf"  # of accounts
_JOURNAL = "/var/lib/rolecall/journal.json"
_ALWAYS = (
    "/etc/passwd",
    "/etc/group",
    "/etc/shadow",
    "/etc/gshadow",
    _SOURCES,
    "/etc/os-release",
    "/usr/lib/os-release",
    _JOURNAL,
    "/var/lib/rolecall/current",
)
_LIVE = ("/proc", "/sys")  # where a status says nothing about the content
_SECONDS = 60

Answer = Tuple[Sequence[str], bool, int, str]
"""A command that was asked: program with arguments, whether errors count as output, exit status and output."""


class Notes:
    """What a comparison has looked at.

    Attributes:
        paths: The paths.
        folders: The names in each folder that it listed.
        answers: The commands.
        complete: Whether it has used nothing else.
        began: When it began, in nanoseconds since the epoch.
    """

    def __init__(self) -> None:
        self.paths: Set[str] = set()
        self.folders: Dict[str, List[str]] = {}
        self.answers: List[Answer] = []
        self.complete = True
        self.began = time.time_ns()


def take(notes: Notes) -> Optional[Dict[str, Any]]:
    """Return the fingerprint; None if something may have changed since the comparison began, or could unnoticed."""
    paths = sorted({*notes.paths, *_ALWAYS})
    if not notes.complete or any(path.startswith(_LIVE) for path in paths) or _has_other_accounts():
        return None
    if os.path.exists(_JOURNAL) or not all(_is_settled(path, notes.began) for path in paths):
        return None
    statuses = {path: _status(path) for path in paths}
    folders = {path: names for path, names in notes.folders.items() if not path.startswith(_STATE)}
    return {"python": sys.version, "paths": statuses, "folders": folders, "answers": notes.answers}


def known(agent: str) -> Optional[Dict[str, Any]]:
    """Return the fingerprint that is kept, if the machine still has it; None otherwise.

    Args:
        agent: The digest of the agent that the controller wants, as which this runs.
    """
    try:
        with open(PATH, encoding="utf-8") as file:
            fingerprint: Dict[str, Any] = json.load(file)
        same = (fingerprint["agent"], fingerprint["python"]) == (agent, sys.version) and stands(fingerprint)
    except Exception:  # noqa: BLE001 - whatever is wrong with it, an agent can find out
        return None
    return fingerprint if same else None


def stands(fingerprint: Mapping[str, Any]) -> bool:
    """Return whether the machine still has this fingerprint."""
    asked = fingerprint["answers"]
    running = [_start(argv, fingerprint["environment"], errors=errors) for argv, errors, _, _ in asked]
    same = all(_status(path) == status for path, status in fingerprint["paths"].items()) and all(
        _names(path) == names for path, names in fingerprint["folders"].items()
    )
    answers = [_answer(pid, output) for pid, output in running]
    return same and answers == [(status, output) for _, _, status, output in asked]


def _status(path: str) -> Optional[List[int]]:
    """Return what identifies the state of what is at a path; None if nothing is."""
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    access = [status.st_dev, status.st_ino, status.st_mode, status.st_uid, status.st_gid]
    if stat.S_ISDIR(status.st_mode):  # what is in it is noted for itself
        return access
    return [*access, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _names(path: str) -> List[str]:
    """Return the names in a folder, sorted; [] when it does not exist."""
    try:
        return sorted(os.listdir(path))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_settled(path: str, began: int) -> bool:
    """Return whether what is at a path, or that nothing is, has not changed since a time."""
    while True:
        try:
            changed = os.lstat(path).st_ctime_ns
        except (FileNotFoundError, NotADirectoryError):
            path = os.path.dirname(path)
        else:
            return changed < began - (MARGIN if changed % 1_000_000_000 else _COARSE)


def _has_other_accounts() -> bool:
    """Return whether accounts may come from somewhere else than the files, such as a directory service."""
    # systemd adds accounts of services, and what is in these folders.
    if any(os.path.isdir(folder) for folder in ("/etc/userdb", "/run/userdb", "/run/host/userdb")):
        return True
    try:
        with open(_SOURCES, encoding="utf-8", errors="replace") as lines:
            sources = [line.partition("#")[0].partition(":") for line in lines]
    except FileNotFoundError:
        return False
    accounts = [words.split() for name, _, words in sources if name.strip() in {"passwd", "group", "shadow"}]
    return any(not set(words) <= {"files", "systemd"} for words in accounts)


def _start(argv: Sequence[str], environment: Mapping[str, str], *, errors: bool) -> Tuple[int, int]:
    """Start a command; return its process id, and the pipe of what it prints."""
    output, end = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, 0)
            os.dup2(end, 1)
            os.dup2(end if errors else nothing, 2)
            os.execvpe(argv[0], list(argv), dict(environment))  # noqa: S606 - the arguments are a list
        finally:
            os._exit(127)
    os.close(end)
    return pid, output


def _answer(pid: int, output: int) -> Tuple[int, str]:
    """Return the exit status of a command and what it prints; kill one that takes too long."""
    printed = b""
    waiting = select.poll()
    waiting.register(output, select.POLLIN)
    while waiting.poll(_SECONDS * 1000):
        data = os.read(output, 1 << 16)
        if not data:
            break
        printed += data
    else:
        os.kill(pid, 9)
    os.close(output)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), printed.decode(errors="replace")
