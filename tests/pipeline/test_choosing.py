"""Which machines a choice names, and what is wrong with others."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall import pipeline
from rolecall.errors import Faults
from rolecall.pipeline import Choice, chosen

if TYPE_CHECKING:
    from pathlib import Path

INVENTORY = """
machines.web-1 = { tags = ["web", "old"] }
machines.web-2 = { tags = ["web"] }
machines.db = { tags = ["data"] }
machines.store = {}
tags.nobody = []

[instances.backup]
module.name = "borgbackup"
roles.client.tags = ["web", "data"]
roles.server.machines.store = {}

[instances.vpn]
module.name = "wireguard"
roles.peer.machines.db = {}
roles.device = {}

[instances.empty]
module.name = "borgbackup"

[instances.other]
module.name = "borgbackup"
roles.server.machines.web-2 = {}
"""


@pytest.fixture
def workspace(tmp_path: Path) -> pipeline.Workspace:
    (tmp_path / "inventory.toml").write_text(INVENTORY)
    return pipeline.open(tmp_path)


@pytest.mark.parametrize(
    ("choice", "machines"),
    [
        (Choice(), "db store web-1 web-2"),
        (Choice(machines=("store", "db", "db")), "db store"),
        (Choice(machines=("web-*", "d?")), "db web-1 web-2"),
        (Choice(machines=("web-[!1]",)), "web-2"),
        (Choice(tags=("web",)), "web-1 web-2"),
        (Choice(tags=("old", "data")), "db web-1"),
        (Choice(tags=("all",)), "db store web-1 web-2"),
        (Choice(instances=("backup",)), "db store web-1 web-2"),
        (Choice(instances=("vpn", "other")), "db web-2"),
        (Choice(roles=("server",)), "store web-2"),
        (Choice(roles=("backup.server", "peer")), "db store"),
        (Choice(instances=("other",), roles=("server",)), "web-2"),
        (Choice(tags=("web",), roles=("client",), excluded=("web-1",)), "web-2"),
        (Choice(machines=("web-*",), tags=("old",)), "web-1"),
        (Choice(excluded=("web-*", "db")), "store"),
    ],
    ids=str,
)
def test_what_is_chosen(workspace: pipeline.Workspace, choice: Choice, machines: str) -> None:
    assert chosen(workspace, choice) == machines.split()


@pytest.mark.parametrize(
    ("choice", "message", "hint"),
    [
        (Choice(machines=("wbe-1",)), "machine 'wbe-1' does not exist", "did you mean 'web-1'?"),
        (Choice(machines=("",)), "machine '' does not exist", "available machines: db, store, web-1, web-2"),
        (Choice(machines=("WEB-*",)), "no machine matches 'WEB-*'", "available machines: db, store, web-1, web-2"),
        (Choice(machines=("[",)), "no machine matches '['", "available machines: db, store, web-1, web-2"),
        (Choice(excluded=("stor",)), "machine 'stor' does not exist", "did you mean 'store'?"),
        (Choice(excluded=("x*",)), "no machine matches 'x*'", "available machines: db, store, web-1, web-2"),
        (Choice(tags=("wep",)), "tag 'wep' does not exist", "did you mean 'web'?"),
        (Choice(tags=("nobody",)), "no machine has the tag 'nobody'", ""),
        (Choice(instances=("backups",)), "instance 'backups' does not exist", "did you mean 'backup'?"),
        (Choice(roles=("serfer",)), "role 'serfer' does not exist", "did you mean 'server'?"),
        (Choice(roles=("vpn.per",)), "role 'vpn.per' does not exist", "did you mean 'vpn.peer'?"),
        (Choice(instances=("empty",)), "no machine has a role in 'empty'", ""),
        (Choice(roles=("device",)), "no machine has the role 'device'", ""),
        (Choice(instances=("vpn",), roles=("server",)), "role 'server' does not exist", "did you mean 'other.server'?"),
        (Choice(machines=("store",), tags=("web",)), "no machine is left to choose", "drop an option"),
        (Choice(excluded=("*",)), "no machine is left to choose", "drop an option"),
        (
            Choice(instances=("vpn",), roles=("other.server",)),
            "no machine is left to choose",
            "drop an option",
        ),
    ],
    ids=str,
)
def test_what_matches_nothing_is_a_fault(
    workspace: pipeline.Workspace, choice: Choice, message: str, hint: str
) -> None:
    with pytest.raises(Faults) as caught:
        chosen(workspace, choice)
    [fault] = caught.value.faults
    assert fault.message == message
    assert fault.hint.startswith(hint) if hint else not fault.hint


def test_all_faults_are_reported_together(workspace: pipeline.Workspace) -> None:
    with pytest.raises(Faults) as caught:
        chosen(workspace, Choice(("a",), ("b",), ("c",), ("d",), ("e",)))
    assert len(caught.value.faults) == 5


def test_an_inventory_without_machines_has_none_to_choose(tmp_path: Path) -> None:
    (tmp_path / "inventory.toml").write_text("")
    workspace = pipeline.open(tmp_path)
    assert chosen(workspace, Choice()) == []
    with pytest.raises(Faults, match="no machine matches"):
        chosen(workspace, Choice(("*",)))


NAMES = st.lists(st.from_regex(r"[ab_-]{1,3}", fullmatch=True), max_size=5)
PATTERNS = st.lists(st.from_regex(r"[ab*?_-]{1,3}", fullmatch=True), max_size=3).map(tuple)


@given(NAMES, PATTERNS, PATTERNS)
def test_excluding_is_the_complement_of_choosing(
    names: list[str], wanted: tuple[str, ...], excluded: tuple[str, ...]
) -> None:
    everything = Choice(wanted).named(names)
    left = Choice(wanted, excluded=excluded).named(names)
    removed = Choice(excluded).named(everything) if excluded else []
    assert sorted([*left, *removed]) == sorted(everything)


def test_among_a_thousand_machines_it_is_quick(tmp_path: Path) -> None:
    names = [f"m{number:04}" for number in range(1000)]
    machines = "\n".join(f'machines.{name} = {{ tags = ["t{index % 10}"] }}' for index, name in enumerate(names))
    (tmp_path / "inventory.toml").write_text(machines)
    workspace = pipeline.open(tmp_path)
    workspace.loaded()
    choice = Choice((*names, "m*"), tuple(f"t{number}" for number in range(10)), excluded=("m*1", *names[:500]))
    began = time.perf_counter()
    assert len(chosen(workspace, choice)) == 450
    assert time.perf_counter() - began < 0.5
