"""The cost of evaluation: whole processes, compared with a plain loop over the same file.

Machines x instances: each machine has one of ten tags; each instance has as clients all machines of one tag and
three named ones with settings of their own, and one server. First the settings of all members (`rolecall show --json`,
borgbackup), then the configurations of all machines (`show --all --json`) and of one (`show MACHINE`), for a service
with a file, a unit and a timer for each client (relay.py). The column `count` has members, then resources.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from measure import ROLECALL, Cost, medians, table

TAGS = 10
SIZES = ((100, 10), (1000, 10), (1000, 100), (10000, 100))
QUICK = ((30, 5),)
HERE = Path(__file__).parent


def inventory(machines: int, instances: int, module: dict[str, str]) -> dict[str, Any]:
    """Return the data of one size."""
    names = [f"machine-{number:04}" for number in range(machines)]
    return {
        "meta": {"name": "benchmark"},
        "machines": {name: {"tags": [f"tag-{number % TAGS}"]} for number, name in enumerate(names)},
        "instances": {
            f"backup-{number:03}": {
                "module": module,
                "roles": {
                    "server": {"machines": {names[number % machines]: {}}},
                    "client": {
                        "tags": [f"tag-{number % TAGS}"],
                        "settings": {"startAt": "*-*-* 03:00:00"},
                        "machines": {
                            names[(number * 7 + extra * 3 + 1) % machines]: {"settings": {"startAt": "*-*-* 04:00:00"}}
                            for extra in range(3)
                        },
                    },
                },
            }
            for number in range(instances)
        },
    }


def as_toml(data: dict[str, Any], path: str = "") -> str:
    """Write tables of tables, strings and lists of strings as TOML."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in data.items() if not isinstance(value, dict)]
    text = f"[{path}]\n" + "\n".join(lines) + "\n" if path else ""
    return text + "".join(
        as_toml(value, f"{path}.{key}" if path else key) for key, value in data.items() if isinstance(value, dict)
    )


def printed(argv: list[str], folder: Path | None = None) -> dict[str, Any]:
    """Return the JSON document that a command prints."""
    document: dict[str, Any] = json.loads(subprocess.run(argv, cwd=folder, check=True, capture_output=True).stdout)
    return document


def settings(project: Path, file: Path, times: int) -> tuple[int, dict[str, list[Cost]]]:
    """Return the number of members, and by row our cost and the floor's."""
    show = [ROLECALL, "show", "--json"]
    members = printed(show, project)["members"]
    loop = [sys.executable, "-I", str(HERE / "plain_loop.py"), str(file), defaults(members)]
    assert members == printed(loop)["members"]
    count = sum(len(players) for roles in members.values() for players in roles.values())
    return count, {"settings": medians(times, (show, project), (loop, None))}


def configurations(project: Path, file: Path, times: int) -> tuple[int, dict[str, list[Cost]]]:
    """Return the same for configurations; also of one machine, compared with the floor for all."""
    members = printed([ROLECALL, "show", "--json"], project)["members"]
    show = [ROLECALL, "show", "--all", "--json"]
    loop = [sys.executable, "-I", str(HERE / "plain_loop.py"), str(file), defaults(members), "--configurations"]
    document = printed(show, project)
    assert document == printed(loop)
    ours, floor, one = medians(times, (show, project), (loop, None), ([ROLECALL, "show", "machine-0001"], project))
    count = sum(configuration["resources"] for configuration in document["configurations"].values())
    return count, {"configurations": [ours, floor], "one of them": [one, floor]}


def defaults(members: dict[str, Any]) -> str:
    """Return the default settings of each role as JSON, taken from its first member."""
    return json.dumps({role: next(iter(players.values())) for role, players in next(iter(members.values())).items()})


def main() -> None:
    """Print the rows of each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one small size, once; shows only that it works")
    parser.add_argument("--notation", choices=("toml", "json"), default="toml")
    chosen = parser.parse_args()
    rows = [("machines x instances", "what", "count", "CPU s", "floor", "ratio", "peak MiB", "floor", "ratio")]
    for machines, instances in QUICK if chosen.quick else SIZES:
        for measured, module in (
            (settings, {"name": "borgbackup"}),
            (configurations, {"name": "relay", "input": "self"}),
        ):
            with tempfile.TemporaryDirectory() as folder:
                project = Path(folder)
                file = project / f"inventory.{chosen.notation}"
                data = inventory(machines, instances, module)
                file.write_text(as_toml(data) if chosen.notation == "toml" else json.dumps(data, indent=2))
                (project / "modules").mkdir()
                shutil.copy(HERE / "relay.py", project / "modules")
                count, costs = measured(project, file, 1 if chosen.quick else 5)
            for what, (ours, floor) in costs.items():
                cpu = (f"{ours.cpu:.2f}", f"{floor.cpu:.2f}", f"{ours.cpu / floor.cpu:.1f}")
                peak = (f"{ours.peak:.0f}", f"{floor.peak:.0f}", f"{ours.peak / floor.peak:.1f}")
                rows.append((f"{machines} x {instances}", what, str(count), *cpu, *peak))
    table(rows)


if __name__ == "__main__":
    main()
