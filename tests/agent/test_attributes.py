"""What a person has set on a managed file, of which its definition says nothing: access control lists and the like."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

import pytest
from agent_world import META, NOTHING, machine, make, stage, update

from rolecall_agent.comparison import drift
from rolecall_agent.configuration import Configuration
from rolecall_agent.content import Secret, parts
from rolecall_agent.errors import Failure
from rolecall_agent.resources import File
from rolecall_agent.switch import switch
from rolecall_agent.tree import ACL
from rolecall_agent.undo import recover

if TYPE_CHECKING:
    from pathlib import Path

    from rolecall_agent.resources import Resource

NOTE = "user.note"
ANYBODY = 0xFFFFFFFF


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = make(tmp_path / "m")
    try:
        os.setxattr(root / "etc/a", NOTE, b"")
        os.removexattr(root / "etc/a", NOTE)
    except OSError:
        pytest.skip("this file system has no extended attributes")
    return root


def acl(reader: int = 12345, group: int = 4) -> bytes:
    """Return a list that lets a user read, as acl(5) is stored: version, then tag, rights and id of each entry."""
    entries = [(1, 6, ANYBODY), (2, 4, reader), (4, group, ANYBODY), (16, 4, ANYBODY), (32, 0, ANYBODY)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def configured(*resources: Resource) -> Configuration:
    return Configuration.of("m", resources)


def mark(path: Path, note: bytes = b"mine") -> None:
    """Do what a person might, without a change of the mode, which is 0640."""
    os.setxattr(path, NOTE, note)
    os.setxattr(path, ACL, acl())


def attributes(path: Path) -> dict[str, bytes]:
    return {name: os.getxattr(path, name) for name in os.listxattr(path)}


MARKED = {NOTE: b"mine", ACL: acl()}


def file(content: str, mode: int = 0o640) -> File:
    return File("/etc/x", content, mode=mode)


def test_a_rewrite_keeps_attributes(root: Path) -> None:
    update(root, configured(file("one")))
    mark(root / "etc/x")
    update(root, configured(file("two")))
    assert (root / "etc/x").read_text() == "two"
    assert attributes(root / "etc/x") == MARKED
    update(root, configured(file("three", 0o600)))
    update(root, configured(file("three")))
    assert attributes(root / "etc/x") == MARKED
    assert (root / "etc/x").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("target", [configured(file("two")), configured(file("one", 0o600)), NOTHING])
def test_an_undo_restores_attributes(root: Path, target: Configuration) -> None:
    update(root, configured(file("one")))
    mark(root / "etc/x")
    it = machine(root)
    stage(it, target)
    switch(it, target, META, nonce="n", confirm=False)
    assert recover(machine(root)) == "undone"
    assert attributes(root / "etc/x") == MARKED
    assert ((root / "etc/x").read_text(), (root / "etc/x").stat().st_mode & 0o777) == ("one", 0o640)


def test_undeclaring_restores_the_attributes_that_were_there(root: Path) -> None:
    (root / "etc/x").write_text("theirs")
    mark(root / "etc/x")
    os.setxattr(root / "etc", "system.posix_acl_default", acl(54321))
    update(root, configured(file("one")))
    assert attributes(root / "etc/x") == MARKED
    os.removexattr(root / "etc/x", ACL)
    os.setxattr(root / "etc/x", NOTE, b"other")
    update(root, configured(file("two")))
    assert attributes(root / "etc/x") == {NOTE: b"other"}
    update(root, NOTHING)
    assert attributes(root / "etc/x") == MARKED
    assert (root / "etc/x").read_text() == "theirs"


def test_an_original_without_a_list_inherits_none(root: Path) -> None:
    (root / "etc/x").write_text("theirs")
    os.setxattr(root / "etc", "system.posix_acl_default", acl())
    update(root, configured(file("one")))
    update(root, NOTHING)
    assert attributes(root / "etc/x") == {}


def test_a_new_file_inherits_the_list_of_its_folder(root: Path) -> None:
    os.setxattr(root / "etc", "system.posix_acl_default", acl())
    update(root, configured(file("one")))
    assert attributes(root / "etc/x") == {ACL: acl()}


def test_nobody_reads_a_secret_by_an_access_control_list(root: Path) -> None:
    secret = File("/etc/x", parts(Secret("i.pass", "value", "v1")), mode=0o640, readable_by=None)
    os.setxattr(root / "etc", "system.posix_acl_default", acl())
    update(root, configured(secret))
    assert attributes(root / "etc/x") == {}
    mark(root / "etc/x")
    it = machine(root)
    assert drift(it.system, it.store, configured(secret)) == [
        {"key": "file:/etc/x", "reason": "an access control list"}
    ]
    update(root, configured(secret))
    assert attributes(root / "etc/x") == {NOTE: b"mine"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of other users")
@pytest.mark.parametrize("content", ["one", "other"])
def test_a_list_that_another_user_has_set_is_not_kept(root: Path, content: str) -> None:
    system = machine(root).system
    system.write("/etc/x", b"one", "u2", mode=0o664)
    os.chown(root / "etc/x", 12345, 12345)
    os.setxattr(root / "etc/x", ACL, acl())
    update(root, configured(file(content, 0o664)))
    assert attributes(root / "etc/x") == {}


def test_an_attribute_that_cannot_be_kept_changes_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    update(root, configured(file("one")))
    mark(root / "etc/x")

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patches:
        patches.setattr(os, "setxattr", refuse)
        with pytest.raises(Failure, match="/etc/x"):
            update(root, configured(file("two")))
    assert (root / "etc/x").read_text() == "one"
    assert attributes(root / "etc/x") == MARKED
