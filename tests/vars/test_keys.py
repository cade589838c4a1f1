from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from rolecall import vars as v
from rolecall.cli import rolecall
from rolecall.cli.common import Invocation
from rolecall.errors import Faults
from rolecall.model.recipes import Recipe
from rolecall.model.vars import VarKey
from rolecall.project import Project
from rolecall.service.generators import Passphrase
from rolecall.vars.keys import identity_path

if TYPE_CHECKING:
    from pathlib import Path

KEY = VarKey("jon", "backup.word")


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def empty(tmp_path: Path) -> Project:
    return Project(tmp_path / "empty")


def ssh_key(path: Path, *, kind: str = "ed25519", phrase: str = "") -> None:
    if not shutil.which("ssh-keygen"):
        pytest.skip("ssh-keygen is not installed")
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", phrase, "-b", "2048", "-f", path], check=True)


def make_one(project: Project) -> bytes:
    v.promote(project, v.make(project, [Recipe(KEY, Passphrase(), "backup.client")]))
    return v.decrypt(project, [(KEY, "passphrase")])[KEY, "passphrase"]


def test_an_identity_is_created_once_and_private(empty: Project, own_home: Path) -> None:
    old = os.umask(0)
    try:
        path = v.create_identity(empty, "me")
    finally:
        os.umask(old)
    assert path == own_home / ".config/rolecall/identity"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert (empty.keys / "me.pub").stat().st_mode & 0o777 == 0o644
    text = path.read_text()
    assert v.create_identity(empty, "me") == path
    assert path.read_text() == text
    assert v.create_identity(empty, "other") == path  # it is an admin's already
    assert [admin.name for admin in v.admins(empty)] == ["me"]
    public = (empty.keys / "me.pub").read_text()
    with pytest.raises(Faults, match=r"this public key already exists as 'me'\n  at .*me\.pub"):
        v.add_admin(empty, "again", public)
    assert text.split()[-1].startswith("AGE-SECRET-KEY-")
    assert len(make_one(empty).split(b"-")) >= 6


def test_an_existing_ssh_key_is_the_identity(empty: Project, own_home: Path) -> None:
    ssh_key(own_home / ".ssh/id_ed25519")
    assert v.create_identity(empty, "me") == own_home / ".ssh/id_ed25519"
    public = (own_home / ".ssh/id_ed25519.pub").read_text().split()[:2]
    assert v.admins(empty)[0].public_key.split() == public
    assert make_one(empty)


def test_the_environment_names_an_identity(empty: Project, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ssh_key(own_home / ".ssh/id_ed25519")
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert identity_path() == own_home / ".ssh/id_ed25519"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(own_home / "xdg"))
    (own_home / "xdg/rolecall").mkdir(parents=True)
    (own_home / "xdg/rolecall/identity").touch()
    assert identity_path() == own_home / "xdg/rolecall/identity"
    monkeypatch.setenv("ROLECALL_IDENTITY", str(own_home / "mine"))
    assert v.create_identity(empty, "me") == own_home / "mine"


def test_every_admin_can_read_and_others_get_a_fault(
    empty: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    v.create_identity(empty, "me")
    ssh_key(tmp_path / "friend", kind="rsa")
    v.add_admin(empty, "friend", (tmp_path / "friend.pub").read_text())
    value = make_one(empty)
    monkeypatch.setenv("ROLECALL_IDENTITY", str(tmp_path / "friend"))
    assert v.decrypt(empty, [(KEY, "passphrase")]) == {(KEY, "passphrase"): value}
    ssh_key(tmp_path / "stranger")
    monkeypatch.setenv("ROLECALL_IDENTITY", str(tmp_path / "stranger"))
    with pytest.raises(Faults, match=r"cannot read this secret[^$]*backup.word/passphrase/secret"):
        v.decrypt(empty, [(KEY, "passphrase")])
    monkeypatch.setenv("ROLECALL_IDENTITY", str(tmp_path / "nowhere"))
    with pytest.raises(Faults, match=r"no identity[^$]*keys create"):
        v.decrypt(empty, [(KEY, "passphrase")])
    assert v.decrypt(empty, []) == {}


def test_an_ssh_key_with_a_passphrase_is_refused_with_a_hint(empty: Project, own_home: Path) -> None:
    ssh_key(own_home / ".ssh/id_ed25519", phrase="words")
    with pytest.raises(Faults, match=r"ssh key must be decrypted first[^$]*ROLECALL_IDENTITY"):
        v.create_identity(empty, "me")
    assert v.admins(empty) == []


@pytest.mark.parametrize("text", ["", "rubbish", "# only a comment\n", "\x00\xff"])
def test_an_invalid_identity_is_refused(empty: Project, own_home: Path, text: str) -> None:
    path = own_home / ".config/rolecall/identity"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(Faults, match="the identity"):
        v.create_identity(empty, "me")
    assert path.read_text() == text


@pytest.mark.parametrize("name", ["", "..", "a/b", "-rf", "a.b", "a\n", "ä", "x" * 300])
def test_dangerous_names_of_keys_are_refused(project: Project, name: str) -> None:
    with pytest.raises(Faults, match="not a valid name of a key"):
        v.add_admin(project, name, v.admins(project)[0].public_key)


@pytest.mark.parametrize("key", ["", "age1x", "ssh-ed25519 AAAA", "AGE-SECRET-KEY-1MARKER", "two\nlines"])
def test_invalid_keys_are_refused_and_not_printed(project: Project, key: str) -> None:
    with pytest.raises(Faults, match="public key") as caught:
        v.add_admin(project, "friend", key)
    assert "MARKER" not in str(caught.value)


def test_a_name_keeps_its_key_until_it_is_removed(project: Project, tmp_path: Path) -> None:
    ssh_key(tmp_path / "friend")
    friend = (tmp_path / "friend.pub").read_text()
    with pytest.raises(Faults, match=r"admin key 'me' already exists with another value"):
        v.add_admin(project, "me", friend)
    with pytest.raises(Faults, match=r"did you mean 'me'"):
        v.remove_admin(project, "mee")
    v.remove_admin(project, "me")
    v.add_admin(project, "me", friend)
    assert [admin.public_key for admin in v.admins(project)] == [" ".join(friend.split()[:2])]  # without its comment


def test_a_file_without_exactly_one_key_is_a_fault(project: Project) -> None:
    (project.keys / "bad.pub").write_text("# nothing\n")
    with pytest.raises(Faults, match=r"the file has 0 keys, but must have one[^$]*bad\.pub"):
        v.admins(project)


def test_removing_the_last_admin_needs_a_confirmation_that_names_the_secrets(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    v.promote(project, v.make(project, [Recipe(VarKey("jon", "x.a"), Passphrase(), "x.y")]))
    (project.root / "inventory.toml").write_text("")
    asked: list[str] = []
    monkeypatch.setattr("rolecall.cli.keys.ask", lambda _, question: asked.append(question))
    [admin] = v.admins(project)
    done = CliRunner().invoke(rolecall, ["-C", str(project.root), "keys", "remove", admin.name], obj=Invocation())
    assert done.exit_code == 0
    [question] = asked
    assert question.startswith(f"{admin.name} is the last admin; without one no secret can be encrypted.")
    assert "Only its identity can then read these: jon/x.a/passphrase." in question
