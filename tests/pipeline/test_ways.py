"""The ways to a machine: its target, and the networks that it is in."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from rolecall import pipeline
from rolecall.deploy.target import Lab, Target
from rolecall.errors import Faults
from rolecall.pipeline import answering
from rolecall.pipeline.reaching import reach, ways
from rolecall.pipeline.ways import Way
from rolecall.project import Project
from rolecall_agent.resources import File

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Declare = Callable[..., pipeline.Workspace]

MACHINES = """
[machines.jon]
deploy.targetHost = "root@jon.example.org:2222"
[machines.sara]
[machines.bastion]
deploy.targetHost = "admin@bastion.example.org"
[machines.folder]
deploy.targetHost = "dir:targets/folder"
[machines.lone]
"""


def host(machine: str, address: str, *more: str) -> str:
    settings = ", ".join([f'host = "{address}"', *more])
    return f"roles.default.machines.{machine}.settings = {{ {settings} }}\n"


@pytest.fixture
def declare(tmp_path: Path) -> Declare:
    """Return a function that declares instances of `internet`, by name, beside some machines."""

    def declared(*, more: str = "", lab: Lab | None = None, **instances: str) -> pipeline.Workspace:
        parts = [f'[instances.{name}]\nmodule.name = "internet"\n{text}' for name, text in instances.items()]
        (tmp_path / "inventory.toml").write_text(MACHINES + "\n".join(parts) + more)
        return pipeline.Workspace(Project(tmp_path), lambda: lab)

    return declared


def found(workspace: pipeline.Workspace, machine: str) -> list[tuple[str, str]]:
    """Return the networks of a machine's ways, and their targets in words."""
    each = ways(workspace, [machine])[machine]
    assert each.faults == ()
    return [(way.network, way.target.text) for way in each.ways]


def test_the_target_comes_first_and_networks_by_their_priority(declare: Declare) -> None:
    workspace = declare(
        far=host("jon", "10.0.0.1", 'priority = 10, user = "op", port = 23'),
        near=host("jon", "fd00::1", "priority = 20"),
        internet=host("sara", "sara.example.org"),
    )
    assert found(workspace, "jon") == [
        ("", "ssh root@jon.example.org:2222"),
        ("near", "ssh root@[fd00::1]:2222"),
        ("far", "ssh op@10.0.0.1:23"),
    ]
    assert found(workspace, "sara") == [("internet", "ssh sara.example.org")]


def test_a_forwarded_port_counts_for_this_computer_alone(declare: Declare) -> None:
    workspace = declare(
        net=host("forwarded", "10.0.0.3"), more='[machines.forwarded]\ndeploy.targetHost = "localhost:2222"'
    )
    assert found(workspace, "forwarded") == [("", "ssh localhost:2222"), ("net", "ssh 10.0.0.3")]


def test_a_machine_without_target_and_network_has_no_way(declare: Declare) -> None:
    each, [fault] = ways(declare(), ["lone"])["lone"]
    assert each == ()
    assert fault.message == "machine 'lone' has no target"
    assert fault.where
    assert (fault.where.line, fault.hint[:60]) == (9, "set `machines.lone.deploy.targetHost`, give it a role in a n")


def test_a_directory_and_a_machine_of_the_lab_have_no_other_way(declare: Declare, tmp_path: Path) -> None:
    lab = Lab(tmp_path / "ssh_config", tmp_path / "known_hosts", frozenset({"sara"}))
    hosts = "".join(host(name, f"{name}.example.org") for name in ("folder", "sara"))
    workspace = declare(internet=hosts, lab=lab)
    assert found(workspace, "folder") == [("", "dir:targets/folder")]
    assert found(workspace, "sara") == [("", "the lab")]


def test_what_is_behind_a_jump_host_is_reached_by_the_options_of_both(declare: Declare) -> None:
    workspace = declare(
        internet=host("jon", "10.0.0.7", 'jump = "sara"') + host("sara", "10.0.0.6", 'jump = "bastion", user = "op"')
    )
    target = ways(workspace, ["jon"])["jon"].ways[1].target
    assert target.text == "ssh root@10.0.0.7:2222 through sara"
    first = resolved(list(target.ssh))
    assert (first["hostname"], first["port"], first["hostkeyalias"]) == ("10.0.0.7", "2222", "jon")
    second = jump_of(first)
    assert (second["hostname"], second["user"], second["hostkeyalias"]) == ("10.0.0.6", "op", "sara")
    third = jump_of(second)
    assert (third["hostname"], third["user"], third["hostkeyalias"]) == ("bastion.example.org", "admin", "bastion")
    known = {each["userknownhostsfile"].strip('"') for each in (first, second, third)}
    assert known == {str(workspace.project.known_hosts)}


def resolved(arguments: list[str]) -> dict[str, str]:
    """Return the settings that ssh itself derives from its arguments."""
    argv = ["ssh", "-F", "none", "-G", *arguments]
    lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    return {name: value for name, _, value in (line.partition(" ") for line in lines)}


def jump_of(settings: dict[str, str]) -> dict[str, str]:
    """Return the settings of the ssh that a ProxyCommand starts, after the outer one has replaced its tokens."""
    place = f"[{settings['hostname']}]:{settings['port']}"
    tokens = {"%h": settings["hostname"], "%p": settings["port"], "%%": "%"}
    command = re.sub("%.", lambda found: tokens[found[0]], settings["proxycommand"])
    assert f"'{place}'" in command, "a shell would look for files of such names"
    name, *arguments = shlex.split(command)
    assert (name, arguments[:2]) == ("ssh", ["-W", place])
    return resolved(arguments[2:])


@pytest.mark.parametrize(
    ("hosts", "message"),
    [
        (host("jon", "a", 'jump = "sarah"'), "machine 'jon' is reached through 'sarah' in net, which does not"),
        (host("jon", "a", 'jump = "folder"'), "machine 'jon' is reached through 'folder' in net, which is a dir"),
        (host("jon", "a", 'jump = "lone"'), "machine 'lone' has no target"),
        (
            host("sara", "a", 'jump = "lone"') + host("lone", "b", 'jump = "sara"'),
            "machines are reached through one another: ",
        ),
        (host("sara", "a", 'jump = "sara"'), "machine 'sara' is reached through 'sara' in net, which is itself"),
    ],
)
def test_check_refuses_a_jump_host_that_cannot_be_one(declare: Declare, hosts: str, message: str) -> None:
    with pytest.raises(Faults) as raised:
        declare(net=hosts).check()
    assert raised.value.faults[0].message.startswith(message)
    assert raised.value.faults[0].where


def test_a_network_counts_once_the_vars_that_it_needs_are_stored(declare: Declare) -> None:
    vpn = """
[instances.vpn]
module.name = "wireguard"
roles.peer.machines.jon.settings.domain = "mesh"
roles.peer.machines.bastion = {}
"""
    workspace = declare(more=vpn)
    assert found(workspace, "jon") == [("", "ssh root@jon.example.org:2222")]
    pipeline.create_admin(workspace, "me")
    evaluation = workspace.evaluation()
    [network] = [key for key in evaluation.makes if key.name == "vpn.network"]
    prefix = evaluation.makes[network]["prefix"].public
    each = ways(workspace, ["jon"])["jon"].ways
    assert (each[1].network, each[1].purpose, each[1].names) == ("vpn", "mesh VPN", ("jon.mesh",))
    assert each[1].target.host.startswith(prefix.rstrip(":"))


def test_a_broken_service_does_not_keep_anybody_from_logging_in(declare: Declare) -> None:
    broken = '[instances.broken]\nmodule.name = "nothing"\n'
    workspace = declare(internet=host("jon", "10.0.0.7") + broken)
    assert reach(workspace, "jon").text == "ssh root@jon.example.org:2222"
    with pytest.raises(Faults, match="rolecall has no module 'nothing'"):
        reach(workspace, "sara")


def test_each_way_to_a_jump_host_is_one_to_the_machine_behind_it(declare: Declare) -> None:
    workspace = declare(net=host("bastion", "10.0.0.1") + host("sara", "10.0.0.6", 'jump = "bastion"'))
    each = ways(workspace, ["sara"])["sara"].ways
    assert [jump_of(resolved(list(way.target.ssh)))["hostname"] for way in each] == ["bastion.example.org", "10.0.0.1"]


def test_machines_may_be_reached_through_one_another_besides_their_targets(declare: Declare) -> None:
    hosts = host("jon", "10.0.0.1", 'jump = "bastion"') + host("bastion", "10.0.0.2", 'jump = "jon"')
    workspace = declare(net=hosts)
    workspace.check()
    assert found(workspace, "jon")[1:] == [("net", "ssh root@10.0.0.1:2222 through bastion")]
    assert found(workspace, "bastion")[1:] == [("net", "ssh admin@10.0.0.2 through jon")]


def test_a_wrong_way_hides_no_other_one(declare: Declare) -> None:
    workspace = declare(net=host("jon", "10.0.0.1", 'jump = "gone"'))
    each = ways(workspace, ["jon"])["jon"]
    assert [way.target.text for way in each.ways] == ["ssh root@jon.example.org:2222"]
    assert [fault.message for fault in each.faults] == [
        "machine 'jon' is reached through 'gone' in net, which does not exist"
    ]
    assert reach(workspace, "jon").host == "jon.example.org"


def test_the_user_of_one_way_counts_for_the_others(declare: Declare) -> None:
    workspace = declare(first=host("sara", "10.0.0.1", "priority = 9"), second=host("sara", "10.0.0.2", 'user = "op"'))
    assert [text for _, text in found(workspace, "sara")] == ["ssh op@10.0.0.2", "ssh op@10.0.0.1"]


def test_a_jump_host_is_neither_removed_nor_renamed(declare: Declare) -> None:
    workspace = declare(net=host("sara", "10.0.0.6", 'jump = "bastion"'))
    for change in (
        lambda: pipeline.remove_machine(workspace, "bastion", own=True),
        lambda: pipeline.rename_machine(workspace, "bastion", "gate"),
    ):
        with pytest.raises(Faults, match="machine 'sara' is reached through 'bastion' in net, which does not exist"):
            change()
    assert found(workspace, "sara") == [("net", "ssh 10.0.0.6 through bastion")]


ONE_ALONE = """
[instances.backup]
module.name = "borgbackup"
roles.client.machines.folder = {}
roles.server.machines.bastion.settings.network = "net"
"""


def test_one_machine_is_planned_with_the_networks_of_its_peers(declare: Declare) -> None:
    workspace = declare(net=host("bastion", "10.0.0.2", "port = 23"), more=ONE_ALONE)
    pipeline.create_admin(workspace, "me")
    for evaluation in (workspace.evaluation_of(["folder"]), workspace.evaluation()):
        [plan] = [
            resource.parts[0].data or b""
            for resource in evaluation.configured["folder"].configuration.resources
            if isinstance(resource, File) and resource.path.endswith("backup.json")
        ]
        assert json.loads(plan)["repositories"] == {
            "bastion": "ssh://borg@10.0.0.2:23/var/lib/borgbackup/backup/folder"
        }


# Stands for ssh(1): only the host "up" answers, and "no-true" is a machine whose shell does not know the command.
SSH = f"""#!{sys.executable}
import sys, time
host = sys.argv[-2]
if "BatchMode=yes" not in sys.argv:
    sys.exit("it would ask")
if host == "no-true":
    sys.exit(127)
if host == "asks":
    sys.stderr.buffer.write(b"\\xff\\nroot@asks: Permission denied (publickey).\\n")
    sys.exit(255)
if host == "hangs":
    time.sleep(60)
if host != "up":
    sys.stderr.write(f"ssh: connect to host {{host}} port 22: Connection refused\\n")
    sys.exit(255)
"""


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin/ssh"
    program.parent.mkdir()
    program.write_text(SSH)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")


@pytest.mark.usefixtures("ssh")
def test_the_first_way_that_answers_is_taken(declare: Declare) -> None:
    hosts = host("jon", "down") + host("sara", "down")
    workspace = declare(a=hosts, b=host("jon", "up", "priority = 5"))
    assert reach(workspace, "jon").host == "up"
    assert reach(workspace, "sara").host == "down"  # the only one: ssh itself then says why
    answers, _ = pipeline.ask_ways(workspace, ["jon"])["jon"]
    refused = "ssh: connect to host {} port 22: Connection refused"
    assert [answer.problem for answer in answers] == [refused.format("jon.example.org"), refused.format("down"), ""]
    assert [answer.as_json()["answers"] for answer in answers] == [False, False, True]


@pytest.mark.usefixtures("ssh")
def test_whoever_is_logged_in_has_an_answer() -> None:
    way = Way("", "target", (), Target("x", "x", "no-true", ssh=("--", "no-true")))
    [answer] = answering.ask([way])
    assert answer.problem == ""


def test_a_machine_that_is_not_declared_is_named(declare: Declare) -> None:
    for call in (lambda: reach(declare(), "jno"), lambda: pipeline.ask_ways(declare(), ["jno"])):
        with pytest.raises(Faults, match="machine 'jno' does not exist") as raised:
            call()
        assert raised.value.faults[0].hint == "did you mean 'jon'?"


@pytest.mark.usefixtures("ssh")
def test_nobody_waits_for_a_way_after_one_that_answers(declare: Declare) -> None:
    workspace = declare(
        a=host("sara", "up", "priority = 9") + host("jon", "up"), b=host("sara", "hangs", "priority = 8")
    )
    began = time.monotonic()
    assert reach(workspace, "sara").host == "up"
    assert time.monotonic() - began < answering.PATIENCE / 2


@pytest.mark.usefixtures("ssh")
def test_a_way_that_would_ask_is_taken_before_the_next_one(declare: Declare) -> None:
    workspace = declare(
        a=host("jon", "asks", "priority = 9"), b=host("jon", "up", "priority = 8"), c=host("jon", "down")
    )
    assert reach(workspace, "jon").host == "asks"
    answers, _ = pipeline.ask_ways(workspace, ["jon"])["jon"]
    assert [(answer.may_ask, not answer.problem) for answer in answers] == [
        *((False, False), (False, False), (True, False), (False, True)),
    ]
