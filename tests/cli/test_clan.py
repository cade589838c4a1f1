"""A Clan project, from its inventory to machines and back: no command hides it, and none removes what it declares."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import services

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run

FLAKE = """{
  inputs.clan-core.url = "github:clan-lol/clan-core";
  outputs = { self, clan-core, ... }:
    let clan = clan-core.lib.clan { inherit self; imports = [ ./clan.nix ]; };
    in { inherit (clan.config) nixosConfigurations; clan = clan.config; };
}
"""
CLAN = """{
  meta.name = "home";
  inventory.machines.m1 = { };
  inventory.instances.note = {
    module = { name = "@me/note"; input = "self"; };
    roles.default.tags.nixos = { };
    roles.default.extraModules = [ ./modules/note.nix ];
  };
}
"""


@pytest.fixture
def clan(tmp_path: Path) -> Path:
    (tmp_path / "flake.nix").write_text(FLAKE)
    (tmp_path / "clan.nix").write_text(CLAN)
    services.install(tmp_path, "me_note", module="me-note")
    layer = {"machines": {"m1": {"installedAt": 1750000000, "name": "m1", "deploy": {"targetHost": "dir:targets/m1"}}}}
    (tmp_path / "inventory.json").write_text(json.dumps(layer))
    return tmp_path


@pytest.mark.slow
def test_no_command_takes_a_service_away(run: Run, clan: Path) -> None:
    status, out, err = run("check")
    assert (status, out) == (0, "the inventory is sound: 1 machine, 1 instance, 1 warning\n")
    assert err == (
        "note: this project is a Clan; its inventory, meta and machine names come from flake.nix, clan.nix; "
        "not read: NixOS modules\n"
        "warning: `extraModules` is ignored: these are NixOS modules, which Rolecall does not install\n"
        "  at clan.nix:7:19 instances.note.roles.default.extraModules\n"
        "hint: write a service of your own in modules/ that does what they do\n"
    )
    assert run("update", "--yes")[0] == 0
    notes = list((clan / "targets" / "m1").rglob("note"))
    assert [note.read_text() for note in notes if note.is_file()] == ["x"]
    assert run("machines", "add", "m2", "--target-host", "dir:targets/m2")[0] == 0
    assert run("inventory", "set", "machines.m1.description", "first")[0] == 0
    assert run("show")[1] == "note\n  default: m1, m2\nmachines: m1, m2\n"
    status, plan, _ = run("plan", "--json")
    assert (status, "no longer" in plan, "nothing in the inventory" in plan) == (0, False, False)
    assert run("update", "--yes")[0] == 0
    assert all(note.exists() for note in notes)
    assert run("machines", "remove", "m2")[0] == 0
    assert run("check")[1].startswith("the inventory is sound: 1 machine, 1 instance")


NAME_IT = "hint: write the name of the Python distribution that provides it; if it is Clan's own input, "


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("", NAME_IT),
        ('inputs.other.url = "https://example.org/page";', NAME_IT),
        ('inputs.other.url = "github:me/svc";', "hint: add it to this project: `uv add git+https://github.com/me/svc`"),
    ],
)
def test_an_input_of_a_flake_is_known_by_its_url_alone(run: Run, clan: Path, url: str, hint: str) -> None:
    (clan / "flake.nix").write_text(FLAKE.replace("outputs =", f"{url} outputs ="))
    (clan / "clan.nix").write_text(CLAN.replace('input = "self"', 'input = "other"'))
    status, _, err = run("check")
    assert (status, "error: the input 'other' is not installed" in err, hint in err) == (1, True, True)


def test_clans_own_input_under_another_name_is_shipped(run: Run, clan: Path) -> None:
    flake = FLAKE.replace("inputs.clan-core.url", "inputs.clan.url").replace("clan-core, ...", "clan, ...")
    (clan / "flake.nix").write_text(flake.replace("clan-core.lib", "clan.lib"))
    module = 'name = "nothing"; input = "clan"'
    (clan / "clan.nix").write_text(CLAN.replace('name = "@me/note"; input = "self"', module))
    assert "error: rolecall has no module 'nothing'\n" in run("check")[2]


def test_what_was_left_out_is_no_part_of_json(run: Run, clan: Path) -> None:
    status, out, err = run("check", "--json")
    assert (status, err) == (0, "")
    (warning,) = json.loads(out)["warnings"]
    assert (warning["file"], warning["line"]) == (str(clan / "clan.nix"), 7)


def test_the_note_comes_with_faults_too(run: Run, clan: Path) -> None:
    (clan / "modules" / "me-note.py").unlink()
    status, _, err = run("check")
    assert status == 1
    assert err.startswith("note: this project is a Clan; ")
    assert "hint: '@me/note' is the service 'me-note' of modules/me-note.py here; " in err


def test_commands_name_the_file_that_says_it(run: Run, clan: Path) -> None:
    status, _, err = run("inventory", "set", "instances.note.roles.default.settings.x", "1")
    assert status == 1
    status, _, err = run("inventory", "set", "meta.name", "away")
    assert (status, err.splitlines()[:2]) == (1, ["error: clan.nix sets meta.name", "  at clan.nix:2:8 meta.name"])
    status, _, err = run("machines", "remove", "m1")
    assert (status, "error: clan.nix sets machines.m1\n  at clan.nix:3:22 machines.m1" in err) == (1, True)
    assert "m1 = { };" in (clan / "clan.nix").read_text()


def test_a_machine_that_an_imported_file_names_is_renamed_by_hand(run: Run, clan: Path) -> None:
    before = {name: (clan / name).read_text() for name in ("flake.nix", "clan.nix", "inventory.json")}
    status, _, err = run("machines", "rename", "m1", "first")
    assert status == 1
    assert "error: clan.nix names m1 in a place that Rolecall cannot edit\n  at clan.nix:3:22 machines.m1" in err
    assert {name: (clan / name).read_text() for name in before} == before
