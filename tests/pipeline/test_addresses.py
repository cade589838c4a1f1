"""How other machines reach a machine, as far as the inventory says it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

import services
from rolecall import pipeline
from rolecall.deploy.target import Lab
from rolecall.errors import Faults
from rolecall.evaluate.memory import Memory
from rolecall.project import Project

if TYPE_CHECKING:
    from pathlib import Path

STORE = """
[machines.store]
{store}
[machines.jon]
deploy.targetHost = "dir:targets/jon"
"""
REACH = """
[instances.x]
module = { name = "reach", input = "self" }
roles.caller.machines.jon = {}
roles.answerer.machines.store = {}
"""
BY_NETWORK = f"""{REACH}
roles.caller.settings.network = "net"
[instances.net]
module.name = "internet"
roles.default.machines.store.settings.host = "10.0.0.9"
"""
NOWHERE = "'{}' has no domain and may be known to this computer only, such as an alias in ssh_config"
EVERYWHERE = "'{}' means a different machine on each machine"
SET = "set `machines.store.address` to a host name or IP address that other machines can use"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    services.install(tmp_path, "reach")
    return Project(tmp_path)


def declare(project: Project, store: str, *, domain: str = "", instances: str = REACH) -> pipeline.Workspace:
    head = f'[meta]\ndomain = "{domain}"\n' if domain else ""
    (project.root / "inventory.toml").write_text(head + STORE.format(store=store) + instances)
    return pipeline.Workspace(project)


def refusal(workspace: pipeline.Workspace) -> str:
    with pytest.raises(Faults) as caught:
        workspace.check()
    return str(caught.value).replace(f"{workspace.project.root}/", "")


@pytest.mark.parametrize(
    ("store", "domain", "expected"),
    [
        ("", "", ("store", 22, "machines.store")),
        ("", "home.example", ("store.home.example", 22, "meta.domain")),
        ('deploy.targetHost = "dir:targets/store"', "", ("store", 22, "machines.store")),
        ('deploy.targetHost = "dir:targets/store"', "home.example", ("store.home.example", 22, "meta.domain")),
        ('deploy.targetHost = "root@10.0.0.2"', "home.example", ("10.0.0.2", 22, "machines.store.deploy.targetHost")),
        ('deploy.targetHost = "[fd00::2]:2222"', "", ("fd00::2", 2222, "machines.store.deploy.targetHost")),
        ('deploy.targetHost = "s.home.example."', "", ("s.home.example.", 22, "machines.store.deploy.targetHost")),
        ('deploy.targetHost = "web:2222"', "home.example", ("store.home.example", 2222, "meta.domain")),
        (
            'deploy.targetHost = "web:2222"\naddress = "10.0.0.3"',
            "a.example",
            ("10.0.0.3", 2222, "machines.store.address"),
        ),
        ('deploy.targetHost = "s.example"\naddress = "web"', "", ("web", 22, "machines.store.address")),
        ('deploy.targetHost = "dir:targets/store"\naddress = "fd00::3"', "", ("fd00::3", 22, "machines.store.address")),
        ('address = "store.vpn"', "", ("store.vpn", 22, "machines.store.address")),
    ],
)
def test_the_address_and_what_says_it(
    project: Project, store: str, domain: str, expected: tuple[str, int, str]
) -> None:
    workspace = declare(project, store, domain=domain)
    host = workspace.hosts()["store"]
    assert (host.address, host.port, ".".join(host.declared_at), host.problem) == (*expected, "")
    assert workspace.check().warnings == ()


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        *(
            ("web", NOWHERE.format("web")),
            ("root@store:2222", NOWHERE.format("store")),
            ("web.", NOWHERE.format("web.")),
        ),
        *(("root@localhost:2222", EVERYWHERE.format("localhost")), ("[::1]", EVERYWHERE.format("::1"))),
        *(("127.0.1.1", EVERYWHERE.format("127.0.1.1")), ("[::]", EVERYWHERE.format("::"))),
        *(("s.LocalHost", EVERYWHERE.format("s.LocalHost")), ("a..b", "'a..b' is not a valid host name")),
    ],
)
def test_a_target_that_peers_cannot_use_is_refused(project: Project, target: str, problem: str) -> None:
    workspace = declare(project, f'deploy.targetHost = "{target}"')
    assert refusal(workspace) == (
        f"error: x.caller on jon needs the address of machine 'store', but {problem}\n"
        f"  at inventory.toml:3:8 machines.store.deploy.targetHost\nhint: {SET}"
    )


@pytest.mark.parametrize(
    ("instances", "refused"),
    [
        ("", False),
        (REACH.replace("caller.machines.jon", "caller.machines.store"), False),  # no other machine reads it
        (REACH.replace("roles.caller.machines.jon = {}\n", ""), False),
        (REACH.replace("roles.caller.machines.jon = {}\n", "").replace("{}", '{ settings.own = "written" }'), False),
        (REACH.replace("roles.caller.machines.jon = {}\n", "").replace("{}", '{ settings.own = "published" }'), True),
    ],
)
def test_only_an_address_that_another_machine_reads_is_needed(
    project: Project, instances: str, *, refused: bool
) -> None:
    workspace = declare(project, 'deploy.targetHost = "web"', instances=instances)
    if refused:
        assert refusal(workspace).startswith("error: x.answerer needs the address of machine 'store', but 'web' has no")
    else:
        workspace.check()


def test_each_machine_is_refused_once_for_all_readers(project: Project) -> None:
    more = REACH.replace("jon = {}", "jon = {}\nroles.caller.machines.sara = {}") + "[machines.sara]\n"
    assert refusal(declare(project, 'deploy.targetHost = "web"', instances=more)).count("error: ") == 1


def test_a_plan_refuses_the_same_for_all_machines_and_for_one(project: Project) -> None:
    workspace = declare(project, 'deploy.targetHost = "web"')
    for evaluate in (workspace.evaluation, lambda: workspace.evaluation_of(["jon"])):
        with pytest.raises(Faults, match=r"x\.caller on jon needs the address"):
            evaluate()


def test_what_a_memory_holds_is_judged_anew(project: Project) -> None:
    memory = Memory()
    inventory = project.root / "inventory.toml"
    declare(project, 'deploy.targetHost = "web"\naddress = "web"')
    pipeline.Workspace(project, memory=memory).evaluation()
    stamp = inventory.stat().st_mtime_ns
    declare(project, 'deploy.targetHost = "web"')
    os.utime(inventory, ns=(stamp + 1_000_000, stamp + 1_000_000))
    with pytest.raises(Faults, match="'web' has no domain"):  # although every address is the same
        pipeline.Workspace(project, memory=memory).evaluation()


def test_the_service_that_is_shipped_is_checked_before_any_var_exists(project: Project) -> None:
    backup = (
        '[instances.b]\nmodule.name = "borgbackup"\nroles.client.machines.jon = {}\nroles.server.machines.store = {}\n'
    )
    assert "b.client on jon needs the address" in refusal(
        declare(project, 'deploy.targetHost = "web"', instances=backup)
    )
    own = backup.replace("store = {}", 'store.settings.address = "10.0.0.4"')
    assert declare(project, 'deploy.targetHost = "web"', instances=own).check().incomplete


def test_in_the_lab_machines_know_one_another_by_name(project: Project) -> None:
    lab = Lab(project.lab / "ssh_config", project.lab / "known_hosts", frozenset({"store"}))
    declare(project, 'address = "10.0.0.3"', domain="home.example")
    hosts = pipeline.Workspace(project, lambda: lab).hosts()
    assert (hosts["store"].address, hosts["jon"].address) == ("store", "jon.home.example")


@pytest.mark.parametrize(
    ("store", "instances", "told"),
    [
        (
            'address = "10.0.0.3"',
            REACH,
            "x.caller reaches store at 10.0.0.3 (machines.store.address, inventory.toml:4)",
        ),
        ("", REACH, "x.caller reaches store at store (machines.store, inventory.toml:2)"),
        ("", BY_NETWORK, "x.caller reaches store at 10.0.0.9 (in the network net)"),
    ],
)
def test_a_failing_check_says_which_addresses_were_used(
    project: Project, store: str, instances: str, told: str
) -> None:
    target = 'deploy.targetHost = "dir:targets/store"\n'
    with pipeline.planning(declare(project, target + store, instances="")) as planned:
        assert planned.apply().done
    state = project.root / "targets/jon/var/lib/rolecall/system.json"
    state.parent.mkdir(parents=True, exist_ok=True)
    state.write_text(json.dumps({"fail": {"commands": ["call"]}}))
    with pipeline.planning(declare(project, target + store, instances=instances)) as planned:
        report = planned.apply()
    [jon] = [each for each in report.outcomes if each.machine == "jon"]
    assert (jon.result, jon.message) == ("restored", "the check 'x.caller: all answer' failed")
    assert jon.detail.splitlines()[-1] == told


def test_explaining_a_machine_shows_its_address(project: Project) -> None:
    host = pipeline.explain(declare(project, 'address = "10.0.0.3"'), "machines.store").as_json()["address"]
    assert {**host, "file": None} == {
        "value": "10.0.0.3",
        "problem": "",
        "file": None,
        "line": 3,
        "column": 1,
        "path": ["machines", "store", "address"],
    }
    unusable = pipeline.explain(declare(project, 'deploy.targetHost = "web"'), "machines.store").address
    assert unusable is not None
    assert unusable.problem == NOWHERE.format("web")
    assert pipeline.explain(declare(project, ""), "x").address is None
