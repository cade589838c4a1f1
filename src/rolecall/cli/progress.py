"""The progress of a run: on a terminal a line per machine that changes in place, elsewhere a line per step."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import click

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from rich.live import Live
    from rich.table import Table

REFRESH = 8  # times a second
_BELOW = 2  # lines of the terminal that stay free
_USUAL = 24  # lines of a terminal that does not tell how many it has
_DONE = " committed"  # how the last step of a machine ends


class Progress(Protocol):
    """Shows what happens on machines. It is called with a machine and a step, from several threads."""

    def __call__(self, machine: str, text: str) -> None:
        """Show that a machine begins with a step."""

    def pause(self) -> None:
        """Leave the terminal to others until the next call."""


@contextmanager
def shown_progress(*, quiet: bool, every_line: bool) -> Iterator[Progress]:
    """Show the progress of a run on standard error while the block runs.

    Args:
        quiet: Whether to show nothing.
        every_line: Whether to keep a line of each step on a terminal, too.
    """
    terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and not (quiet or every_line)
    progress: Progress = Lines(quiet=quiet) if not terminal else Rows(sys.stderr)
    try:
        yield progress
    finally:
        progress.pause()


class Lines:
    """A line per machine and step, with the seconds since the start.

    Args:
        quiet: Whether to show nothing.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._lock = threading.Lock()
        self._began = time.monotonic()

    def __call__(self, machine: str, text: str) -> None:
        """Print a line."""
        if not self._quiet:
            with self._lock:
                click.echo(f"[{time.monotonic() - self._began:5.1f} s] {machine}: {text}", err=True)

    def pause(self) -> None:
        """Do nothing: lines stay where they are."""


class Rows:
    """A row per machine that changes in place: its last step, and for how long that has been going on.

    Args:
        file: The terminal.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._lock = threading.RLock()  # starting the rows draws them
        self._steps: dict[str, tuple[str, float]] = {}  # the last step of each machine, and when it began
        self._live: Live | None = None

    def __call__(self, machine: str, text: str) -> None:
        """Change the row of a machine."""
        with self._lock:
            self._steps.pop(machine, None)  # so that the last that changed comes last
            self._steps[machine] = (text, time.monotonic())
            if self._live is None:
                self._live = self._begin()

    def pause(self) -> None:
        """Leave the rows as they are on the terminal, and begin with new ones."""
        with self._lock:
            live, self._live = self._live, None
        if live:
            live.stop()
        with self._lock:
            self._steps.clear()

    def _begin(self) -> Live:
        from rich.console import Console
        from rich.live import Live

        console = Console(file=self._file, highlight=False)
        live = Live(console=console, get_renderable=self._table, refresh_per_second=REFRESH, redirect_stdout=False)
        live.start()
        return live

    def _table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        with self._lock:
            steps = list(self._steps.items())
        room = max((os.get_terminal_size(self._file.fileno()).lines or _USUAL) - _BELOW, 1)
        hidden = max(len(steps) - room, 0)
        table = Table.grid(padding=(0, 2))
        now = time.monotonic()
        for machine, (text, began) in sorted(steps[hidden:]):
            done = text.endswith(_DONE)
            elapsed = "" if done else f"{now - began:.0f} s"
            step = Text(text, style="green" if done else "", overflow="ellipsis", no_wrap=True)
            table.add_row(Text(machine, style="bold"), Text(elapsed, justify="right"), step)
        if hidden:
            table.add_row(Text(f"… {hidden} more"))
        return table
