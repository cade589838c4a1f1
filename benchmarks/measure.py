"""What all benchmarks share: the cost of a whole process, and a table."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

# Users have byte code caches, so the measurements need them too.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

ROLECALL = str(Path(sys.executable).parent / "rolecall")


@dataclass(frozen=True)
class Cost:
    """What a process and its children used."""

    wall: float
    cpu: float
    peak: float  # MiB


def once(argv: Sequence[str], cwd: Path | None = None) -> Cost:
    """Run a process, which must succeed, and return its cost."""
    start = time.perf_counter()
    process = subprocess.Popen(argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, argv)
    return Cost(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def medians(times: int, *runs: tuple[Sequence[str], Path | None]) -> list[Cost]:
    """Return the median costs of several commands. They take turns, so that other load affects all alike."""
    costs = [[once(argv, cwd) for argv, cwd in runs] for _ in range(times)]
    return [
        Cost(*(statistics.median(getattr(cost, name) for cost in column) for name in ("wall", "cpu", "peak")))
        for column in zip(*costs, strict=True)
    ]


def table(rows: Iterable[Sequence[str]]) -> None:
    """Print rows as columns; the first row has the titles."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))
