"""Two names of one place: links that are followed, and folders that are mounted twice."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from agent_world import machine, make, update

from rolecall_agent.comparison import compare
from rolecall_agent.configuration import Configuration
from rolecall_agent.errors import Failure
from rolecall_agent.resources import AuthorizedKey, Block, Directory, File, Resource, Symlink, User

if TYPE_CHECKING:
    from pathlib import Path

OURS = "file /var/lib/rolecall/x: /var/lib/rolecall belongs to Rolecall; choose another path"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """As a machine on which /var/run leads to /run, and an administrator has linked some folders."""
    root = make(tmp_path / "m")
    (root / "run").mkdir()
    (root / "var/run").symlink_to("/run")
    (root / "var/state").symlink_to("lib/rolecall/..")
    (root / "srv/kernel").symlink_to("/proc")
    (root / "etc/linked").symlink_to("/run/target")
    return root


def refused(root: Path, *resources: Resource) -> list[str]:
    it = machine(root)
    it.store.prepare()
    try:
        compare(it.system, it.store, it.store.configuration(it.store.current), Configuration.of("m", resources))
    except Failure as failure:
        return [failure.message, *filter(None, failure.detail.splitlines())]
    return []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (File("/run/x", ""), File("/var/run/x", "other")),
        (File("/run/new/deep", ""), Symlink("/var/run/new/deep", "x")),
        (Directory("/run/d"), Directory("/var/run/d", mode=0o700)),
        (File("/run/target", ""), Block("/etc/linked", "b", "")),
        (Block("/etc/linked", "b", ""), Block("/run/target", "a", "")),
    ],
)
def test_two_names_of_one_place_are_refused(root: Path, one: File, other: File) -> None:
    problem = f"{other.key}: {other.path} is the same place as {one.path} of {one.key}; declare only one of them"
    assert refused(root, one, other) == [problem]
    assert refused(root, one) == refused(root, other) == []
    update(root, Configuration.of("m", [one]))
    assert problem in refused(root, one, other)  # although nothing changes for the first one


def test_an_equal_file_is_refused_too(root: Path) -> None:
    (root / "run/x").write_text("same\n")
    (root / "run/x").chmod(0o644)
    assert len(refused(root, File("/run/x", "same\n"), File("/var/run/x", "same\n"))) == 1


def test_another_name_for_what_was_declared_is_refused(root: Path) -> None:
    """The removal of the old name would remove what the new one brings."""
    update(root, Configuration.of("m", [File("/var/run/x", "")]))
    hint = "undeclare both in an update of its own first"
    assert refused(root, File("/run/x", "")) == [
        f"file:/run/x: /run/x is the same place as /var/run/x of file:/var/run/x; {hint}"
    ]
    update(root, Configuration.of("m", []))
    update(root, Configuration.of("m", [File("/run/x", "")]))


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/var/state/rolecall/x", OURS),
        ("/srv/kernel/x", "file /proc/x: what is in /proc is made by the kernel"),
    ],
)
def test_another_name_for_what_cannot_be_declared_is_refused(root: Path, path: str, problem: str) -> None:
    (root / "proc").mkdir()
    (found,) = refused(root, File(path, ""), File("/var/state/other", ""))
    assert found.startswith(f"file:{path}: {path} leads to another place: {problem}")


@as_root
def test_a_folder_that_is_mounted_twice_is_one_place(root: Path) -> None:
    (root / "opt").mkdir()
    (root / "mnt").mkdir()
    binds = ((root / "srv", root / "opt"), (root / "var/lib/rolecall", root / "mnt"))
    try:
        for source, target in binds:
            subprocess.run(["mount", "--bind", source, target], check=True)
        assert refused(root, File("/opt/x", ""), File("/srv/x", ""), File("/mnt/x", "")) == [
            f"file:/mnt/x: /mnt/x leads to another place: {OURS}",
            "file:/srv/x: /srv/x is the same place as /opt/x of file:/opt/x; declare only one of them",
        ]
    finally:
        for _, target in binds:
            subprocess.run(["umount", target], check=True)


def test_what_can_share_a_place_is_not_refused(root: Path) -> None:
    (root / "home/u1").symlink_to("/home/u2")
    (root / "home/u2/.ssh").symlink_to("/root/.ssh")
    (root / "home/u2").chmod(0o755)
    one, other = AuthorizedKey("root", "ssh-ed25519 KEY1"), AuthorizedKey("u2", "ssh-ed25519 KEY1", ("serve",))
    (problem,) = refused(root, one, other)
    assert problem.endswith(
        "is the same place as /root/.ssh/authorized_keys of authorized-key:root:KEY1; declare only one of them"
    )
    keys = [one, AuthorizedKey("u2", "ssh-ed25519 KEY2")]
    shared = [Block("/etc/shared", "a", ""), Block("/etc/shared", "b", ""), Directory("/home/u2", "u2")]
    assert refused(root, *keys, *shared, User("u1", home="/home/u1")) == []
