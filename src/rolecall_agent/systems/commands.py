"""Commands on the machine, with an environment that does not depend on the login."""

from __future__ import annotations

import contextlib
import os
from typing import Iterator, List, Mapping, Sequence, Tuple

from rolecall_agent.errors import Failure

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",  # as in a login, which a service of systemd does not have
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}


def run(argv: Sequence[str], timeout: float = 60) -> Tuple[int, str]:
    """Run a command without input; return its exit status, and the end of its output and errors."""
    status, output = execute(argv, timeout, errors=True)
    return status, output[-4000:]


def require(argv: Sequence[str], message: str, timeout: float = 60) -> None:
    """Run a command.

    Raises:
        Failure: When its exit status is not 0.
    """
    status, output = run(argv, timeout)
    if status:
        raise Failure(message, output)


def execute(argv: Sequence[str], timeout: float = 60, *, errors: bool = False) -> Tuple[int, str]:
    """Run a command without input; return its exit status and its output, with ``errors`` also what it reports.

    The status is 124 when it takes longer than ``timeout`` seconds, and 127 when it cannot be started.
    """
    import subprocess

    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if errors else subprocess.DEVNULL,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 124, f"{argv[0]} took longer than {timeout:g} seconds"
    except OSError as error:
        return 127, f"{argv[0]}: {error.strerror}"
    return done.returncode, done.stdout.decode(errors="replace")


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
