from __future__ import annotations

import json
import os
import pty
import sys
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from rolecall.cli.common import Invocation
from rolecall.cli.keys import keys
from rolecall.cli.vars import vars_
from rolecall.errors import Faults
from rolecall.model.recipes import Recipe
from rolecall.model.vars import VarKey
from rolecall.service.generators import Passphrase, SSHKeyPair
from rolecall.vars import decrypt, make, pending, promote

if TYPE_CHECKING:
    from pathlib import Path

    from rolecall.project import Project

GROUPS = {"vars": vars_, "keys": keys}
SSH, WORD = VarKey("jon", "backup.ssh"), VarKey("", "word")


@pytest.fixture
def made(project: Project) -> Project:
    """A project with a stored key pair and a pending shared passphrase."""
    (project.root / "inventory.toml").write_text("")
    promote(project, make(project, [Recipe(SSH, SSHKeyPair(), "backup.client")]))
    make(project, [Recipe(WORD, Passphrase(), "backup.client")])
    return project


def run(project: Project, group: str, *words: str, as_json: bool = False) -> str:
    """Return what a command prints; raise its faults."""
    result = CliRunner().invoke(GROUPS[group], words, obj=Invocation(project.root, json=as_json))
    if isinstance(result.exception, Faults):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def run_json(project: Project, *words: str) -> Any:  # noqa: ANN401 - whatever it prints
    return json.loads(run(project, *words, as_json=True))


def test_list_names_all_vars(made: Project) -> None:
    assert run(made, "vars", "list").splitlines() == [
        "secret  shared/word/passphrase  pending",
        "secret  jon/backup.ssh/private",
        "public  jon/backup.ssh/public",
    ]
    rows = run_json(made, "vars", "list")["vars"]
    assert [(row["machine"], row["file"], row["pending"]) for row in rows] == [
        (None, "passphrase", True),
        ("jon", "private", False),
        ("jon", "public", False),
    ]


def test_get_prints_secrets_only_when_confirmed(made: Project) -> None:
    secret = decrypt(made, [(WORD, "passphrase")])[WORD, "passphrase"].decode()
    assert run(made, "vars", "get", "jon/backup.ssh/public").startswith("ssh-ed25519 ")
    with pytest.raises(Faults, match=r"shared/word is secret[^$]*--yes") as caught:
        run(made, "vars", "get", "shared/word")
    assert secret not in str(caught.value)
    assert run(made, "vars", "get", "shared/word", "--yes") == secret
    assert run_json(made, "vars", "get", "shared/word/passphrase", "--yes")["value"] == secret
    with pytest.raises(Faults, match=r"no var 'jon/backup.shs'[^$]*did you mean"):
        run(made, "vars", "get", "jon/backup.shs")


def test_get_lists_the_files_of_a_var_that_has_several(made: Project) -> None:
    with pytest.raises(Faults) as caught:
        run(made, "vars", "get", "jon/backup.ssh")
    assert str(caught.value) == (
        "error: jon/backup.ssh has several files\nhint: name one: jon/backup.ssh/private, jon/backup.ssh/public"
    )


def test_get_prints_a_secret_to_a_terminal(made: Project) -> None:
    secret = decrypt(made, [(WORD, "passphrase")])[WORD, "passphrase"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside the test runner's threads
        child, terminal = pty.fork()
    if not child:
        try:
            sys.stdout = os.fdopen(1, "w")
            vars_.main(["get", "shared/word"], obj=Invocation(made.root))
        finally:
            os._exit(0)
    assert secret in os.read(terminal, 4096)
    os.waitpid(child, 0)
    os.close(terminal)


def test_discard_and_prune_name_what_they_remove(made: Project) -> None:
    assert run_json(made, "vars", "discard") == {"vars": ["shared/word"], "kept": {}}
    assert run(made, "vars", "discard") == "nothing is pending\n"
    assert run(made, "vars", "prune", "--dry-run") == "would remove jon/backup.ssh\n"
    assert run(made, "vars", "prune", "--yes") == "removed jon/backup.ssh\n"
    assert run(made, "vars", "list") == "no vars yet\n"


def test_generate_stores_the_missing_vars_of_the_inventory(made: Project) -> None:
    (made.root / "inventory.toml").write_text(
        '[machines.jon]\n[machines.sara]\n[instances.backup]\nmodule.name = "borgbackup"\n'
        "[instances.backup.roles.client.machines.jon]\n[instances.backup.roles.server.machines.sara]\n"
    )
    lines = run(made, "vars", "generate").splitlines()
    assert lines
    assert all(line.startswith("generated jon/backup.") for line in lines)
    assert "pending" not in run(made, "vars", "list").replace("shared/word/passphrase  pending", "")
    assert run(made, "vars", "generate") == "no vars are missing\n"


def test_keys(made: Project) -> None:
    key = run_json(made, "keys", "list")["keys"][0]
    assert key["name"] == "me"
    sara = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa"
    assert "it can read secrets that are generated from now on" in run(made, "keys", "add", "sara", sara)
    assert run(made, "keys", "list").splitlines() == [f"me    {key['publicKey']}", f"sara  {sara}"]
    assert run_json(made, "keys", "remove", "me") == {
        "removed": "me",
        "known": ["shared/word/passphrase", "jon/backup.ssh/private"],
        "alone": ["shared/word/passphrase", "jon/backup.ssh/private"],  # nothing was encrypted to sara yet
        "own": True,
    }
    with pytest.raises(Faults, match="cannot ask for confirmation"):
        run(made, "keys", "remove", "sara")
    assert run_json(made, "keys", "list")["keys"] == [{"name": "sara", "publicKey": sara}]
    run(made, "keys", "remove", "sara", "--yes")
    assert "rolecall keys create" in run(made, "keys", "list")
    assert run_json(made, "keys", "create", "me")["publicKey"].endswith("keys/me.pub")
    assert run_json(made, "keys", "list")["keys"] == [key]


def test_set_takes_the_values_that_a_person_gives(made: Project, tmp_path: Path) -> None:
    (made.root / "inventory.toml").write_text(
        '[machines.jon]\n[machines.sara]\n[instances.backup]\nmodule.name = "borgbackup"\n'
        "[instances.backup.roles.client.machines.jon]\n[instances.backup.roles.server.machines.sara]\n"
    )
    for name in ("private", "public"):
        (tmp_path / name).write_text(f"my {name}")
    words = [f"{name}={tmp_path / name}" for name in ("private", "public")]
    assert (
        run(made, "vars", "set", "jon/backup.ssh", *words) == "pending: jon/backup.repokey\npending: jon/backup.ssh\n"
    )
    assert run(made, "vars", "get", "jon/backup.ssh/private", "--yes").startswith("-----BEGIN")  # what counts still
    run(made, "vars", "generate")  # generates what is missing, and leaves pending rotations alone
    assert run(made, "vars", "get", "jon/backup.ssh/private", "--yes").startswith("-----BEGIN")
    promote(made, pending(made))
    assert run(made, "vars", "get", "jon/backup.ssh/private", "--yes") == "my private"
    assert run(made, "vars", "get", "jon/backup.ssh/public") == "my public"
    for wrong, message in (
        (["jon/backup.ssh", "privat=/dev/null"], "has no file 'privat'"),
        (["jon/backup.sch"], "did you mean 'jon/backup.ssh'?"),
        (["jon/backup.ssh"], "has several files"),
    ):
        done = CliRunner().invoke(vars_, ["set", *wrong], obj=Invocation(made.root), input="x")
        assert isinstance(done.exception, Faults)
        assert message in str(done.exception)
