"""Run the parts of script/test: without options, all that this machine can run. Each prints `[unit] ok 12.3 s`.

The output of a part is shown only if it fails; the other parts still run. The last line sums the tests: those that
pytest counted, and one for every other part.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # without byte code, every start would compile all modules
ENVIRONMENT = os.environ | {"PATH": f"{ROOT}/.venv/bin:{os.environ['PATH']}", "CACHE": "-p no:cacheprovider"}

# Every part may call this: temporary folders of tests are in memory, where a disk does not slow them down, if 2 GiB are
# free there.
BEGIN = """
in_memory() {
  local scratch free
  free=$(df --output=avail /dev/shm 2>/dev/null | tail -1) || free=0
  [ "$free" -gt 2000000 ] || { "$@"; return; }
  scratch=$(mktemp -d /dev/shm/tests-XXXXXX)
  trap "rm -rf '$scratch'" EXIT
  TMPDIR=$scratch "$@"
}
"""

# Each part is a bash script, run from the top of the checkout with .venv/bin first on PATH.
LINT = "ruff check . && ruff format --check ."
FIX = "ruff check --fix . && ruff format ."
TYPES = "mypy"
LAYERS = "lint-imports"
UNIT = "in_memory pytest $CACHE -n 2 --dist worksteal -m 'not lab and not slow' --ignore tests/test_docs.py"
LAWS = """
in_memory pytest $CACHE -n 2 --dist worksteal -m 'hypothesis and not lab and not slow' --hypothesis-profile thorough
"""
SLOW = "in_memory pytest $CACHE -n 2 --dist worksteal -m 'slow and not lab' --durations 5"
DOCS = "in_memory pytest $CACHE -m 'not lab' tests/test_docs.py"
# The tests of a file share a lab. They mostly wait, so there are more workers than cores.
LAB = "pytest $CACHE -m lab -n 3 --dist loadfile --durations 10"
BENCHMARKS = "for name in start evaluation vars many; do python benchmarks/$name.py --quick; done"  # fleet needs a lab
DEMO = """
printed=$(script/demo)
echo "$printed"
grep -q '^nothing changed' <<<"$printed" # its second update
"""
WHEEL = """
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
uv build --quiet --wheel --no-build-isolation --python .venv --out-dir "$folder"
uv venv --quiet --python .venv "$folder/venv"
uv pip install --quiet --python "$folder/venv" --constraints requirements.lock "$folder"/*.whl
cd "$folder"
venv/bin/rolecall --version
"""

EDITORS = "npm install --no-audit --no-fund --loglevel=error --prefix .venv/npm yaml-language-server@1.25.0"

# The parts of a group run in parallel, the groups one after the other. Two workers, as the unit tests use two cores.
UNIT_GROUPS = [{"lint": LINT, "types": TYPES, "layers": LAYERS}, {"unit": UNIT}]
OTHER_GROUPS = [
    {"slow": SLOW},
    {"laws": LAWS},
    {"docs": DOCS, "demo": DEMO, "wheel": WHEEL},
    {"benchmarks": BENCHMARKS},
]
LAB_GROUPS = [{"lab": LAB}]

printing = threading.Lock()


def run(name: str, script: str) -> tuple[int, int]:
    """Run one part, print its result, and return how many tests passed and failed."""
    start = time.monotonic()
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", BEGIN + script],
        cwd=ROOT, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", check=False,
    )  # fmt: skip
    word = "FAILED" if done.returncode else "ok"
    counts = []
    if closing := re.search(r".* in [\d.]+s\b.*\Z", done.stdout.rstrip()):  # pytest's last line
        counts = re.findall(r"(\d+) (passed|failed|errors?)\b", closing[0])
    with printing:
        if done.returncode:
            print(f"\n{done.stdout.rstrip()}\n")
        counted = ", ".join(f"{count} {what}" for count, what in counts)
        print(f"[{name}] {word} {time.monotonic() - start:.1f} s{counted and f' ({counted})'}", flush=True)
    passed = sum(int(count) for count, what in counts if what == "passed")
    failed = sum(int(count) for count, what in counts if what != "passed")
    if not counts:
        passed = int(done.returncode == 0)
    return passed, max(failed, int(done.returncode != 0))


def install(name: str, packages: str) -> None:
    """Install Debian packages that tests need, as root, and print the result as a part."""
    script = f"apt-get update -qq && apt-get install -qq --no-install-recommends {packages}"
    run(name, f"export DEBIAN_FRONTEND=noninteractive; {script}")


def why_no_lab() -> str:
    """Return why the lab cannot run here, after installing the packages that it needs; "" when it can."""
    check = [f"{ROOT}/.venv/bin/python", "-c", "from rolecall.lab import Lab; print(Lab.available() or '')"]
    missing = re.compile(r"apt-get install (.+)")
    reason = subprocess.run(check, capture_output=True, text=True, check=False).stdout.strip()
    if os.geteuid() == 0 and (packages := missing.search(reason)):
        install("lab: packages", packages[1])
        reason = subprocess.run(check, capture_output=True, text=True, check=False).stdout.strip()
    return reason


def main() -> int:
    """Run the chosen parts."""
    parser = argparse.ArgumentParser(prog="script/test", description=__doc__)
    parser.add_argument("--unit", action="store_true", help="only lint, types, layers and unit tests")
    parser.add_argument("--lab", action="store_true", help="only the tests on real machines; needs root and Debian")
    parser.add_argument("--fix", action="store_true", help="first let ruff fix and format what it can")
    chosen = parser.parse_args()

    for command, package in (
        ("borg", "borgbackup"),
        ("nix-instantiate", "nix-bin"),
        ("bwrap", "bubblewrap"),
        ("pass", "pass"),
    ):
        # Without these programs the slow tests skip some cases.
        if not chosen.unit and os.geteuid() == 0 and shutil.which("apt-get") and not shutil.which(command):
            install(command, package)
    if not chosen.unit and not chosen.lab and shutil.which("npm"):
        run("editors", EDITORS)  # without it the slow tests skip the language servers
    groups = [{"fix": FIX}] if chosen.fix else []
    if not chosen.lab:
        groups += UNIT_GROUPS
    if not chosen.lab and not chosen.unit:
        groups += OTHER_GROUPS
    no_lab = "" if chosen.unit else why_no_lab()
    if not chosen.unit and not no_lab:
        groups += LAB_GROUPS

    counts = []
    for group in groups:
        with ThreadPoolExecutor(2) as workers:
            counts += workers.map(run, group.keys(), group.values())
    if no_lab:
        print(f"[lab] skipped: {no_lab}")
    passed = sum(count for count, _ in counts)
    failed = sum(count for _, count in counts) + bool(no_lab and chosen.lab)
    print(f"{passed} passed, {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
