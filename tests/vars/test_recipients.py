"""Who can read which secret: checked without decrypting, repaired without new values."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pyrage
import pytest

from rolecall import vars as v
from rolecall.model.recipes import Recipe
from rolecall.model.vars import VarKey
from rolecall.service.generators import Passphrase, SSHKeyPair
from rolecall.vars import layout

if TYPE_CHECKING:
    from rolecall.project import Project

KEYS = (VarKey("jon", "backup.ssh"), VarKey("sara", "backup.ssh"), VarKey("", "word"))


@pytest.fixture
def made(project: Project) -> Project:
    generators = (SSHKeyPair(), SSHKeyPair(), Passphrase())
    vars_ = v.make(project, [Recipe(key, generator, "x.y") for key, generator in zip(KEYS, generators, strict=True)])
    v.promote(project, {key: vars_[key] for key in KEYS[:2]})  # the last one stays pending
    return project


@pytest.fixture
def friend() -> pyrage.x25519.Identity:
    return pyrage.x25519.Identity.generate()


def texts(project: Project) -> dict[str, bytes]:
    bases = (project.vars, project.pending)
    return {str(path): path.read_bytes() for base in bases for path in base.rglob("*") if path.is_file()}


def test_new_secrets_have_the_right_recipients(made: Project) -> None:
    assert [str(each) for each in sorted(v.sealed(made))] == [
        "shared/word/passphrase", "jon/backup.ssh/private", "sara/backup.ssh/private",
    ]  # fmt: skip
    before = texts(made)
    assert v.with_wrong_recipients(made) == []
    assert v.fix(made) == ([], [])
    assert texts(made) == before


def test_a_new_admin_can_read_existing_secrets_after_a_fix(made: Project, friend: pyrage.x25519.Identity) -> None:
    v.add_admin(made, "friend", str(friend.to_public()))
    assert len(v.with_wrong_recipients(made)) == 3
    _, fault = v.with_wrong_recipients(made)[1]
    assert fault.message == "jon/backup.ssh/private cannot be read by friend"
    assert fault.where
    assert fault.where.file == made.vars / "per-machine/jon/backup.ssh/private/secret"
    values = v.decrypt(made, [(KEYS[0], "private"), (KEYS[2], "passphrase")])
    versions = v.stored(made, KEYS)
    assert len(v.fix(made)[0]) == 3
    assert v.with_wrong_recipients(made) == []
    assert v.stored(made, KEYS) == versions
    assert v.decrypt(made, list(values)) == values
    sealed = layout.ciphertext(layout.file_folder(made.vars, KEYS[0], "private"))
    assert pyrage.decrypt(sealed, [friend]) == values[KEYS[0], "private"]
    before = texts(made)
    assert v.fix(made) == ([], [])
    assert texts(made) == before


def test_a_former_admin_cannot_read_secrets_after_a_fix(made: Project, friend: pyrage.x25519.Identity) -> None:
    public = str(friend.to_public())
    v.add_admin(made, "friend", public)
    v.fix(made)
    assert len(v.readable_by(made, public)) == 3
    v.remove_admin(made, "friend")
    _, fault = v.with_wrong_recipients(made)[1]
    assert fault.message == f"jon/backup.ssh/private can be read by {public[:12]}…{public[-6:]}, not an admin's key"
    v.fix(made)
    assert v.readable_by(made, public) == []
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(layout.ciphertext(layout.file_folder(made.vars, KEYS[0], "private")), [friend])


def test_a_secret_without_a_list_of_recipients_is_a_fault(made: Project) -> None:
    folder = Path(layout.file_folder(made.vars, KEYS[0], "private"))
    (folder / "recipients").unlink()
    [(_, fault)] = v.with_wrong_recipients(made)
    assert fault.message == "the list of recipients of jon/backup.ssh/private is missing"
    assert [str(each) for each in v.fix(made)[0]] == ["jon/backup.ssh/private"]
    assert v.with_wrong_recipients(made) == []


def test_a_fix_repairs_what_it_can_and_names_the_rest(made: Project, friend: pyrage.x25519.Identity) -> None:
    v.add_admin(made, "friend", str(friend.to_public()))
    damaged = Path(layout.file_folder(made.vars, KEYS[1], "private")) / "secret"
    theirs = Path(layout.file_folder(made.vars, KEYS[0], "private")) / "secret"
    damaged.write_bytes(b"damaged")
    theirs.write_bytes(pyrage.encrypt(b"x", [friend.to_public()]))
    (made.vars / "per-machine/jon/backup.ssh/.made").unlink()  # of an earlier version: only the secret itself tells
    before = {path: path.read_bytes() for path in (damaged, theirs)}
    fixed, left = v.fix(made)
    assert [str(each) for each in fixed] == ["shared/word/passphrase"]
    assert [(fault.message.partition(":")[0], fault.where and fault.where.file) for fault in left] == [
        ("jon/backup.ssh/private cannot be re-encrypted", theirs),
        ("sara/backup.ssh/private does not match the other files of the var (mixed up by a merge?)", damaged.parent),
    ]
    assert "`rolecall vars fix` with the identity of age1" in left[0].hint
    assert {path: path.read_bytes() for path in before} == before


def test_an_interrupted_fix_is_reported_and_repeated(
    made: Project, friend: pyrage.x25519.Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    v.add_admin(made, "friend", str(friend.to_public()))
    whole = v.decrypt(made, [(KEYS[0], "private")])
    real, left = os.rename, 6  # four for each

    def rename(source: str, target: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(KeyboardInterrupt):
        v.fix(made)
    monkeypatch.setattr(os, "rename", real)
    assert len(v.with_wrong_recipients(made)) == 2  # one is done, of another only the secret
    assert v.decrypt(made, list(whole)) == whole
    assert len(v.fix(made)[0]) == 2
    assert v.with_wrong_recipients(made) == []
    assert not [path for path in texts(made) if Path(path).name.startswith(("..", ".r", ".s"))]
    assert {path.stat().st_mode & 0o777 for path in made.vars.rglob("secret")} == {0o600}
