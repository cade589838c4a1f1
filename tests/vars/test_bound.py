"""Vars that bind something are never removed by a general command."""

from __future__ import annotations

import contextlib
import json
import shutil
from typing import TYPE_CHECKING

import pytest
from calling import call

import services
from rolecall import pipeline
from rolecall import vars as v
from rolecall.errors import Faults
from rolecall.model.vars import VarKey
from rolecall.pipeline.evaluation import note_recipes
from rolecall.project import Project
from rolecall.vars import layout, store, upgrade

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MACHINES = """
[machines.jon]
deploy.targetHost = "dir:targets/jon"
state.documents.folders = ["/srv/documents"]
[machines.store]
deploy.targetHost = "dir:targets/store"
"""
BACKUP = """
[instances.backup]
module.name = "borgbackup"
roles.client.tags = ["all"]
roles.server.machines.store = {}
"""
INVENTORY = MACHINES + BACKUP
WITHOUT_JON = INVENTORY.replace(MACHINES, MACHINES[MACHINES.index("[machines.store]") :])
REPOKEY, SSH = VarKey("jon", "backup.repokey"), VarKey("jon", "backup.ssh")
WHY = "the repositories are encrypted with it"
KEPT = f"kept jon/backup.repokey: {WHY}\n"


def write(project: Project, text: str) -> None:
    (project.root / "inventory.toml").write_text(text)


def value(project: Project) -> tuple[str, bytes]:
    """Return the version and the passphrase."""
    version = v.stored_all(project)[REPOKEY]["passphrase"].version
    return version, v.decrypt(project, [(REPOKEY, "passphrase")])[REPOKEY, "passphrase"]


@pytest.fixture(scope="module")
def installed_once(project_once: Project) -> Project:
    project = project_once
    write(project, INVENTORY)
    call(project, "update", "--yes")
    return project


@pytest.fixture
def installed(installed_once: Project, tmp_path: Path) -> Project:
    return Project(shutil.copytree(installed_once.root, tmp_path / "project", symlinks=True))


def forget_notes(project: Project) -> None:
    """Remove the notes that earlier versions did not write."""
    for path in [*project.vars.rglob(".made"), *project.vars.rglob(".binds")]:
        path.unlink()


@pytest.mark.parametrize("earlier", [False, True])
def test_a_machine_that_leaves_and_comes_back_has_the_same_passphrase(installed: Project, earlier: bool) -> None:  # noqa: FBT001 - a parameter
    before = value(installed)
    if earlier:
        forget_notes(installed)
    output = call(installed, "machines", "remove", "jon", "--own")
    assert KEPT in output
    assert "jon uses it again when it is declared again; `rolecall vars prune` leaves it alone\n" in output
    assert "no longer needed: jon/backup.ssh; to remove this, run `rolecall vars prune`\n" in output
    output = call(installed, "vars", "prune", "--yes")
    assert (
        output == f"removed jon/backup.ssh\n{KEPT}to remove one of these for good: `rolecall vars prune --force KEY`\n"
    )
    assert SSH not in v.stored_all(installed)
    assert value(installed) == before
    assert call(installed, "vars", "prune", "--yes").startswith(KEPT)
    write(installed, INVENTORY)
    call(installed, "update", "--yes")
    assert value(installed) == before
    assert "nothing to remove" in call(installed, "vars", "prune")


def test_bound_vars_of_a_removed_instance_stay(installed: Project) -> None:
    before = value(installed)
    write(installed, MACHINES)
    output = json.loads(call(installed, "vars", "prune", "--yes", "--json"))
    assert output["vars"] == ["jon/backup.ssh", "store/backup.ssh"]
    assert output["kept"] == {"jon/backup.repokey": WHY, "store/backup.repokey": WHY}
    assert value(installed) == before


def test_a_var_without_a_note_or_recipe_stays(installed: Project) -> None:
    forget_notes(installed)
    write(installed, MACHINES)  # by hand, and with the instance its service
    output = json.loads(call(installed, "vars", "prune", "--yes", "--json"))
    assert output == {
        "vars": [],
        "kept": {f"{m}/backup.{var}": "" for m in ("jon", "store") for var in ("repokey", "ssh")},
    }
    assert "Rolecall cannot tell whether anything depends on it" in call(installed, "vars", "prune")


def test_a_truncated_note_does_not_unbind_a_var(installed: Project) -> None:
    write(installed, MACHINES)
    (installed.vars / "per-machine/jon/backup.repokey/.binds").write_bytes(b"")
    assert "kept jon/backup.repokey: Rolecall cannot tell" in call(installed, "vars", "prune", "--yes")
    assert REPOKEY in v.stored_all(installed)


def test_the_service_of_an_existing_instance_says_what_is_bound(installed: Project) -> None:
    forget_notes(installed)
    write(installed, WITHOUT_JON)
    assert call(installed, "vars", "prune", "--yes").startswith(f"removed jon/backup.ssh\n{KEPT}")


def test_force_removes_exactly_the_named_vars(installed: Project) -> None:
    write(installed, WITHOUT_JON)
    for words, message in (
        (["jon/backup.repokey"], f"jon/backup.repokey is kept: {WHY}"),
        (["--force", "store/backup.repokey"], "the inventory needs the var 'store/backup.repokey'"),
        (["--force", "jon/backup.repokeys"], "did you mean 'jon/backup.repokey'?"),
    ):
        assert message in call(installed, "vars", "prune", "--yes", *words, status=1)
    assert "--force needs the names" in call(installed, "vars", "prune", "--force", status=2)
    call(installed, "vars", "prune", "--force", "jon/backup.repokey", status=1)  # without a prompt
    assert REPOKEY in v.stored_all(installed)
    assert call(installed, "vars", "prune", "--yes", "--force", "jon/backup.repokey") == "removed jon/backup.repokey\n"
    assert v.stored_all(installed).keys() >= {SSH, VarKey("store", "backup.repokey")}
    assert REPOKEY not in v.stored_all(installed)


def test_a_fresh_checkout_knows_what_is_bound(installed: Project, tmp_path: Path) -> None:
    fresh = Project(tmp_path / "fresh")
    fresh.root.mkdir()
    for name in ("vars", "keys"):
        (installed.root / name).rename(fresh.root / name)
    write(fresh, MACHINES)
    assert KEPT in call(fresh, "vars", "prune", "--yes")


@pytest.mark.slow
def test_a_bound_var_stays_in_a_password_store(project: Project, password_store: Path) -> None:
    (project.root / "pyproject.toml").write_text('[tool.rolecall]\nsecrets = "pass"\n')
    write(project, INVENTORY)
    call(project, "update", "--yes")
    before = value(project)
    write(project, WITHOUT_JON)
    assert KEPT in call(project, "vars", "prune", "--yes")
    assert value(project) == before
    assert len(list(password_store.rglob("jon/backup.repokey/**/*.gpg"))) == 1
    assert not list(password_store.rglob("jon/backup.ssh/**/*.gpg"))


def test_bound_vars_follow_a_renamed_machine(installed: Project) -> None:
    before = value(installed)
    call(installed, "machines", "rename", "jon", "bob")
    renamed = VarKey("bob", "backup.repokey")
    assert v.decrypt(installed, [(renamed, "passphrase")])[renamed, "passphrase"] == before[1]
    write(installed, WITHOUT_JON)
    (installed.root / "inventory.json").unlink(missing_ok=True)
    assert f"kept bob/backup.repokey: {WHY}\n" in call(installed, "vars", "prune", "--yes")


def test_a_bound_pending_var_is_dropped_only_by_name(project: Project) -> None:
    write(project, INVENTORY)
    call(project, "vars", "set", "jon/backup.repokey", given="what my repositories have already")
    output = call(project, "vars", "discard")
    assert KEPT in output
    assert "to drop one of these: `rolecall vars discard --force KEY`" in output
    call(project, "plan", "--discard")
    assert v.decrypt(project, [(REPOKEY, "passphrase")])[REPOKEY, "passphrase"] == b"what my repositories have already"
    assert "did you mean 'jon/backup.repokey'?" in call(
        project, "vars", "discard", "--force", "jon/backup.repo", status=1
    )
    assert "dropped jon/backup.repokey\n" in call(project, "vars", "discard", "--force", "jon/backup.repokey")
    assert REPOKEY not in v.pending(project)


def test_a_pending_replacement_can_be_dropped(installed: Project) -> None:
    before = value(installed)
    call(installed, "vars", "rotate", "--force", "jon/backup.repokey")
    assert call(installed, "vars", "discard") == "dropped jon/backup.repokey\n"
    assert value(installed) == before


def test_an_import_keeps_what_the_inventory_does_not_ask_for(installed: Project, tmp_path: Path) -> None:
    before = value(installed)
    call(installed, "vars", "export", "-o", str(tmp_path / "vars.age"))
    other = Project(tmp_path / "other")
    other.root.mkdir()
    (installed.root / "keys").rename(other.root / "keys")
    write(other, WITHOUT_JON)
    output = json.loads(call(other, "vars", "import", str(tmp_path / "vars.age"), "--json"))
    assert (output["kept"], output["unwanted"]) == (["jon/backup.repokey"], ["jon/backup.ssh"])
    assert value(other) == before
    assert KEPT in call(other, "vars", "prune", "--yes")
    output = json.loads(call(other, "vars", "import", str(tmp_path / "vars.age"), "--json"))
    assert (output["kept"], output["pending"]) == ([], [])
    write(other, INVENTORY)
    call(other, "update", "--yes")
    assert value(other) == before


def test_changed_settings_do_not_replace_a_bound_var(project: Project) -> None:
    binds = ("accepted=True", 'binds="the disk is encrypted with it"')
    services.install(project.root, "made_from", binds, module="disk")
    inventory = MACHINES + '[instances.disk]\nmodule.input = "self"\nroles.host.machines.jon.settings.name = "a"\n'
    write(project, inventory)
    call(project, "update", "--yes")
    write(project, inventory.replace('"a"', '"b"'))
    output = call(project, "plan", status=1)
    assert (
        "jon/disk.made would be regenerated because its settings have changed: the disk is encrypted with it" in output
    )
    assert "rolecall vars rotate --force jon/disk.made" in output
    assert v.pending(project) == {}
    call(project, "vars", "rotate", "--force", "jon/disk.made")
    assert VarKey("jon", "disk.made") in v.pending(project)


def test_removing_a_key_names_the_secrets_only_it_can_read(installed: Project) -> None:
    call(installed, "keys", "add", "sara", "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa")
    output = call(installed, "keys", "remove", "me")
    assert "this is your own key: after `vars fix` you can read no secret any more" in output
    assert "no other admin can read these: " in output
    assert "jon/backup.repokey/passphrase" in output
    assert "keep the identity of me until you have run `rolecall vars fix` with it; without it they are lost" in output
    before = value(installed)
    assert "cannot ask for confirmation" in call(installed, "vars", "fix", status=1)
    assert value(installed) == before
    assert "encrypted jon/backup.repokey/passphrase" in call(installed, "vars", "fix", "--yes")
    with pytest.raises(Faults):
        value(installed)
    assert call(installed, "vars", "fix") == "nothing to repair\n"


def test_removing_the_key_of_another_admin_asks_and_warns_of_nothing(installed: Project) -> None:
    call(installed, "keys", "add", "sara", "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa")
    call(installed, "vars", "fix")
    assert "your own key" not in call(installed, "keys", "remove", "sara")
    assert "encrypted jon/backup.repokey/passphrase" in call(installed, "vars", "fix")


@pytest.mark.parametrize(("given", "hinted"), [("hunter22\n", True), ("hunter22", False), ("two\nlines\n", False)])
def test_a_newline_at_the_end_of_what_is_piped_is_hinted_at(installed: Project, given: str, hinted: bool) -> None:  # noqa: FBT001 - a parameter
    output = call(installed, "vars", "set", "--force", "jon/backup.repokey", given=given)
    assert ("warning: the value of jon/backup.repokey ends with a newline" in output) == hinted


def test_an_answer_that_ends_with_a_newline_is_hinted_at(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    services.install(project.root, "prompts_of_lines", module="mail")
    write(project, MACHINES + '[instances.mail]\nmodule.input = "self"\nroles.relay.machines.jon = {}\n')
    answers = {"jon/mail.smtp/password": "hunter2\n", "jon/mail.text/text": "one\n"}
    monkeypatch.setenv("ROLECALL_ANSWERS", json.dumps(answers))
    output = call(project, "vars", "generate")
    assert "warning: the answer to jon/mail.smtp/password ends with a newline\nhint: leave it out" in output
    assert output.count("newline") == 1


@pytest.mark.parametrize("machines", ['["all"]', "[]"])
def test_another_module_with_the_same_names_does_not_unbind_a_var(installed: Project, machines: str) -> None:
    services.install(installed.root, "borg_names", module="other")
    other = f'[instances.backup]\nmodule = {{ name = "other", input = "self" }}\nroles.client.tags = {machines}\n'
    write(installed, MACHINES + other)
    call(installed, "vars", "generate")
    call(installed, "vars", "prune", "--yes")
    write(installed, MACHINES)
    assert KEPT in call(installed, "vars", "prune", "--yes")


def test_a_damaged_bound_pending_var_is_dropped_only_by_name(project: Project) -> None:
    write(project, INVENTORY)
    call(project, "vars", "set", "jon/backup.repokey", given="what my repositories have already")
    folder = project.pending / "per-machine/jon/backup.repokey"
    (folder / "passphrase/version").write_text("changed\n")
    assert "hint: drop it: `rolecall vars discard --force jon/backup.repokey`" in call(project, "check", status=1)
    assert KEPT in call(project, "vars", "discard")
    assert folder.exists()
    v.discard(project, keep=[REPOKEY])
    assert folder.exists()
    assert "dropped jon/backup.repokey\n" in call(project, "vars", "discard", "--force", "jon/backup.repokey")
    assert not folder.exists()


def test_a_damaged_pending_var_whose_stored_value_stays_is_dropped(installed: Project) -> None:
    call(installed, "vars", "rotate", "--force", "jon/backup.repokey")
    (installed.pending / "per-machine/jon/backup.repokey/passphrase/version").write_text("changed\n")
    assert "hint: drop it: `rolecall vars discard`" in call(installed, "check", status=1)
    assert call(installed, "vars", "discard") == "dropped jon/backup.repokey\n"


def test_prune_removes_the_pending_value_too(installed: Project) -> None:
    call(installed, "vars", "rotate", "jon/backup.ssh")
    write(installed, WITHOUT_JON)
    assert call(installed, "vars", "prune", "--yes").startswith("removed jon/backup.ssh\n")
    assert "jon/backup.ssh" not in call(installed, "vars", "list")
    assert not any(each.key == SSH for each in v.sealed(installed))


def test_prune_of_all_removes_pending_values_too(installed: Project) -> None:
    call(installed, "vars", "rotate", "jon/backup.ssh")
    wanted = v.stored_all(installed).keys() - {SSH}
    assert v.prune(installed, wanted) == [SSH]
    assert SSH not in v.pending(installed)


def test_no_note_is_written_for_a_var_that_another_writer_removed(
    installed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_notes(installed)
    before = store.locked

    @contextlib.contextmanager
    def locked(project: Project) -> Iterator[None]:
        v.remove(project, [SSH])
        with before(project):
            yield

    monkeypatch.setattr(upgrade, "locked", locked)
    note_recipes(installed, pipeline.Workspace(installed).members())
    assert layout.binds(installed.vars, REPOKEY) == WHY
    assert SSH not in v.stored_all(installed)
