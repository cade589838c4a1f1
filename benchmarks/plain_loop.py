"""The floor of evaluation.py: a plain loop from the same inventory file to the same members, without any checks.

With `--configurations` it prints the digests of the configurations that the service in relay.py gives.
"""

import hashlib
import json
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DEFAULTS: dict[str, dict[str, Any]] = json.loads(sys.argv[2])


def main(path: Path) -> None:
    """Print what `rolecall show --json` (or `show --all --json`) prints for an inventory without mistakes."""
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
    if "--configurations" in sys.argv:
        json.dump({"configurations": configurations(inventory["machines"], members)}, sys.stdout)
    else:
        json.dump({"machines": inventory["machines"], "members": members, "warnings": []}, sys.stdout)


def configurations(machines: dict[str, Any], members: dict[str, dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """Return digest and number of resources of every machine."""
    resources: dict[str, list[Any]] = {name: [] for name in machines}
    for instance, roles in members.items():
        folder, unit = f"/etc/rolecall/{instance}", f"rolecall-{instance}.job"
        servers = " ".join(roles["server"])
        for machine in roles["server"]:
            resources[machine].append(
                file(f"{folder}/clients", "".join(f"{name} {name}\n" for name in roles["client"]))
            )
        for machine, settings in roles["client"].items():
            text = f"machine={machine}\nservers={servers}\nexclude={settings['exclude']}\n"
            job = (
                "[Unit]\nDescription=A job\nWants=network-online.target\nAfter=network-online.target\n\n"
                f"[Service]\nType=oneshot\nExecStart=cat {folder}/conf\n"
            )
            timer = (
                f"[Unit]\nDescription=Starts the job\n\n[Timer]\nOnCalendar={settings['startAt']}\nPersistent=true\n"
                f"Unit={unit}.service\n\n[Install]\nWantedBy=timers.target\n"
            )
            resources[machine] += [
                file(f"{folder}/conf", text),
                systemd_unit(f"{unit}.service", job, restart_on=[f"file:{folder}/conf"]),
                systemd_unit(f"{unit}.timer", timer, active=True),
            ]
    digests = {}
    for machine, own in resources.items():
        own.sort(key=lambda resource: (resource["kind"], resource.get("path") or resource["name"]))
        configuration = {"schema": 1, "machine": machine, "resources": own, "checks": []}
        text = json.dumps(configuration, sort_keys=True, separators=(",", ":"))
        digests[machine] = {"digest": hashlib.sha256(text.encode()).hexdigest(), "resources": len(own)}
    return digests


def file(path: str, text: str) -> dict[str, Any]:
    """Return a file as it stands in a configuration."""
    content = [{"sha256": hashlib.sha256(text.encode()).hexdigest()}]
    placed = {"owner": "root", "group": "root", "mode": 0o644, "needed_for": "services", "restarts": []}
    return {"kind": "file", "path": path, "content": content, **placed}


def systemd_unit(name: str, text: str, *, active: bool = False, restart_on: Sequence[str] = ()) -> dict[str, Any]:
    """Return a unit as it stands in a configuration."""
    content = {"sha256": hashlib.sha256(text.encode()).hexdigest()}
    state = {"enabled": active, "started": active, "restart_on": restart_on, "reload_on": []}
    return {"kind": "unit", "name": name, "text": content, **state}


main(Path(sys.argv[1]))
