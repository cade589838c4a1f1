"""Inputs: real distributions, installed by uv from where the inventory says they come from."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rolecall import pipeline
from rolecall.errors import Faults
from rolecall.project import Project
from rolecall.service.inputs import installed, refer
from rolecall.service.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    Bring = Callable[..., None]

UV = Path(sys.executable).with_name("uv")
HEAD = "from rolecall.service import Interface, Service\nclass Zone(Interface):\n    name: str\n"
PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "{name}"
version = "2.1"
[project.entry-points."rolecall.services"]
{points}
[tool.hatch.build.targets.wheel]
include = ["*.py"]
"""


def service(name: str) -> str:
    role = "service.role('r', description='').exports(Zone)(lambda me: [])"
    return f"{HEAD}service = Service('{name}', description='Of {name}.')\n{role}\n"


def source(folder: Path, distribution: str, **modules: str) -> Path:
    """Write the source of a distribution that brings each of these modules as a service."""
    folder.mkdir()
    package = distribution.replace("-", "_")
    points = "\n".join(f'{name} = "{package}_{name}:service"' for name in modules)
    (folder / "pyproject.toml").write_text(PYPROJECT.format(name=distribution, points=points))
    for name, text in modules.items():
        (folder / f"{package}_{name}.py").write_text(text)
    return folder


def uv(*words: str, cwd: Path | None = None) -> str:
    done = subprocess.run([UV, *words], cwd=cwd, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def bring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bring:
    """Build requirements and install them into a folder on the path, without an index."""
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))
    own = ["--quiet", "--no-cache", "--no-deps", "--no-build-isolation", "--python", sys.executable]

    def install(*requirements: str) -> None:
        uv("pip", "install", *own, "--target", str(site), *requirements, cwd=tmp_path)

    return install


def project_in(tmp_path: Path, text: str) -> Project:
    root = tmp_path / "project"
    root.mkdir()
    (root / "inventory.toml").write_text(text)
    return Project(root)


INVENTORY = """
inputs.std = "lib-std"
inputs.far = "path:../far"
[inventory.machines.m]
[inventory.instances]
a = { module = { name = "dns", input = "lib-std" }, roles.r.machines.m = {} }
b = { module = { name = "dns", input = "std" }, roles.r.machines.m = {} }
c = { module = { name = "dns", input = "far" }, roles.r.machines.m = {} }
bad = { module = { name = "raises", input = "std" } }
worse = { module = { name = "breaks", input = "std" }, roles.r.machines.n = {} }
worst = { module = { name = "none", input = "std" } }
"""


@pytest.mark.slow
def test_distributions(tmp_path: Path, bring: Bring) -> None:
    raises = "import json\n\njson.loads('')\n"
    breaks = f"{HEAD}service = Service('breaks', description='')\nservice.role('r', Zone, description='')\n"
    first = source(tmp_path / "std", "lib-std", dns=service("dns"), raises=raises, breaks=breaks, none="service = 5\n")
    other = source(tmp_path / "far", "another-name", dns=service("dns"))
    bring(str(first), str(other))
    project = project_in(tmp_path, INVENTORY)
    with pytest.raises(Faults) as caught:
        pipeline.Workspace(project).check()
    told = str(caught.value).replace(f"{tmp_path}/", "")
    hint = "hint: this is a fault of the module, not of the inventory\n"
    assert told == (
        "error: the module 'raises' of lib-std 2.1 (lib_std_raises:service) does not load: "
        "site/lib_std_raises.py:3: JSONDecodeError: Expecting value: line 1 column 1 (char 0)\n"
        f"  at project/inventory.toml:9:20 instances.bad.module.name\n{hint}"
        "error: the module 'breaks' of lib-std 2.1 (lib_std_breaks:service) breaks the contract: "
        "site/lib_std_breaks.py:5: breaks.r: its settings are Zone, which is not a class below Settings\n"
        f"  at project/inventory.toml:10:22 instances.worse.module.name\n{hint}"
        "error: machine 'n' does not exist\n"
        "  at project/inventory.toml:10:73 instances.worse.roles.r.machines.n\n"
        "hint: available machines: m. Or declare it: `rolecall machines add n`\n"
        "error: the module 'none' of lib-std 2.1 (lib_std_none:service) is not a service\n"
        "  at project/inventory.toml:11:22 instances.worst.module.name\n"
        "hint: its module must define `service = Service(…)` (see docs/how-to/write-a-service.md)"
    )
    (project.root / "inventory.toml").write_text(INVENTORY.partition("bad")[0])
    services = pipeline.Workspace(project).check().membership.services
    assert services["a"] is services["b"]
    assert services["a"] is not services["c"]
    found, faults = pipeline.services(pipeline.Workspace(project))
    assert [(each.source, each.service.name, each.distribution) for each in found if each.source] == [
        ("lib-std", "dns", "lib-std 2.1"),
        ("std", "dns", "lib-std 2.1"),
        ("far", "dns", "another-name 2.1"),
    ]
    assert {fault.message.split(" of ")[0] for fault in faults} == {
        f"the module {name!r}" for name in ("breaks", "none", "raises")
    }
    # Two interfaces of one name are two.
    one, two = (services[name].roles["r"].publishers[0].interface for name in "ac")
    assert (one.__name__, one is two) == (two.__name__, False)


def test_what_came_from_git_is_known_by_where_it_came_from(tmp_path: Path, bring: Bring) -> None:
    folder = source(tmp_path / "far", "another-name", dns=service("dns"))
    git = ["git", "-c", "user.name=me", "-c", "user.email=me@example.org", "-C", str(folder)]
    for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message=x"], ["tag", "v1"]):
        subprocess.run([*git, *words], check=True)
    urls = {"far": f"git+file://{folder}?ref=v1"}
    wanted = refer("far", urls, tmp_path).requirement
    assert wanted == f"git+file://{folder}@v1"
    registry = Registry(tmp_path / "modules", urls)
    with pytest.raises(Faults, match=re.escape(f"hint: add it to this project: `uv add {wanted}`")):
        registry.find("far", "dns")
    bring(wanted)
    assert Registry(tmp_path / "modules", urls).find("far", "dns").distribution == "another-name 2.1"


@pytest.mark.parametrize(
    ("url", "requirement", "origin"),
    [
        ("", "", ""),
        ("lib-std", "lib-std", ""),
        ("github:o/r", "git+https://github.com/o/r", "https://github.com/o/r"),
        ("github:o/r/v1.2", "git+https://github.com/o/r@v1.2", "https://github.com/o/r"),
        ("github:o/r/feature/x?dir=a/b", "git+https://github.com/o/r@feature/x#subdirectory=a/b", ...),
        ("github:o/r?ref=main&rev=0123", "git+https://github.com/o/r@0123", ...),
        ("github:o/r?host=git.example.org", "git+https://git.example.org/o/r", ...),
        ("gitlab:o/r", "git+https://gitlab.com/o/r", ...),
        ("sourcehut:~o/r", "git+https://git.sr.ht/~o/r", ...),
        ("git+ssh://git@example.org/r?ref=v1", "git+ssh://git@example.org/r@v1", "ssh://git@example.org/r"),
        ("path:./x", "./x", "file:///home/project/x"),
        ("path:x?dir=y", "./x/y", "file:///home/project/x/y"),
        ("../x", "../x", "file:///home/x"),
        ("path:/srv/x", "/srv/x", "file:///srv/x"),
        ("path:a?dir=b c", "./a/b c", ...),
        ("path:a b", "./a b", ...),
        ("https://example.org/x-1.tar.gz", "https://example.org/x-1.tar.gz", "https://example.org/x-1.tar.gz"),
        ("tarball+https://example.org/x.zip", "https://example.org/x.zip", ...),
        ("https://example.org/page", "", ""),
        ("flake:nixpkgs", "", ""),
        ("github:o", "", ""),
        ("github:o/r/$(rm -rf ~)", "git+https://github.com/o/r@$(rm -rf ~)", ...),
    ],
)
def test_references(url: str, requirement: str, origin: object) -> None:
    found = refer("std", {"std": url}, Path("/home/project"))
    assert (found.requirement, origin in (found.url, ...)) == (requirement, True)


def test_what_came_from_elsewhere_is_known_by_its_name() -> None:
    found = installed(refer("pydantic", {"pydantic": "github:o/r"}, Path("/home/project")))
    assert found
    assert found.name == "pydantic"
    assert installed(refer("no-such-distribution", {}, Path("/home/project"))) is None


@pytest.mark.parametrize("source", ["", "a b", "$(rm)", "-x; y", "../x"])
def test_an_input_that_can_be_none(source: str) -> None:
    assert refer(source, {}, Path("/home/project")).requirement == ""


@pytest.mark.slow
def test_uv_takes_what_is_printed(tmp_path: Path) -> None:
    source(tmp_path / "far", "another-name", dns=service("dns"))
    project = tmp_path / "project"
    project.mkdir()
    (project / "pyproject.toml").write_text('[project]\nname = "p"\nversion = "0"\nrequires-python = ">=3.11"\n')
    urls = {"far": "path:../far", "near": "lib-near"}
    for name in ("far", "near", "std"):
        wanted = refer(name, urls, project).requirement
        uv("add", "--quiet", "--frozen", "--no-cache", "--no-build-isolation", wanted, cwd=project)
    text = (project / "pyproject.toml").read_text()
    assert [name for name in ('"another-name"', '"lib-near"', '"std"', '"../far"') if name not in text] == []
