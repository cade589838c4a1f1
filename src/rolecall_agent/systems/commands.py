"""Commands on the machine, with an environment that does not depend on the login."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import time
from typing import BinaryIO, Dict, Iterator, List, Mapping, Sequence, Set, Tuple

from rolecall_agent.errors import Failure

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",  # as in a login, which a service of systemd does not have
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}

PYTHON_OPTIONS = ("-I", "-S", "-B", "-X", "utf8")
"""How Python starts: nothing is imported from the user or the site, no byte code is written (see `bytecode`), and paths
have the same bytes in every locale."""
OUTPUT_LIMIT = 1 << 24
"""How many bytes of a command's output are kept."""
TAIL = 1 << 16
"""How many bytes of it are kept of what was more than that."""
ROUNDS = 100
"""How often to look for processes that a command starts while it is killed."""


def run(argv: Sequence[str], timeout: float = 60) -> Tuple[int, str]:
    """Run a command without input; return its exit status, and the end of its output and errors."""
    status, output = execute(argv, timeout, errors=True)
    return status, output[-4000:]


def require(argv: Sequence[str], message: str, timeout: float = 60, *, given: bytes = b"") -> None:
    """Run a command with this input.

    Raises:
        Failure: When its exit status is not 0.
    """
    status, output = execute(argv, timeout, errors=True, given=given)
    if status:
        raise Failure(message, output[-4000:])


def execute(argv: Sequence[str], timeout: float = 60, *, errors: bool = False, given: bytes = b"") -> Tuple[int, str]:
    """Run a command; return its exit status and its output, with ``errors`` also what it reports.

    It has ended when its own process has: what it leaves in the background may keep its output open. Of a long output,
    only the end is returned. The status is 124 when it takes longer than ``timeout`` seconds, and 127 when it cannot be
    started. ``given`` is its input; it never leaves the memory.
    """
    import subprocess

    # No pipe, which would have to be read until all processes have closed it; in memory, as the disk may be full.
    with open(os.memfd_create("output"), "rb") as output, open(os.memfd_create("input"), "w+b") as source:
        source.write(given)
        source.seek(0)
        fcntl.fcntl(output, fcntl.F_SETFL, os.O_APPEND)
        reports = subprocess.STDOUT if errors else subprocess.DEVNULL
        try:
            # A session of its own, so that a timeout ends all of it, as do process groups of timeout(1) and shells.
            process = subprocess.Popen(argv, stdin=source, stdout=output, stderr=reports, start_new_session=True)
        except OSError as error:
            return 127, f"{argv[0]}: {error.strerror}"
        deadline = time.monotonic() + timeout
        end = b""
        with _sentinel(process.pid) as (waiting, period):
            while process.poll() is None:
                if time.monotonic() > deadline:
                    _kill(process.pid)
                    process.wait()
                    return 124, f"{argv[0]} took longer than {timeout:g} seconds"
                waiting.poll(period)
                size = os.fstat(output.fileno()).st_size
                if size > OUTPUT_LIMIT:
                    end = _read_from(output, size - TAIL)
                    os.ftruncate(output.fileno(), 0)  # it goes on at the start
        end += _read_from(output, 0)
        return process.returncode, end[-OUTPUT_LIMIT:].decode(errors="replace")


def _kill(session: int) -> None:
    """Kill the processes of a session, and what they have started, with and without a session of its own.

    A process that has left the session escapes if the one that started it has ended.
    """
    killed: Set[int] = set()
    for _ in range(ROUNDS):  # they may start others meanwhile
        found = _family(session) - killed
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        killed |= found
        if not found:
            return


def _family(session: int) -> Set[int]:
    """Return the processes of a session, and what they have started."""
    family = {session}
    parents: Dict[int, int] = {}
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{name}/stat", "rb") as file:
            # After the name, which may contain anything: state, parent, process group, session; see proc(5).
            words = file.read().rpartition(b")")[2].split()
            parents[int(name)] = int(words[1])
            if int(words[3]) == session:
                family.add(int(name))
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return family


def _read_from(file: BinaryIO, start: int) -> bytes:
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size - start, start)


@contextlib.contextmanager
def _sentinel(pid: int) -> Iterator[Tuple[select.poll, int]]:
    """Yield what waits for the end of a process, and for how many milliseconds it should be asked to."""
    waiting = select.poll()
    try:
        fd = os.pidfd_open(pid)
    except (AttributeError, OSError):  # before Linux 5.3
        yield waiting, 5
        return
    try:
        waiting.register(fd, select.POLLIN)
        yield waiting, 50
    finally:
        os.close(fd)


def is_installed(program: str) -> bool:
    """Return whether a program is on the PATH. `shutil.which` would do, but its import takes too long."""
    return any(os.access(f"{folder}/{program}", os.X_OK) for folder in ENVIRONMENT["PATH"].split(":"))


@contextlib.contextmanager
def scratch(files: Mapping[str, bytes]) -> Iterator[List[str]]:
    """Write files into a temporary private folder, and yield their paths."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="rolecall-") as folder:
        paths = [os.path.join(folder, name) for name in files]
        for path, data in zip(paths, files.values()):  # noqa: B905 - as above
            with open(path, "wb") as file:
                file.write(data)
            os.chmod(path, 0o440)  # visudo requires this mode
        yield paths
