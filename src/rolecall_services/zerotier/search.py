"""The search for a new identity: several processes try random keys until one of them has an address."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from contextlib import ExitStack, suppress

from rolecall_services.zerotier import keys
from rolecall_services.zerotier.identities import Identity, address_of

_MOST_PROCESSES = 8
"""About 15 trials are expected, so that more processes would hardly find one earlier."""


def new_identity() -> Identity:
    """Return a new identity with its secret key; the search takes about 3 s of one core, and less on several.

    A pool of `concurrent.futures` leaves its processes behind when its own process is killed; these end by themselves.

    Raises:
        RuntimeError: When no process finds one.
    """
    # -P keeps modules in the current directory from being imported.
    command = [sys.executable, "-P", "-c", f"import {__name__} as search; search.write_found()"]
    reading, writing = os.pipe()
    with ExitStack() as running, open(reading) as found:  # noqa: PTH123 - a descriptor
        with open(writing, "wb") as results:  # noqa: PTH123 - as above
            for _ in range(min(os.cpu_count() or 1, _MOST_PROCESSES)):
                # A session of its own keeps Ctrl-C from it.
                process = running.enter_context(subprocess.Popen(command, stdout=results, start_new_session=True))
                running.callback(process.kill)
        text = found.readline()
    if not text:
        raise RuntimeError("the search for an identity ended without a result")
    identity = Identity.parse(text)
    identity.validate()
    return identity


def search() -> Identity:
    """Try random keys until one has an address, and return the first that has."""
    while True:
        secret_key = secrets.token_bytes(keys.KEY_SIZE)
        public_key = keys.public_key(secret_key)
        if address := address_of(public_key):
            return Identity(address, public_key, secret_key)


def write_found() -> None:
    """Write an identity and its secret key to standard output; the main function of a process that searches."""
    text = f"{search().secret}\n".encode()
    with suppress(BrokenPipeError):  # when the process that wanted it was killed
        os.write(sys.stdout.fileno(), text)
