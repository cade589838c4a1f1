"""Updates of many `dir:` machines in one run: the first, one that changes nothing, and one that changes a file on each.

In between, `plan` and `status` of all of them, with the time of each as a multiple of the update that changes nothing.

The resources of a machine are in workload.py. The agents of such machines run in the process of the command, so its
peak of memory is that of the run.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

from measure import ROLECALL, once, table

HERE = Path(__file__).parent


def write(project: Path, count: int, change: int) -> None:
    """Write the inventory; `change` is a part of one file on each machine."""
    machines = {f"m{number}": {"deploy": {"targetHost": f"dir:targets/m{number}"}} for number in range(count)}
    node = {"tags": ["all"], "settings": {"change": change}}
    instances = {"workload": {"module": {"name": "workload", "input": "self"}, "roles": {"node": node}}}
    (project / "inventory.json").write_text(json.dumps({"machines": machines, "instances": instances}))


def main() -> None:
    """Print a row for each update."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="ten machines; shows only that it works")
    parser.add_argument("--machines", type=int, default=1000)
    options = parser.parse_args()
    count = 10 if options.quick else options.machines
    rows = [("", "seconds", "ratio", "cpu", "peak MiB")]
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "modules").mkdir()
        shutil.copy(HERE / "workload.py", project / "modules")
        update, costs = ["update", "--yes"], {}
        steps = [("first", update), ("no-op", update), ("plan", ["plan"]), ("status", ["status"]), ("change", update)]
        for name, words in steps:
            write(project, count, int(name == "change"))
            costs[name] = once([ROLECALL, *words], project)
        for name, cost in costs.items():
            ratio = cost.wall / costs["no-op"].wall
            rows.append((name, f"{cost.wall:.1f}", f"{ratio:.2f}", f"{cost.cpu:.1f}", f"{cost.peak:.0f}"))
    table(rows)


if __name__ == "__main__":
    main()
