"""Where services come from."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from rolecall import pipeline
from rolecall.errors import Faults, Where
from rolecall.project import Project
from rolecall.service.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

GOOD = "from rolecall.service import Service\nservice = Service('mine', description='Mine.')\n"


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    folder = tmp_path / "rolecall" / "modules"
    folder.mkdir(parents=True)
    return folder


def told(registry: Registry, source: str | None, name: str) -> str:
    with pytest.raises(Faults) as caught:
        registry.find(source, name, Where())
    return str(caught.value)


@pytest.mark.parametrize("source", [None, "rolecall", "clan-core"])
def test_shipped_services(modules: Path, source: str | None) -> None:
    registry = Registry(modules)
    found = registry.find(source, "borgbackup", Where())
    assert found.service.name == "borgbackup"
    assert registry.origin(found.service).startswith("rolecall ")
    assert "borgbackup" in registry.names(source)


def test_own_services_are_files_or_packages(modules: Path) -> None:
    (modules / "one.py").write_text(GOOD)
    (modules / "two").mkdir()
    (modules / "two" / "__init__.py").write_text("from .inner import service\n")
    (modules / "two" / "inner.py").write_text(GOOD)
    registry = Registry(modules)
    found = [registry.find("self", name, Where()) for name in ("one", "two")]
    assert [each.service.name for each in found] == ["mine", "mine"]
    assert registry.find("self", "one", Where()) is found[0]
    assert (registry.names("self"), registry.origin(found[0].service)) == (["one", "two"], "self")


@pytest.mark.parametrize("name", ["../outside", "..", "/etc/passwd", "", "a\0b", "a.b", "-x"])
def test_own_services_stand_in_their_folder(modules: Path, name: str) -> None:
    (modules.parent / "outside.py").write_text(GOOD)
    assert "this project has no module" in told(Registry(modules), "self", name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n1 / 0\n", "mine.py:2: ZeroDivisionError: division by zero"),
        ("import json\n\njson.loads('x')\n", "mine.py:3: JSONDecodeError"),
        ("def f(:\n", "mine.py:1: SyntaxError"),
        ("import nowhere_to_be_found\n", "mine.py:1: ModuleNotFoundError"),
        ("raise SystemExit(3)\n", "mine.py:1: SystemExit: 3"),
        ("from rolecall.service import Service\nService('no name', description='')\n", "mine.py:2: ContractError"),
        ("service = 5\n", "is no service\n"),
        ("", "is no service\n"),
    ],
)
def test_modules_that_are_broken(modules: Path, text: str, message: str) -> None:
    (modules / "mine.py").write_text(text)
    assert message in told(Registry(modules), "self", "mine")


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        (None, "libstd"),
        ("github:libfoo/libfoo", "git+https://github.com/libfoo/libfoo"),
        ("github:libfoo/libfoo/v1.2?dir=x", "git+https://github.com/libfoo/libfoo@v1.2"),
        ("gitlab:libfoo/libfoo", "git+https://gitlab.com/libfoo/libfoo"),
        ("git+https://example.org/libfoo", "git+https://example.org/libfoo"),
        ("path:./x", "libstd"),
    ],
)
def test_an_input_that_is_not_installed(modules: Path, url: str | None, hint: str) -> None:
    said = told(Registry(modules, {"libstd": url} if url else {}), "libstd", "mod-A")
    assert said.splitlines()[0] == "error: the input 'libstd' is not installed"
    assert said.splitlines()[-1] == f"hint: add it to this project: `uv add {hint}`"


@pytest.mark.parametrize("source", ["", "a b", "$(rm)", "-x; y", "../x"])
def test_an_input_that_can_be_none(modules: Path, source: str) -> None:
    assert told(Registry(modules), source, "a").endswith("hint: it must be a name of a distribution")


def test_an_installed_distribution(modules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    info = site / "lib_std-2.1.dist-info"
    info.mkdir(parents=True)
    (site / "libstd_services.py").write_text(GOOD)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lib-std\nVersion: 2.1\n")
    (info / "entry_points.txt").write_text("[rolecall.services]\nmod-A = libstd_services:service\nbad = nowhere:x\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(site)])
    registry = Registry(modules, {"std": "lib-std"})
    for source in ("lib-std", "std"):
        found = registry.find(source, "mod-A", Where())
        assert (found.service.name, found.distribution) == ("mine", "lib-std 2.1")
    assert "lib-std has no module 'mod-B'" in told(registry, "lib-std", "mod-B")
    assert "did you mean 'mod-A'?" in told(registry, "lib-std", "mod-B")
    assert "ModuleNotFoundError" in told(registry, "lib-std", "bad")


def test_the_documents_flake_tells_what_to_add(tmp_path: Path) -> None:
    (tmp_path / "flake.nix").write_text(
        """{
          inputs = { libstd.url = "github:libfoo/libfoo"; };
          outputs = inputs: flake-parts.lib.mkFlake { inherit inputs; } ({
            clan = { inventory.instances = { "my-foo" = { module.input = "libstd"; module.name = "mod-A"; }; }; };
          });
        }"""
    )
    with pytest.raises(Faults, match=r"`uv add git\+https://github.com/libfoo/libfoo`"):
        pipeline.members(Project(tmp_path))
