"""The cost of keys and secrets: whole processes, compared with a floor that does the least possible work.

A mesh of machines, each with a WireGuard key pair and some more secrets. Generating all is compared with encrypting
as many values with the same library and writing them. Listing them, checking who can read them (`vars check`), and
evaluating all machines are compared with reading every file below vars/ once.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import ROLECALL, Cost, medians, once, table

SIZES = ((1000, 9),)  # machines, and secrets of each besides its key
QUICK = ((10, 2),)
MODULE = """
from rolecall.service import File, Member, RandomBytes, Service, WireGuardKeyPair, secret_file

service = Service("mesh", description="For the benchmark.")
peer = service.role("peer", description="All.")
pair = peer.var("pair", WireGuardKeyPair())
more = [peer.var(f"more{number}", RandomBytes()) for number in range(MORE)]

@peer.configure
def configure(me: Member):
    yield secret_file(me[pair].private)
    yield File(me.path("peers"), "".join(f"{each.machine} {each[pair].public}\\n" for each in me.members(peer)))
"""
SEAL = """
import sys, pyrage
from pathlib import Path
recipient = pyrage.x25519.Identity.generate().to_public()
for number in range(int(sys.argv[1])):
    folder = Path(sys.argv[2]) / str(number)
    folder.mkdir(parents=True)
    (folder / "secret").write_bytes(pyrage.encrypt(b"x" * 44, [recipient]))
"""
READ = """
import os, sys
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        with open(os.path.join(folder, name), "rb") as file:
            file.read()
"""


def create_project(project: Path, machines: int, more: int) -> None:
    """Create a project without vars."""
    (project / "modules").mkdir(parents=True)
    (project / "modules/mesh.py").write_text(MODULE.replace("MORE", str(more)))
    names = "".join(f'machines.m{number}.deploy.targetHost = "dir:targets/m{number}"\n' for number in range(machines))
    (project / "inventory.toml").write_text(
        f'{names}[instances.mesh]\nmodule.input = "self"\nroles.peer.tags = ["all"]\n'
    )
    subprocess.run([ROLECALL, "keys", "create", "me"], cwd=project, check=True, stdout=subprocess.DEVNULL)


def measured(folder: Path, machines: int, more: int, times: int) -> dict[str, list[Cost]]:
    """Return our cost and the floor's, by row."""
    project = folder / "project"
    create_project(project, machines, more)
    count = machines * (more + 1)
    generated = once([ROLECALL, "vars", "generate"], project)
    floor = once([sys.executable, "-I", "-c", SEAL, str(count), str(folder / "floor")])
    read = ([sys.executable, "-I", "-c", READ, str(project / "vars")], None)
    commands = {"list": ["vars", "list"], "check": ["vars", "check"], "evaluate": ["show", "--all", "--json"]}
    costs = medians(times, read, *(([ROLECALL, *words], project) for words in commands.values()))
    return {f"generate {count}": [generated, floor]} | {
        f"{name} {count}": [cost, costs[0]] for name, cost in zip(commands, costs[1:], strict=True)
    }


def main() -> None:
    """Print the rows of each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one small size, once; shows only that it works")
    chosen = parser.parse_args()
    rows = [("machines", "secrets", "CPU s", "floor", "ratio", "wall s", "peak MiB")]
    for machines, more in QUICK if chosen.quick else SIZES:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["ROLECALL_IDENTITY"] = f"{folder}/identity"
            costs = measured(Path(folder), machines, more, 1 if chosen.quick else 3)
        for what, (ours, floor) in costs.items():
            cpu = (f"{ours.cpu:.2f}", f"{floor.cpu:.2f}", f"{ours.cpu / floor.cpu:.1f}")
            rows.append((str(machines), what, *cpu, f"{ours.wall:.2f}", f"{ours.peak:.0f}"))
    table(rows)


if __name__ == "__main__":
    main()
