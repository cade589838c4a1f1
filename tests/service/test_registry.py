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

GOOD = "from rolecall.service import *\nservice = Service('mine', description='Mine.')\n"


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
    (modules / "mine.py").write_text(GOOD)
    (modules / "two").mkdir()
    (modules / "two" / "__init__.py").write_text("from .inner import service\n")
    (modules / "two" / "inner.py").write_text(GOOD.replace("mine", "two"))
    registry = Registry(modules)
    found = [registry.find("self", name, Where()) for name in ("mine", "two")]
    assert [each.service.name for each in found] == ["mine", "two"]
    assert registry.find("self", "mine", Where()) is found[0]
    assert (registry.names("self"), registry.origin(found[0].service)) == (["mine", "two"], "self")
    assert not [*modules.rglob("__pycache__")]


@pytest.mark.parametrize("name", ["x-y", "x_y", "7", "7z", "X", "class", "json"])
def test_every_name_that_loads_is_known(modules: Path, name: str) -> None:
    """As a file and as a folder, by `find`, by `names`, and in hints."""
    for other in ("helper.txt", "a b.py", "dot.ted.py", "__init__.py"):
        (modules / other).touch()
    (modules / ".hidden").mkdir()
    (modules / ".hidden" / "__init__.py").touch()
    for file in (modules / f"{name}.py", modules / name / "__init__.py"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(GOOD.replace("mine", name))
        registry = Registry(modules)
        assert registry.names("self") == [name]
        assert registry.find("self", name).service.name == name
        assert told(registry, "self", f"{name}{name}-other").endswith(
            (f"available modules in {modules}: {name}", f"did you mean '{name}'?")
        )
        file.unlink()


@pytest.mark.parametrize(
    ("one", "other", "names"),
    [
        ("dup.py", "dup/__init__.py", {"dup"}),
        ("dup.py", "Dup.py", {"dup", "Dup"}),
        ("a-b.py", "a_b.py", {"a-b", "a_b"}),
        ("a-b/__init__.py", "A_B.py", {"a-b", "A_B"}),
    ],
)
def test_two_modules_that_would_be_confused(modules: Path, one: str, other: str, names: set[str]) -> None:
    for file in (modules / one, modules / other, modules / "other.py"):
        file.parent.mkdir(exist_ok=True)
        name = file.parent.name if file.name == "__init__.py" else file.stem
        file.write_text(GOOD.replace("mine", name))
    registry = Registry(modules)
    assert set(registry.names("self")) == {*names, "other"}
    for name in names:
        said = told(registry, "self", name)
        assert said.startswith(f"error: two modules match '{name}': ")
        assert all(str(modules / file) in said for file in (one, other))
        assert said.endswith("hint: remove or rename one of them")
    assert registry.find("self", "other").service.name == "other"


def test_own_services_share_interfaces_and_are_loaded_anew_by_a_new_registry(modules: Path) -> None:
    user = "service.role('r', description='').exports(Zone)(lambda me: [])\n"
    (modules / "zone.py").write_text(GOOD.replace("mine", "zone") + "class Zone(Interface): pass\n" + user)
    (modules / "mine.py").write_text(GOOD + "from rolecall_project.zone import Zone\n" + user)
    seen = []
    for _ in range(2):
        registry = Registry(modules)
        (publisher,) = registry.find("self", "mine").service.roles["r"].publishers
        exporter = registry.find("self", "zone").service.roles["r"].publishers[0]
        assert publisher.interface is exporter.interface
        seen.append(publisher.interface)
    assert seen[0] is not seen[1]


def test_a_broken_module_runs_once_and_is_told_at_each_place(modules: Path) -> None:
    (modules / "mine.py").write_text("import sys\nsys.runs = getattr(sys, 'runs', 0) + 1\n1 / 0\n")
    registry = Registry(modules)
    for instance in ("a", "b"):
        with pytest.raises(Faults, match=f"at instances.{instance}.module.name"):
            registry.find("self", "mine", Where(keys=("instances", instance, "module")))
    assert vars(sys).pop("runs") == 1


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
        (
            "from rolecall.service import *\nService('no name', description='')\n",
            "breaks the contract: PATH:2: service: ",
        ),
        (GOOD.replace("mine", "other"), "names its service 'other'"),
        (
            GOOD + "class S(Settings):\n    x: 'Nowhere'\nservice.role('r', S, description='')\n",
            "breaks the contract: PATH:3: S: name 'Nowhere' is not defined",
        ),
        (
            GOOD + "class I(Interface):\n    x: 'Nowhere'\nservice.role('r', description='').exports(I)(list)\n",
            "breaks the contract: PATH:3: I: name 'Nowhere' is not defined",
        ),
        ("service = 5\n", "is not a service\n"),
        ("", "is not a service\n"),
    ],
)
def test_modules_that_are_broken(modules: Path, text: str, message: str) -> None:
    (modules / "mine.py").write_text(text)
    assert message.replace("PATH", str(modules / "mine.py")) in told(Registry(modules), "self", "mine")


def test_annotations_may_name_what_comes_later(modules: Path) -> None:
    text = (
        "class S(Settings):\n    x: 'Later'\nservice.role('r', S, description='')\nclass Later(Settings):\n    y: int\n"
    )
    (modules / "mine.py").write_text(GOOD + text)
    role = Registry(modules).find("self", "mine").service.roles["r"]
    assert role.settings.model_validate({"x": {"y": 1}}).x.y == 1


NAME_IT = (
    "write the name of the Python distribution that provides it; if it is Clan's own input, write `clan-core`, "
    "or leave `module.input` out"
)


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("", NAME_IT),
        ("https://example.org/page", NAME_IT),
        ("flake:libstd", NAME_IT),
        (
            "github:libfoo/libfoo/v1?dir=x",
            "add it to this project: `uv add 'git+https://github.com/libfoo/libfoo@v1#subdirectory=x'`",
        ),
        ("path:./x y", "add it to this project: `uv add './x y'`"),
    ],
)
def test_an_input_that_is_not_installed(modules: Path, url: str, hint: str) -> None:
    said = told(Registry(modules, {"libstd": url}), "libstd", "mod-A")
    assert said == f"error: the input 'libstd' is not installed\n  at input\nhint: {hint}"


@pytest.mark.parametrize("source", ["", "a b", "$(rm)", "-x; y", "../x"])
def test_an_input_that_can_be_none(modules: Path, source: str) -> None:
    assert told(Registry(modules), source, "a").endswith(f"hint: {NAME_IT}")


def test_a_name_without_a_url_is_a_distributions_unless_it_is_clans(modules: Path) -> None:
    assert told(Registry(modules), "lib-std", "a").endswith("hint: add it to this project: `uv add lib-std`")
    assert told(Registry(modules), "clan", "a").endswith(f"hint: {NAME_IT}")


@pytest.mark.parametrize(
    "url",
    [
        "https://git.clan.lol/clan/clan-core/archive/main.tar.gz",
        "git+https://git.clan.lol/clan/clan-core",
        "git+ssh://git@example.org/clan/clan-core.git?ref=main",
        "github:clan-lol/clan-core",
        "github:me/clan-core/main",
    ],
)
def test_clans_own_input_is_shipped_whatever_its_name(modules: Path, url: str) -> None:
    registry = Registry(modules, {"clan": url})
    assert registry.find("clan", "borgbackup").service is registry.find(None, "borgbackup").service
    assert "clan" not in registry.inputs(["clan"])
    assert registry.names("clan") == registry.names(None)


@pytest.mark.parametrize(
    "url", ["github:me/my-clan-core", "github:me/clan-core-extras", "https://x.org/not-clan-core.zip"]
)
def test_what_only_sounds_like_clans_input_is_another(modules: Path, url: str) -> None:
    assert told(Registry(modules, {"clan": url}), "clan", "borgbackup").startswith(
        "error: the input 'clan' is not inst"
    )


def test_a_module_of_clans_users_has_a_place(modules: Path) -> None:
    (modules / "me-svc.py").write_text(GOOD.replace("mine", "me-svc"))
    registry = Registry(modules)
    assert registry.find("self", "@me/svc").service.name == "me-svc"
    hint = "hint: '@me/dns' is the service 'me-dns' of modules/me-dns.py here; "
    assert hint in told(registry, "self", "@me/dns")


def test_a_module_that_a_distribution_does_not_have(modules: Path) -> None:
    assert told(Registry(modules), None, "borgbackop") == (
        "error: rolecall has no module 'borgbackop'\n  at name\nhint: did you mean 'borgbackup'?"
    )


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
        pipeline.Workspace(Project(tmp_path)).members()
