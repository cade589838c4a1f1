"""Standard output is for results alone: what modules, inventories in Python and their children print goes to stderr."""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from rolecall.documents import as_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rolecall.errors import Fault

_kept: list[tuple[int, TextIO]] = []  # standard output as it was, once for each `reserved` that runs


@contextmanager
def reserved() -> Iterator[None]:
    """While the block runs, whatever is printed goes to standard error, unless it is printed within `results`."""
    if sys.stdout is None or sys.stderr is None:  # one of them is closed
        yield
        return
    _kept.append((os.dup(1), sys.stdout))
    _become(2, sys.stderr)
    try:
        yield
    finally:
        descriptor, stream = _kept.pop()
        _become(descriptor, stream)
        os.close(descriptor)
        atexit.unregister(_silence)
        atexit.register(_silence)  # functions run at exit in reverse order: this one before those of modules


@contextmanager
def results() -> Iterator[None]:
    """Within `reserved`, give the block standard output: to print a result, or to pass it on to another program."""
    if not _kept:
        yield
        return
    _become(*_kept[-1])
    try:
        yield
    finally:
        _become(2, sys.stderr)


def write(text: str | bytes) -> None:
    """Print a result, without a newline at its end."""
    with results():
        click.echo(text, nl=False)


def tell(faults: Iterable[Fault], *, as_json: bool) -> None:
    """Print faults: as text to standard error, or as one JSON document to standard output."""
    if as_json:
        write(as_text({"faults": [fault.as_json() for fault in faults]}) + "\n")
    else:
        for fault in faults:
            click.echo(str(_relative(fault)), err=True)


def _relative(fault: Fault) -> Fault:
    """Return the fault with its file relative to the current folder, where the file is below it."""
    if fault.where and fault.where.file and fault.where.file.is_absolute():
        try:
            return fault.at(replace(fault.where, file=fault.where.file.relative_to(Path.cwd())))
        except ValueError:
            return fault
    return fault


def is_terminal() -> bool:
    """Return whether results go to a terminal."""
    with results():
        return sys.stdout is not None and sys.stdout.isatty()


def _become(descriptor: int, stream: TextIO) -> None:
    """Make a stream and its descriptor standard output; what was printed until now goes where it was meant to go."""
    for printed in (sys.stdout, sys.__stdout__):
        if printed is not None and not printed.closed:
            printed.flush()
    os.dup2(descriptor, 1)
    sys.stdout = stream


def _silence() -> None:
    """Send what modules print when the program ends to standard error, too."""
    with suppress(OSError, ValueError):
        _become(2, sys.stderr)
