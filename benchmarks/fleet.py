"""Updates of 1, 4 and 8 machines of the lab, compared with `ssh HOST python3 -c pass` on all of them at once.

On new machines: the first update, one that changes nothing, and one that changes a file on each. The resources of a
machine are in workload.py. Services must run for a second after they were started, or as long as `--settle` says.
Needs what the lab needs: root on Debian.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from measure import ROLECALL, table

from rolecall.lab import Lab

HERE = Path(__file__).parent
SIZES = (1, 4, 8)


def seconds(do: Callable[[], object]) -> float:
    """Return how long something takes."""
    start = time.perf_counter()
    do()
    return time.perf_counter() - start


def write(project: Path, machines: list[str], settings: dict[str, float]) -> None:
    """Write the inventory, with these settings of the workload."""
    instance = {
        "module": {"name": "workload", "input": "self"},
        "roles": {"node": {"tags": ["all"], "settings": settings}},
    }
    inventory = {"machines": {name: {} for name in machines}, "instances": {"workload": instance}}
    (project / "inventory.json").write_text(json.dumps(inventory))


def measure(size: int, settle: float | None = None) -> dict[str, float]:
    """Return the seconds of each kind of update on new machines, and of the floor.

    Args:
        size: How many machines.
        settle: Seconds that services must run after they were started; None for the default.
    """
    settings = {} if settle is None else {"settle": settle}
    machines = [f"m{number}" for number in range(1, size + 1)]
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "modules").mkdir()
        shutil.copy(HERE / "workload.py", project / "modules")
        write(project, machines, settings)

        def update() -> None:
            subprocess.run([ROLECALL, "update", "--yes"], cwd=project, check=True, capture_output=True)

        with Lab(project / ".rolecall/lab", machines) as lab:

            def floor() -> None:
                with ThreadPoolExecutor(size) as pool:
                    list(pool.map(lambda name: lab.run(name, "python3", "-c", "pass"), machines))

            floor()  # the first login after a boot takes longer
            took = {"first": seconds(update), "no-op": seconds(update)}
            write(project, machines, {**settings, "change": 1})
            took["change"] = seconds(update)
            took["no-op"] = statistics.median([took["no-op"], seconds(update), seconds(update)])
            took["floor"] = statistics.median([seconds(floor) for _ in range(3)])
    return took


def main() -> None:
    """Print a row for each size of the fleet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one machine, once; shows only that it works")
    parser.add_argument("--settle", type=float, help="seconds that services must run after they were started")
    given = parser.parse_args()
    quick = given.quick
    rows = [("machines", "first s", "no-op s", "change s", "ssh python3 s", "no-op / ssh")]
    for size in SIZES[:1] if quick else SIZES:
        runs = [measure(size, given.settle) for _ in range(1 if quick else 3)]
        took = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        figures = [f"{took[name]:.2f}" for name in ("first", "no-op", "change", "floor")]
        rows.append((str(size), *figures, f"{took['no-op'] / took['floor']:.1f}"))
    table(rows)


if __name__ == "__main__":
    main()
