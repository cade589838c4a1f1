"""What evaluation costs: the whole process `rolecall show --json`, beside a plain loop over the same file.

Machines x instances: each machine has one of ten tags; each instance has as clients all machines of one tag and
three named ones with settings of their own, and one server.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from measure import ROLECALL, medians, table

TAGS = 10
SIZES = ((100, 10), (1000, 10), (1000, 100))
QUICK = ((30, 5),)


def inventory(machines: int, instances: int) -> dict[str, Any]:
    """Return the data of one size."""
    names = [f"machine-{number:04}" for number in range(machines)]
    return {
        "meta": {"name": "benchmark"},
        "machines": {name: {"tags": [f"tag-{number % TAGS}"]} for number, name in enumerate(names)},
        "instances": {
            f"backup-{number:03}": {
                "module": {"name": "borgbackup"},
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


def main() -> None:
    """Print a row for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one small size, once: only that it runs")
    parser.add_argument("--notation", choices=("toml", "json"), default="toml")
    chosen = parser.parse_args()
    rows = [("machines x instances", "members", "CPU s", "plain loop", "ratio", "peak MiB", "plain loop", "ratio")]
    for machines, instances in QUICK if chosen.quick else SIZES:
        with tempfile.TemporaryDirectory() as folder:
            project = Path(folder)
            file = project / f"inventory.{chosen.notation}"
            data = inventory(machines, instances)
            file.write_text(as_toml(data) if chosen.notation == "toml" else json.dumps(data, indent=2))
            show = [ROLECALL, "show", "--json"]
            shown = json.loads(subprocess.run(show, cwd=project, check=True, capture_output=True).stdout)["members"]
            defaults = {role: first for role, (first, *_) in all_settings(shown).items()}
            loop = [sys.executable, "-I", str(Path(__file__).parent / "plain_loop.py"), str(file), json.dumps(defaults)]
            assert shown == json.loads(subprocess.run(loop, check=True, capture_output=True).stdout)["members"]
            ours, floor = medians(1 if chosen.quick else 5, (show, project), (loop, None))
            count = sum(len(members) for roles in shown.values() for members in roles.values())
            cpu = (f"{ours.cpu:.2f}", f"{floor.cpu:.2f}", f"{ours.cpu / floor.cpu:.1f}")
            peak = (f"{ours.peak:.0f}", f"{floor.peak:.0f}", f"{ours.peak / floor.peak:.1f}")
            rows.append((f"{machines} x {instances}", str(count), *cpu, *peak))
    table(rows)


def all_settings(members: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the settings of all members by role."""
    return {role: [*machines.values()] for roles in members.values() for role, machines in roles.items()}


if __name__ == "__main__":
    main()
