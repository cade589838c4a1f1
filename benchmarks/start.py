"""The time that a command takes to start: `rolecall --version`, compared with a bare interpreter."""

import sys

from measure import ROLECALL, medians, table

runs = 3 if "--quick" in sys.argv else 31
ours, floor = medians(runs, ([ROLECALL, "--version"], None), ([sys.executable, "-I", "-c", "pass"], None))
table(
    [
        ("", "wall ms", "CPU ms", "peak MiB"),
        ("rolecall --version", f"{ours.wall * 1000:.0f}", f"{ours.cpu * 1000:.0f}", f"{ours.peak:.0f}"),
        ("python -I -c pass", f"{floor.wall * 1000:.0f}", f"{floor.cpu * 1000:.0f}", f"{floor.peak:.0f}"),
        ("ratio", f"{ours.wall / floor.wall:.1f}", f"{ours.cpu / floor.cpu:.1f}", f"{ours.peak / floor.peak:.1f}"),
    ]
)
