"""Every snippet of the two documents that the project was born from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from notated import FLAKES, snippets

if TYPE_CHECKING:
    from conftest import FaultsOf, Load

INSTANCES = snippets("instances.md")
INVENTORY = snippets("inventory.md")


def test_all_snippets_were_found() -> None:
    assert (len(INSTANCES), len(INVENTORY)) == (4, 3)


@pytest.mark.parametrize("text", [*INSTANCES, *INVENTORY[1:]])
def test_a_snippet_loads(text: str, loading: Load) -> None:
    assert loading(text).inventory.instances


def test_the_missing_equals_sign_is_reported_where_it_is_missing(faults_of: FaultsOf) -> None:
    assert faults_of(INVENTORY[0]) == (
        "error: expected `=` after 'roles.client.machines.\"jon\"', found `{`\n"
        "  at inventory.nix:9:37\n"
        'hint: put `=` between a name and its value: `roles.client.machines."jon" = …;`'
    )


def test_roles_and_settings(loading: Load) -> None:
    vpn = loading(INSTANCES[2]).inventory.instances["my-vpn"]
    assert vpn.module.name == "zerotier"
    assert vpn.roles["peer"].settings == {"ipRanges": ["all"]}
    assert list(vpn.roles["peer"].machines) == ["my-machine-name"]
    assert vpn.roles["controller"].machines["some-server-name"].settings == {"dynamicIp": {"enable": True}}


def test_the_flake_and_its_inputs(loading: Load) -> None:
    loaded = loading(INSTANCES[3], "flake.nix")
    module = loaded.inventory.instances["my-foo"].module
    assert (module.input, module.name) == ("libstd", "mod-A")
    (source,) = loaded.sources
    assert source.inputs == {"libstd": "github:libfoo/libfoo"}
    assert source.prefix == ("clan", "inventory")


@pytest.mark.parametrize("flake", FLAKES)
def test_flakes_as_people_have_them(flake: str, loading: Load) -> None:
    loaded = loading(flake, "flake.nix")
    assert list(loaded.inventory.machines) == ["jon"]
    (source,) = loaded.sources
    assert source.inputs["clan-core"] == "https://git.example.org/clan-core.tar.gz"
    assert source.prefix == ("clan", "inventory")


def test_an_imported_file_that_does_not_exist_is_a_fault(faults_of: FaultsOf) -> None:
    flake = FLAKES[0].replace("inventory.machines.jon = { };", "imports = [ ./clan.nix ];")
    assert faults_of(flake, "flake.nix") == (
        "error: the file './clan.nix' does not exist\n  at flake.nix:6:19\n"
        "hint: write the path relative to the file that contains it"
    )


def test_tags(loading: Load) -> None:
    loaded = loading(INVENTORY[1])
    assert loaded.tags == {"all": ("jon", "sara"), "linux": ("jon", "sara"), "backup": ("jon", "sara")}
    assert list(loaded.inventory.instances["instance_1"].roles["client"].tags) == ["backup"]


def test_two_instances(loading: Load) -> None:
    instances = loading(INVENTORY[2]).inventory.instances
    assert {name: sorted(each.roles["client"].machines) for name, each in instances.items()} == {
        "instance_1": ["jon"],
        "instance_2": ["backup_server"],
    }
