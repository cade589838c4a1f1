"""Every snippet of the two documents, as printed: from a new project to configurations on directories.

What a document presumes is set up first, by commands: machines, and the distribution that a flake names as its input.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
FENCE = re.compile(r"^( *)```\{?\.?nix[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
ZEROTIER = "etc/rolecall/zerotier.node"
SERVICE = """
from collections.abc import Iterator

from rolecall.service import File, Member, NoSettings, Resource, Service

service = Service("mod-A", description="Writes a greeting.")
everywhere = service.role("everywhere", description="Has a greeting.")


@everywhere.configure
def greet(me: Member[NoSettings]) -> Iterator[Resource]:
    yield File(me.path("greeting"), "hello")
"""


def snippets(document: str) -> list[str]:
    return [textwrap.dedent(block) for _, block in FENCE.findall((HERE / document).read_text())]


INSTANCES, INVENTORY = snippets("instances.md"), snippets("inventory.md")


class Project:
    """A new project with one snippet, and its command line."""

    def __init__(self, folder: Path, snippet: str, file: str = "inventory.nix") -> None:
        self.root = folder / "project"
        self.root.mkdir()
        (self.root / file).write_text(snippet)
        self.libraries = folder / "libraries"
        self.libraries.mkdir()
        self._environment = os.environ | {
            "ROLECALL_IDENTITY": str(folder / "identity"),
            "PYTHONPATH": str(self.libraries),
        }

    def rolecall(self, *words: str, status: int = 0) -> str:
        """Run the command, which must end with this status; return what it prints."""
        argv = [sys.executable, "-m", "rolecall", "-C", str(self.root), *words]
        done = subprocess.run(
            argv, env=self._environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def add(self, *machines: str) -> None:
        """Do what the document presumes: declare machines, each a directory."""
        for name in machines:
            self.rolecall("machines", "add", name, "--target-host", f"dir:targets/{name}")

    def update(self) -> None:
        """Install everything, after which a plan must be empty."""
        self.rolecall("check")
        self.rolecall("keys", "create")
        self.rolecall("update", "--yes")
        assert "nothing changes" in self.rolecall("plan")

    def file(self, machine: str, path: str) -> str:
        return (self.root / "targets" / machine / path).read_text()

    def json(self, machine: str, path: str) -> Any:  # noqa: ANN401 - any program's document
        return json.loads(self.file(machine, path))


def test_these_are_all_snippets() -> None:
    fences = sum((HERE / name).read_text().count("```") for name in ("instances.md", "inventory.md"))
    assert (len(INSTANCES), len(INVENTORY), fences) == (4, 3, 14)


def test_an_instance_without_members(tmp_path: Path) -> None:
    project = Project(tmp_path, INSTANCES[0])
    project.add("my-machine-name")
    assert "1 machine, 1 instance" in project.rolecall("check")
    assert "nothing changes" in project.rolecall("plan")


@pytest.mark.parametrize("number", [1, 2])
def test_a_vpn_with_a_controller_and_a_peer(tmp_path: Path, number: int) -> None:
    project = Project(tmp_path, INSTANCES[number])
    project.add("my-machine-name", "some-server-name")
    project.update()
    controller, peer = (project.json(name, f"{ZEROTIER}/node.json") for name in ("some-server-name", "my-machine-name"))
    networks = project.json("some-server-name", f"{ZEROTIER}/controller.json")
    [(network, declared)] = networks.items()
    assert network.startswith(controller["address"])
    assert {address: member["name"] for address, member in declared["members"].items()} == {
        peer["address"]: "my-machine-name"
    }
    assert list(peer["networks"]) == [network]
    assert not controller["networks"]
    # The second example has more settings: what the peer accepts, and addresses for members that are not declared.
    dynamic = number == 2
    accepted = dict(line.split("=") for line in peer["networks"][network].split())
    expected = {"allowManaged": "1", "allowGlobal": f"{dynamic:d}", "allowDefault": f"{dynamic:d}", "allowDNS": "0"}
    assert accepted == expected
    assert declared["network"]["v4AssignMode"] == {"zt": dynamic}
    assert bool(declared["network"]["ipAssignmentPools"]) == bool(declared["network"]["routes"]) == dynamic


def test_a_module_of_another_distribution(tmp_path: Path) -> None:
    project = Project(tmp_path, INSTANCES[3], "flake.nix")
    assert "the input 'libstd' is not installed" in project.rolecall("check", status=1)
    (project.libraries / "mod_a.py").write_text(SERVICE)
    info = project.libraries / "libfoo-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: libfoo\nVersion: 1\n")
    # As uv records what it installed from `github:libfoo/libfoo` (PEP 610).
    origin = {"url": "https://github.com/libfoo/libfoo", "vcs_info": {"vcs": "git", "commit_id": "0" * 40}}
    (info / "direct_url.json").write_text(json.dumps(origin))
    (info / "entry_points.txt").write_text("[rolecall.services]\nmod-A = mod_a:service\n")
    project.add("jon")
    project.rolecall("inventory", "set", "instances.my-foo.roles.everywhere.machines.jon", "{}")
    project.update()
    assert project.file("jon", "etc/rolecall/my-foo/greeting") == "hello"


def test_the_first_backup_lacks_an_equals_sign_which_the_hint_adds(tmp_path: Path) -> None:
    project = Project(tmp_path, INVENTORY[0])
    assert project.rolecall("check", status=1) == (
        "error: expected `=` after 'roles.client.machines.\"jon\"', found `{`\n"
        f"  at {project.root}/inventory.nix:9:37\n"
        'hint: put `=` between a name and its value: `roles.client.machines."jon" = …;`\n'
    )
    (project.root / "inventory.nix").write_text(INVENTORY[0].replace('machines."jon" {}', 'machines."jon" = {}'))
    project.add("jon", "backup_server")
    project.update()
    assert_backed_up(project, "instance_1", "jon", "backup_server")


def test_a_backup_by_tag(tmp_path: Path) -> None:
    project = Project(tmp_path, INVENTORY[1])
    project.add("backup_server")
    for name in ("jon", "sara"):
        project.rolecall("inventory", "set", f"machines.{name}.deploy.targetHost", f"dir:targets/{name}")
    project.update()
    for name in ("jon", "sara"):
        assert_backed_up(project, "instance_1", name, "backup_server")


def test_a_server_that_is_a_client_elsewhere(tmp_path: Path) -> None:
    project = Project(tmp_path, INVENTORY[2])
    for name in ("jon", "backup_server", "backup_backup_server"):
        project.rolecall("inventory", "set", f"machines.{name}.deploy.targetHost", f"dir:targets/{name}")
    project.update()
    assert_backed_up(project, "instance_1", "jon", "backup_server")
    assert_backed_up(project, "instance_2", "backup_server", "backup_backup_server")


def assert_backed_up(project: Project, instance: str, client: str, server: str) -> None:
    """Require that a client knows its repository, and that the server lets its key reach that one alone."""
    plan = project.json(client, f"etc/rolecall/{instance}/backup.json")
    assert list(plan["repositories"]) == [server]
    key = project.rolecall("vars", "get", f"{client}/{instance}.ssh/public").strip()
    authorized = project.file(server, "var/lib/borg/.ssh/authorized_keys")
    [line] = [line for line in authorized.splitlines() if key.split()[1] in line]
    assert f"--restrict-to-repository /var/lib/borgbackup/{instance}/{client}" in line
