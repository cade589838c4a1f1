"""The floor of evaluation.py: the same inventory file to the same members, by a plain loop that checks nothing."""

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

DEFAULTS: dict[str, dict[str, Any]] = json.loads(sys.argv[2])


def main(path: Path) -> None:
    """Print what `rolecall show --json` prints for an inventory without mistakes."""
    inventory = tomllib.loads(path.read_text()) if path.suffix == ".toml" else json.loads(path.read_bytes())
    tagged: dict[str, list[str]] = {}
    for machine, entry in inventory["machines"].items():
        for tag in entry["tags"]:
            tagged.setdefault(tag, []).append(machine)
    members: dict[str, dict[str, dict[str, Any]]] = {}
    for name, instance in inventory["instances"].items():
        roles = members[name] = {}
        for role, entry in instance["roles"].items():
            base = DEFAULTS[role] | entry.get("settings", {})
            own = entry.get("machines", {})
            machines = {machine for tag in entry.get("tags", []) for machine in tagged[tag]} | own.keys()
            roles[role] = {machine: base | own.get(machine, {}).get("settings", {}) for machine in sorted(machines)}
    json.dump({"machines": inventory["machines"], "members": members, "warnings": []}, sys.stdout)


main(Path(sys.argv[1]))
