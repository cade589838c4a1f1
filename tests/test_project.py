"""What holds for the whole checkout."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def oldest_python() -> list[str]:
    """Return how to call the oldest Python here from 3.9 on, under which the agent must run."""
    for version in ("3.9", "3.10"):
        call = ["env", f"PYENV_VERSION={version}", f"python{version}"]  # pyenv's shims ask for it
        if subprocess.run([*call, "-c", ""], check=False, capture_output=True).returncode == 0:
            return call
    return [sys.executable]


def test_the_agent_imports_under_the_oldest_python_without_anything_else() -> None:
    code = """if True:
        import importlib, pkgutil, sys
        sys.path.insert(0, sys.argv[1])
        import rolecall_agent
        for module in pkgutil.walk_packages(rolecall_agent.__path__, "rolecall_agent."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
        """
    flags = ["-I", "-B", "-S", "-W", "error"]
    subprocess.run([*oldest_python(), *flags, "-c", code, str(ROOT / "src")], check=True)


def test_no_tracked_file_names_a_registry() -> None:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    hosts = re.compile(r"py[p]i\.org|pythonh[o]sted|deb\.[d]ebian\.org|registry\.[n]pmjs")
    files = [ROOT / name for name in tracked.stdout.split("\0") if name]
    assert [str(file) for file in files if file.is_file() and hosts.search(file.read_text(errors="replace"))] == []


def test_the_lock_has_the_dependencies_of_the_project() -> None:
    asked = re.findall(r'^    "([\w.-]+)(?:\[\w+\])?>=', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    locked = re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert {name.lower().replace(".", "-") for name in asked} <= set(locked)
