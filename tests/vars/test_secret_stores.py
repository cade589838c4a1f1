"""Secret stores: age with its plugins, a real password store, and the move from one to the other."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import age_plugin
import pyrage
import pytest

from rolecall import vars as v
from rolecall.errors import Faults
from rolecall.model.recipes import Recipe, Replacement
from rolecall.model.vars import VarFile, VarKey
from rolecall.service import Function, Passphrase, SSHKeyPair
from rolecall.vars.make import making

if TYPE_CHECKING:
    from pathlib import Path

    from rolecall.model.vars import StoredVar
    from rolecall.project import Project

PAIR, RAW = VarKey("jon", "web.pair"), VarKey("", "web.raw")
BYTES = Function(lambda _: {"raw": b"\x00\xff\n\n"}, (VarFile("raw"),))
RECIPES = [Recipe(PAIR, SSHKeyPair(), "web.server", accepted=True), Recipe(RAW, BYTES, "web.server")]
HOLDER = "me@example.org"


def use(project: Project, store: str) -> None:
    (project.root / "pyproject.toml").write_text(f'[tool.rolecall]\nsecrets = "{store}"\n')


def make(
    project: Project, advance: tuple[VarKey, ...] = (), rotate: tuple[VarKey, ...] = ()
) -> dict[VarKey, StoredVar]:
    with making(project, RECIPES, Replacement(rotate, advance)) as work:
        made = work.make(RECIPES, lambda *_: ())
    v.promote(project, made)
    return made


def entries(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder).with_suffix("")) for path in folder.rglob("*.gpg"))


def test_values_are_in_the_password_store(project: Project, password_store: Path) -> None:
    use(project, "pass")
    made = make(project)
    version = made[RAW]["raw"].version
    place = f"rolecall/project/shared/web.raw/raw/{version}"
    assert (project.vars / "shared/web.raw/raw/secret").read_text() == f"pass:{place}\n"
    assert entries(password_store) == [f"rolecall/project/{PAIR}/private/{made[PAIR]['private'].version}", place]
    assert v.decrypt(project, [(RAW, "raw")]) == {(RAW, "raw"): b"\x00\xff\n\n"}
    assert {each.recipients for each in v.sealed(project)} == {frozenset({HOLDER})}
    assert v.with_wrong_recipients(project) == []


def test_values_that_are_replaced_dropped_or_pruned_are_deleted(project: Project, password_store: Path) -> None:
    use(project, "pass")
    make(project)
    before = entries(password_store)
    first = make(project, advance=(PAIR,))
    assert len(entries(password_store)) == 3
    make(project, advance=(PAIR,))
    assert v.decrypt(project, [(PAIR, "private"), (PAIR, ".old/private")])
    assert len(entries(password_store)) == 3  # no step loses what is still needed
    last = make(project, advance=(PAIR,))
    assert last[PAIR]["private"] == first[PAIR][".next/private"]
    assert len(entries(password_store)) == 2
    assert not set(before) <= set(entries(password_store))
    with making(project, RECIPES, Replacement({RAW})) as work:
        work.make(RECIPES, lambda *_: ())
    assert len(entries(password_store)) == 3
    v.discard(project)
    assert v.prune(project, [RAW]) == [PAIR]
    assert entries(password_store) == [f"rolecall/project/shared/web.raw/raw/{last[RAW]['raw'].version}"]


def test_fix_moves_secrets_from_one_store_to_the_other(project: Project, password_store: Path) -> None:
    made = make(project)
    values = v.decrypt(project, [(RAW, "raw"), (PAIR, "private")])
    for store, kept in (("pass", 2), ("age", 0)):
        use(project, store)
        assert len(v.with_wrong_recipients(project)) == 2
        v.fix(project)
        assert v.with_wrong_recipients(project) == []
        assert len(entries(password_store)) == kept
        assert v.decrypt(project, [(RAW, "raw"), (PAIR, "private")]) == values
        assert v.stored_all(project) == made  # versions stay: no machine notices
    assert all(HOLDER in each.formerly for each in v.sealed(project))  # whoever could read it may have a copy


def test_both_stores_side_by_side(project: Project, password_store: Path) -> None:
    v.promote(project, v.make(project, RECIPES[:1]))
    use(project, "pass")
    make(project)
    assert len(entries(password_store)) == 1
    assert len(v.decrypt(project, [(RAW, "raw"), (PAIR, "private")])) == 2


def test_failures_of_the_password_store_are_faults(
    project: Project, password_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(project, "pass")
    make(project)
    secret = project.vars / "shared/web.raw/raw/secret"
    secret.write_text("pass:rolecall/project/gone\n")
    with pytest.raises(Faults, match="this secret cannot be read: Error: rolecall/project/gone is not in the password"):
        v.decrypt(project, [(RAW, "raw")])
    for path in ("pass:bank/account\n", "pass:rolecall/../bank\n"):
        secret.write_text(path)
        with pytest.raises(Faults, match="is not the path of a secret"):
            v.decrypt(project, [(RAW, "raw")])
    monkeypatch.setenv("PASSWORD_STORE_DIR", str(password_store / "none"))
    with pytest.raises(Faults, match=r"password store not found\n.*none\nhint: create it: `pass init"):
        v.with_wrong_recipients(project)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Faults, match=r"pass is not installed\n.*\nhint: install it"):
        v.decrypt(project, [(PAIR, "private")])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('secrets = "vault"', "expected 'age' or 'pass'"),
        ("secrets = 1", "expected 'age' or 'pass'"),
        ('secret = "pass"', "unknown option 'secret'\n.*\nhint: did you mean 'secrets'"),
        ("nix = 1", "expected true or false"),
        ("nix = ", "TOML: "),
    ],
)
def test_an_unknown_store_is_refused(project: Project, text: str, message: str) -> None:
    (project.root / "pyproject.toml").write_text(f"[tool.rolecall]\n{text}\n")
    with pytest.raises(Faults, match=message):
        make(project)


# Plugins of age


@pytest.fixture
def plugin(project: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = project.root.parent / "bin"
    folder.mkdir()
    age_plugin.make(folder)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def test_a_key_of_a_plugin_is_an_admin_as_any_other(
    project: Project, plugin: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    v.add_admin(project, "key", age_plugin.RECIPIENT)
    make(project)
    assert capsys.readouterr().err == ""
    values = v.decrypt(project, [(RAW, "raw")])
    identity = project.root.parent / "identity of a plugin"
    identity.write_text(f"# a key\n{age_plugin.IDENTITY}\n")
    monkeypatch.setenv("ROLECALL_IDENTITY", str(identity))
    assert v.decrypt(project, [(RAW, "raw")]) == values
    assert "touch the key" in capsys.readouterr().err
    (plugin / "age-plugin-masked").unlink()
    with pytest.raises(Faults, match="a key needs age-plugin-masked, which is not installed"):
        v.decrypt(project, [(RAW, "raw")])
    with pytest.raises(Faults, match="a key needs age-plugin-masked, which is not installed"):
        make(project, rotate=(RAW,))
    with pytest.raises(Faults, match=r"is unknown\n.*\nhint: get it from age-plugin-masked"):
        v.create_identity(project, "other")


def test_a_key_of_hardware_needs_no_plugin_to_encrypt_to(project: Project) -> None:
    """The recipients of newer plugins are ones that age itself encrypts to."""
    key = "age1tag1qt8lw0ual6avlwmwatk888yqnmdamm7xfd0wak53ut6elz5c4swx2yqdj4e"
    v.add_admin(project, "key", key)
    made = v.make(project, [Recipe(RAW, Passphrase(), "web.server")])
    v.promote(project, made)
    assert b"p256tag" in (project.vars / "shared/web.raw/passphrase/secret").read_bytes()


def test_an_invalid_plugin_key_is_not_printed(project: Project) -> None:
    for text in ("age1nothing", "age1masked1qqqqqqqq", str(pyrage.x25519.Identity.generate())):
        with pytest.raises(Faults, match="not a usable public key") as caught:
            v.add_admin(project, "bad", text)
        assert text not in str(caught.value)
