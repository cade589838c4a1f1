"""Runs one command on a machine for `rolecall run` (see `archive.supervise_command`), as root.

sshd(8) lets a command go on when its connection ends. This ends it then: nobody sees any more what it does. Standard
input carries nothing; it ends with the connection. What the command prints goes to standard output after `BEGIN`, and
its exit status to standard error after `END`. An old Python must be able to parse this file.

Arguments: the command's argument vector.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

BEGIN = b"\0rolecall: begin\0"
END = b"\0rolecall: exit status "
GRACE = 5.0  # seconds for a command to end by itself, once it is told to
_BECOME_ROOT = ["sudo", "-n", "--"]


def main() -> None:
    """Run the command, and end as it did."""
    if os.geteuid():
        with open("/proc/self/cmdline") as file:
            os.execvp("sudo", _BECOME_ROOT + file.read().split("\0")[:-1])  # noqa: S606 - the arguments are a list
    write(1, BEGIN)
    try:
        command = subprocess.Popen(
            sys.argv[1:], stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, start_new_session=True
        )
    except OSError as error:
        write(1, (sys.argv[1] + ": " + str(error.strerror) + "\n").encode())
        status = 127 if isinstance(error, FileNotFoundError) else 126  # as of a shell
    else:
        lost = threading.Event()
        watcher = threading.Thread(target=watch, args=(command.pid, lost), daemon=True)
        watcher.start()
        status = command.wait()
        status = status if status >= 0 else 128 - status
        if lost.is_set():
            watcher.join()
    write(2, END + str(status).encode())
    os._exit(status)


def watch(group: int, lost: threading.Event) -> None:
    """End the processes of the command when the connection ends."""
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    lost.set()
    with contextlib.suppress(ProcessLookupError):  # when none is left
        for number in (signal.SIGTERM, signal.SIGKILL):
            os.killpg(group, number)
            until = time.monotonic() + GRACE
            while time.monotonic() < until:
                os.killpg(group, 0)
                time.sleep(0.05)


def write(descriptor: int, data: bytes) -> None:
    """Write bytes, unless nobody reads them any more."""
    with contextlib.suppress(OSError):
        os.write(descriptor, data)


if __name__ == "__main__":
    main()
