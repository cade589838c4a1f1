"""Two branches generate the same var, and git merges them: files that were not made together are a fault."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from calling import call

import services
from rolecall import vars as v
from rolecall.errors import Faults
from rolecall.model.generators import Context
from rolecall.model.recipes import Recipe, Replacement
from rolecall.model.vars import VarFile, VarKey
from rolecall.project import Project
from rolecall.service import (
    AgeKeyPair,
    CertificateAuthority,
    Passphrase,
    Password,
    SSHHostCertificate,
    SSHKeyPair,
    TLSCertificate,
    WireGuardKeyPair,
)
from rolecall.vars import effective, layout, store
from rolecall.vars.make import making

if TYPE_CHECKING:
    from rolecall.model.generators import Generator
    from rolecall.model.vars import StoredVar

SSH = "vars/per-machine/jon/backup.ssh"
INVENTORY = """
[machines.jon]
deploy.targetHost = "dir:targets/jon"
state.documents.folders = ["/srv/documents"]
[machines.store]
deploy.targetHost = "dir:targets/store"
[instances.backup]
module.name = "borgbackup"
roles.client.machines.jon = {}
roles.server.machines.store = {}
"""


def git(project: Project, *words: str, status: int | None = 0) -> str:
    argv = ["git", "-c", "user.name=x", "-c", "user.email=x@x", "-c", "core.excludesFile=", *words]
    done = subprocess.run(argv, cwd=project.root, capture_output=True, text=True, check=False)
    assert status in {None, done.returncode}, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def merged_once(project_once: Project) -> Project:
    project = project_once
    (project.root / "inventory.toml").write_text(INVENTORY)
    git(project, "init", "-q", "-b", "ours")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "begin")
    git(project, "checkout", "-qb", "theirs")
    for branch in ("theirs", "ours"):
        git(project, "checkout", "-q", branch)
        call(project, "vars", "generate")
        git(project, "add", "-A")
        git(project, "commit", "-qm", branch)
    git(project, "merge", "-q", "theirs", status=1)
    return project


@pytest.fixture
def merged(merged_once: Project, tmp_path: Path) -> Project:
    """A project in the middle of a merge of two branches that both generated all vars."""
    return Project(shutil.copytree(merged_once.root, tmp_path / "project", symlinks=True))


READERS = (["check"], ["vars", "check"], ["plan"], ["update", "--yes"], ["vars", "list"], ["vars", "export", "-o", "x"])


@pytest.mark.parametrize("words", READERS, ids=" ".join)
def test_conflict_markers_are_a_fault_of_the_var(merged: Project, words: list[str]) -> None:
    output = call(merged, *words, status=1)
    for name in ("private", "public"):
        assert f"jon/backup.ssh/{name} has a merge conflict: both branches generated it\n" in output
        assert f"at {merged.root / SSH / name}\n" in output
    assert f"hint: take the whole folder from one commit: `git checkout COMMIT -- {SSH}`" in output
    assert not list(merged.root.glob("targets/*/root"))


@pytest.mark.parametrize("words", READERS, ids=" ".join)
def test_a_private_key_beside_the_public_key_of_the_other_side(merged: Project, words: list[str]) -> None:
    git(merged, "checkout", "-q", "--ours", "--", "vars")
    git(merged, "checkout", "-q", "--theirs", "--", f"{SSH}/public")
    output = call(merged, *words, status=1)
    wrong = "jon/backup.ssh/public does not match the other files of the var (mixed up by a merge?)"
    assert f"{wrong}\n  at {merged.root / SSH}/public" in output


@pytest.mark.parametrize(
    "mixed",
    [f"{SSH}/private/secret", f"{SSH}/public/value", f"{SSH}/private/version"],
)
def test_a_merge_of_both_sides_without_markers_is_a_fault(merged: Project, mixed: str) -> None:
    """The text files are taken from one side, the binary file from the other."""
    git(merged, "checkout", "-q", "--ours", "--", "vars")
    git(merged, "checkout", "-q", "--theirs", "--", mixed)
    assert "does not match the other files of the var (mixed up by a merge?)" in call(merged, "check", status=1)


@pytest.mark.parametrize("cure", [pytest.param("remove the mark", marks=pytest.mark.slow), "take the commit"])
def test_a_mark_that_is_older_than_all_files(project: Project, cure: str) -> None:
    """As when an earlier version rotates on one branch, and this one adds marks on another."""
    (project.root / "inventory.toml").write_text(INVENTORY)
    git(project, "init", "-q", "-b", "marked")
    for branch in ("marked", "rotated"):
        shutil.rmtree(project.vars, ignore_errors=True)
        call(project, "vars", "generate")
        if branch == "rotated":
            _as_of_an_earlier_version(project)
        git(project, "add", "-A")
        git(project, "commit", "-qm", branch)
        git(project, "checkout", "-qB", "rotated")
    git(
        project,
        "checkout",
        "-q",
        "marked",
        "--",
        *(f"{each.relative_to(project.root)}/.made" for each in _folders(project)),
    )
    before = (project.root / SSH / "public/value").read_text()
    for words in READERS:
        told = call(project, *words, status=1)
        assert "mixed up by a merge" not in told
        other = "jon/backup.ssh/.made is of another value than all files beside it (a merge with an earlier version?)"
        assert f"{other}\n  at {project.root / SSH}/.made\n" in told
        assert f"remove {SSH}/.made and run `rolecall vars check --decrypt`" in told
        assert f"`git rm -rf {SSH} && git checkout COMMIT -- {SSH}`" in told
    for folder in _folders(project):
        if cure == "remove the mark":
            (folder / ".made").unlink()
        else:
            name = str(folder.relative_to(project.root))
            git(project, "rm", "-rqf", name)
            git(project, "checkout", "-q", "rotated", "--", name)
    assert "2 verified vars" in call(project, "vars", "check", "--decrypt")
    call(project, "update", "--yes")
    assert (project.root / SSH / "public/value").read_text() == before


def _folders(project: Project) -> list[Path]:
    return [Path(layout.var_folder(project.vars, key)) for key in layout.keys_of(project.vars)]


@pytest.mark.parametrize("side", ["ours", pytest.param("theirs", marks=pytest.mark.slow)])
def test_a_whole_side_is_sound(merged: Project, side: str) -> None:
    call(merged, "check", status=1)
    git(merged, "checkout", "-q", f"--{side}", "--", "vars")
    git(merged, "add", "-A")
    git(merged, "commit", "-qm", "merged")
    call(merged, "check")
    call(merged, "vars", "check", "--decrypt")
    call(merged, "update", "--yes")
    assert "nothing changes" in call(merged, "plan")


def test_both_sides_may_note_machines_and_fix_keeps_all(project: Project) -> None:
    folder = _stored(project, SSHKeyPair()) / "private"
    markers = "<<<<<<< HEAD\njon\n=======\nsara\n>>>>>>> theirs\n"
    (folder / "machines").write_text(markers)
    with pytest.raises(Faults, match=r"jon/x\.a/private: merge conflict in its file 'machines'"):
        v_check(project)
    assert [str(each) for each in v.fix(project)[0]] == ["jon/x.a/private"]
    assert (folder / "machines").read_text() == "jon\nsara\n"
    assert v.unsound(project) == []
    (folder / "recipients").write_text("<<<<<<< HEAD\n" + (folder / "recipients").read_text() + "=======\n>>>>>>> x\n")
    assert len(v.unsound(project)) == 1
    assert [str(each) for each in v.fix(project)[0]] == ["jon/x.a/private"]
    assert v.unsound(project) == v.with_wrong_recipients(project) == []


@pytest.mark.parametrize("note", [".binds", ".validation", ".made"])
def test_a_merge_conflict_in_a_note_is_a_fault(project: Project, note: str) -> None:
    (_stored(project, SSHKeyPair()) / note).write_text("<<<<<<< HEAD\nx\n=======\ny\n>>>>>>> theirs\n")
    assert note in "".join(map(str, v.unsound(project)))


@pytest.mark.parametrize("version", ["", "two words", "../x", "x" * 129])
def test_an_invalid_version_is_a_fault(project: Project, version: str) -> None:
    folder = _stored(project, SSHKeyPair())
    (folder / "public/version").write_text(version)
    [fault] = v.unsound(project)
    assert fault.message == "jon/x.a/public has an invalid version"
    assert fault.where
    assert fault.where.file == folder / "public"


def test_names_that_differ_only_in_case_are_a_fault(project: Project) -> None:
    folder = _stored(project, SSHKeyPair())
    shutil.copytree(folder, project.vars / "per-machine/Jon/x.a")
    [fault] = v.unsound(project)
    assert fault.message == "jon/x.a and Jon/x.a differ only in upper and lower case"


@pytest.mark.parametrize("ends", [b"\r\n", b"\n"])
def test_line_ends_do_not_matter(project: Project, ends: bytes) -> None:
    folder = _stored(project, SSHKeyPair())
    before = v.stored_all(project)
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "secret":
            path.write_bytes(path.read_bytes().replace(b"\n", ends))
    assert v.unsound(project) == []
    assert {name: file.version for name, file in v.stored_all(project)[KEY].items()} == {
        name: file.version for name, file in before[KEY].items()
    }


KEY, OTHER = VarKey("jon", "x.a"), VarKey("jon", "x.b")


def v_check(project: Project) -> None:
    if faults := v.unsound(project):
        raise Faults(faults)


def _make(project: Project, *recipes: Recipe, rotate: tuple[VarKey, ...] = ()) -> dict[VarKey, StoredVar]:
    with making(project, recipes, Replacement(rotate)) as work:
        return work.make(recipes, lambda *_: ())


def _stored(project: Project, generator: Generator[object]) -> Path:
    v.promote(project, _make(project, Recipe(KEY, generator, "x.y")))
    return Path(layout.var_folder(project.vars, KEY))


def _as_of_an_earlier_version(project: Project) -> None:
    for path in [*project.vars.rglob(".made"), *project.vars.rglob(".binds")]:
        path.unlink()


@pytest.mark.parametrize(
    ("generator", "file", "wrong"),
    [
        (SSHKeyPair(), "public", "its public key does not match its private key"),
        (WireGuardKeyPair(), "public", "its public key does not match its private key"),
        (AgeKeyPair(), "public", "its public key does not match its private key"),
        (Password(), "hash", "its hash does not match its password"),
        (CertificateAuthority(), "certificate", "its certificate belongs to another key"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_pairs_are_compared_if_secrets_are_decrypted(
    project: Project,
    generator: Generator[object],
    file: str,
    wrong: str,
) -> None:
    recipe = Recipe(KEY, generator, "x.y")
    folder = _stored(project, generator)
    assert v.misfits(project, [recipe], decrypt=True) == []
    v.promote(project, _make(project, Recipe(OTHER, generator, "x.y")))
    shutil.rmtree(folder / file)
    shutil.copytree(Path(layout.var_folder(project.vars, OTHER)) / file, folder / file)
    assert [fault.message for fault in v.unsound(project)] == [
        f"jon/x.a/{file} does not match the other files of the var (mixed up by a merge?)"
    ]
    _as_of_an_earlier_version(project)
    assert v.unsound(project) == []
    assert v.misfits(project, [recipe], decrypt=False) == []
    [fault] = v.misfits(project, [recipe], decrypt=True)
    assert fault.message == f"jon/x.a: {wrong}"
    assert fault.where
    assert fault.where.file == folder


def signing() -> tuple[list[VarKey], list[Recipe]]:
    """Return two authorities and what they sign: the keys of the vars in the order of their recipes."""
    keys = [VarKey("jon", f"x.{name}") for name in ("ca", "tls", "sign", "host", "cert")]
    ca, tls, sign, host, cert = keys
    recipes = [
        Recipe(ca, CertificateAuthority(), "x.y"),
        Recipe(tls, TLSCertificate("ca"), "x.y", inputs=(("ca", ca),)),
        Recipe(sign, SSHKeyPair(), "x.y"),
        Recipe(host, SSHKeyPair(), "x.y"),
        Recipe(cert, SSHHostCertificate("sign", "host"), "x.y", inputs=(("sign", sign), ("host", host))),
    ]
    return keys, recipes


def test_certificates_are_checked_without_decrypting(project: Project) -> None:
    (ca, _tls, sign, host, _cert), recipes = signing()
    v.promote(project, _make(project, *recipes))
    assert v.misfits(project, recipes, decrypt=False) == []
    before = {key: layout.var_folder(project.vars, key) for key in (ca, sign, host)}
    for key, folder in before.items():
        shutil.copytree(folder, project.root / "old" / key.name)
    for key in (ca, sign, host):  # each once from another branch
        with making(project, [each for each in recipes if each.key == key], Replacement({key})) as work:
            work.make([each for each in recipes if each.key == key], lambda *_: ())
    v.promote(project, v.pending(project))
    assert {fault.message for fault in v.misfits(project, recipes, decrypt=False)} == {
        "jon/x.tls: its certificate is not signed by the authority that is stored now",
        "jon/x.cert: its certificate belongs to another key than host",
    }
    shutil.rmtree(before[host])
    shutil.copytree(project.root / "old" / host.name, before[host])
    assert "jon/x.cert: its certificate is not signed by sign" in {
        fault.message for fault in v.misfits(project, recipes, decrypt=False)
    }


def test_a_given_pair_must_match(project: Project) -> None:
    recipe = Recipe(KEY, SSHKeyPair(), "x.y")
    one, two = (SSHKeyPair().generate(Context(KEY, None, {})) for _ in range(2))
    with (
        pytest.raises(
            Faults, match=r"the given value of jon/x\.a does not fit: its public key does not match its private"
        ),
        making(project, [recipe], Replacement(given={KEY: {**one, "public": two["public"]}})) as work,
    ):
        work.make([recipe], lambda *_: ())
    assert v.pending(project) == {}
    with making(project, [recipe], Replacement(given={KEY: one})) as work:
        work.make([recipe], lambda *_: ())
    assert KEY in v.pending(project)


@pytest.mark.slow
def test_vars_of_earlier_versions_work_and_get_notes(project: Project) -> None:
    (project.root / "inventory.toml").write_text(INVENTORY)
    call(project, "update", "--yes")
    _as_of_an_earlier_version(project)
    before = v.stored_all(project)
    assert "nothing changes" in call(project, "plan")
    assert not list(project.vars.rglob(".made"))
    output = call(project, "update", "--yes")
    assert "nothing changed" in output
    assert "commit the new notes beside 2 vars (`vars/…/.binds`)" in output
    assert "commit" not in call(project, "update", "--yes")
    assert v.stored_all(project) == before
    assert not list(project.vars.rglob(".made"))
    output = call(project, "vars", "check", "--decrypt")
    assert output.splitlines()[-1] == "commit the new marks beside 2 verified vars (`vars/…/.made`)"
    assert "commit" not in call(project, "vars", "check", "--decrypt")
    assert v.stored_all(project) == before
    notes = {path.name: path.read_text() for path in (project.root / "vars/per-machine/jon/backup.repokey").glob(".*")}
    assert notes[".binds"] == "the repositories are encrypted with it\n"
    assert notes[".made"].startswith(f"passphrase {before[VarKey('jon', 'backup.repokey')]['passphrase'].version} ")


UNVERIFIED = "warning: 2 vars were stored by an earlier version, and not verified since\n"


@pytest.mark.slow
def test_a_mixture_of_an_earlier_version_is_neither_installed_nor_marked(merged: Project) -> None:
    git(merged, "checkout", "-q", "--ours", "--", "vars")
    git(merged, "checkout", "-q", "--theirs", "--", f"{SSH}/public")
    _as_of_an_earlier_version(merged)
    wrong = "jon/backup.ssh: its public key does not match its private key"
    for words in (["check"], ["vars", "check"], ["plan"]):
        assert call(merged, *words).count(UNVERIFIED) == 1
    assert wrong in call(merged, "update", "--yes", status=1)
    assert not list(merged.root.glob("targets/*/etc/systemd/system/*"))
    assert wrong in call(merged, "vars", "check", "--decrypt", status=1)
    call(merged, "vars", "generate")
    call(merged, "vars", "fix")
    assert UNVERIFIED in call(merged, "check")
    assert not list(merged.vars.rglob(".made"))
    git(merged, "checkout", "-q", "--ours", "--", "vars")
    _as_of_an_earlier_version(merged)
    assert "updated" in call(merged, "update", "--yes")
    assert "2 verified vars" in call(merged, "vars", "check", "--decrypt")
    for words in (["check"], ["vars", "check"], ["plan"]):
        assert "earlier version" not in call(merged, *words)


def test_a_rotation_does_not_mark_what_nobody_has_verified(project: Project) -> None:
    recipe = Recipe(KEY, SSHKeyPair(), "x.y", accepted=True)
    folder = _stored(project, SSHKeyPair())
    (folder / ".made").unlink()
    unmarked = []
    for _ in range(3):
        with making(project, [recipe], Replacement(advance={KEY})) as work:
            work.make([recipe], lambda *_: ())
        v.promote(project, v.pending(project))
        unmarked.append(
            [
                name
                for name in ("", ".next", ".old")
                if (folder / name / "private").exists() and not (folder / name / ".made").exists()
            ]
        )
        assert v.unmarked(project, [KEY]) == ([KEY] if unmarked[-1] else [])
    assert unmarked == [[""], [".old"], []]


def test_each_value_of_a_rotation_has_its_own_list_of_files(project: Project) -> None:
    recipe = Recipe(KEY, SSHKeyPair(), "x.y", accepted=True)
    folder = _stored(project, SSHKeyPair())
    with making(project, [recipe], Replacement(advance={KEY})) as work:
        work.make([recipe], lambda *_: ())
    v.promote(project, v.pending(project))
    assert v.unsound(project) == []
    assert v.misfits(project, [recipe], decrypt=True) == []
    with store.locked(project):
        shutil.rmtree(folder / ".next/public")
        shutil.copytree(folder / "public", folder / ".next/public")
    assert [fault.message for fault in v.unsound(project)] == [
        "jon/x.a/.next/public does not match the other files of the var (mixed up by a merge?)"
    ]
    (folder / ".next/.made").unlink()
    [fault] = v.misfits(project, [recipe], decrypt=True)
    assert fault.message == "jon/x.a: in .next, its public key does not match its private key"


def test_a_mark_of_another_value_during_a_rotation(project: Project) -> None:
    recipe = Recipe(KEY, SSHKeyPair(), "x.y", accepted=True)
    folder = _stored(project, SSHKeyPair())
    with making(project, [recipe], Replacement(advance={KEY})) as work:
        work.make([recipe], lambda *_: ())
    v.promote(project, v.pending(project))
    shutil.copy(folder / ".made", folder / ".next/.made")
    [fault] = v.unsound(project)
    assert fault.message.startswith("jon/x.a/.next/.made is of another value than all files beside it")
    assert fault.where
    assert fault.where.file == folder / ".next/.made"
    assert f"remove {folder.relative_to(project.root)}/.next/.made" in fault.hint
    (folder / ".next/.made").unlink()
    assert v.misfits(project, [recipe], decrypt=True) == []
    assert v.mark(project, [KEY]) == [KEY]
    assert v.unsound(project) == []


def test_two_steps_of_a_rotation_at_once_are_a_fault(project: Project) -> None:
    recipe = Recipe(KEY, SSHKeyPair(), "x.y", accepted=True)
    folder = _stored(project, SSHKeyPair())
    with making(project, [recipe], Replacement(advance={KEY})) as work:
        work.make([recipe], lambda *_: ())
    v.promote(project, v.pending(project))
    shutil.copytree(folder / ".next", folder / ".old")
    message = "jon/x.a is in two steps of its rotation at once (mixed up by a merge?)"
    assert [fault.message for fault in v.unsound(project)] == [message]


def test_a_re_encrypted_secret_still_belongs_to_its_var(project: Project) -> None:
    _stored(project, Password())
    v.add_admin(project, "sara", "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa")
    assert len(v.fix(project)[0]) == 2
    assert v.unsound(project) == []
    made = (Path(layout.var_folder(project.vars, KEY)) / ".made").read_text()
    assert len(made.splitlines()) == 2


def test_a_file_of_the_other_side_alone_is_a_fault(project: Project) -> None:
    folder = _stored(project, Passphrase())
    shutil.copytree(folder / "passphrase", folder / "more")
    assert [fault.message for fault in v.unsound(project)] == [
        "jon/x.a/more does not match the other files of the var (mixed up by a merge?)"
    ]
    assert VarFile("more").secret


@pytest.mark.parametrize("command", ["check", "plan"])
def test_a_key_that_two_machines_share_is_a_fault_that_names_both(
    project: Project, tmp_path: Path, command: str
) -> None:
    (project.root / "inventory.toml").write_text(
        INVENTORY.replace("client.machines.jon = {}", 'client.tags = ["all"]').replace(
            "[machines.store]", '[machines.sara]\ndeploy.targetHost = "dir:targets/sara"\n[machines.store]'
        )
    )
    pair = SSHKeyPair().generate(Context(KEY, None, {}))
    for name, data in pair.items():
        (tmp_path / name).write_bytes(data)
    for machine in ("jon", "sara"):
        files = (f"{name}={tmp_path / name}" for name in pair)
        call(project, "vars", "set", f"{machine}/backup.ssh", *files)
    output = call(project, command, status=1)
    folder = project.pending / "per-machine/sara/backup.ssh"
    assert f"error: sara/backup.ssh has the same public key as jon/backup.ssh\n  at {folder}\n" in output
    assert "`rolecall vars rotate sara/backup.ssh`" in output


@pytest.mark.parametrize("rotated", [False, True])
def test_fix_never_hides_a_mixed_up_pair_behind_a_pending_value(project: Project, rotated: bool) -> None:  # noqa: FBT001 - a parameter
    folder = _stored(project, SSHKeyPair())
    v.promote(project, _make(project, Recipe(OTHER, SSHKeyPair(), "x.y")))
    secret = Path(layout.var_folder(project.vars, OTHER)) / "private/secret"
    shutil.copy(secret, folder / "private/secret")
    before = (folder / ".made").read_bytes()
    if rotated:
        shutil.copytree(Path(layout.var_folder(project.vars, OTHER)), layout.var_folder(project.pending, KEY))
        (Path(layout.var_folder(project.pending, KEY)) / ".replaces").write_text("x\n")
    v.add_admin(project, "sara", "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa")
    fixed, left = v.fix(project)
    repaired = {Path(each.folder).is_relative_to(project.pending) for each in fixed if each.key == KEY}
    assert repaired == ({True} if rotated else set())
    assert len(left) == len(v.unsound(project)) == 1
    assert (folder / ".made").read_bytes() == before
    assert effective.pending_and_stored(project, [KEY], lenient=True) == ({}, {})


class Raising:
    """A generator whose `verify` fails, with a secret in its message."""

    files = (VarFile("secret"),)

    def generate(self, context: Context) -> dict[str, bytes]:
        return {"secret": str(context.key).encode()}

    def view(self, files: object) -> object:
        return files

    def verify(self, values: dict[str, bytes], inputs: object) -> str:
        raise RuntimeError(f"{values} {inputs}")


def test_a_verify_that_raises_is_a_fault_at_its_line(project: Project) -> None:
    _stored(project, Raising())
    recipe = Recipe(KEY, Raising(), "x.y")
    [fault] = v.misfits(project, [recipe], decrypt=True)
    assert fault.message == "jon/x.a (for x.y): verify of Raising failed with RuntimeError"
    assert fault.where
    assert fault.where.file == Path(__file__)
    assert fault.where.line == Raising.verify.__code__.co_firstlineno + 1
    with (
        making(project, [recipe], Replacement(given={KEY: {"secret": b"x"}})) as work,
        pytest.raises(Faults, match="failed"),
    ):
        work.make([recipe], lambda *_: ())


@pytest.mark.parametrize("broken", ["garbage", "missing"])
def test_a_broken_authority_is_a_fault(project: Project, broken: str) -> None:
    (ca, _tls, sign, _host, _cert), recipes = signing()
    v.promote(project, _make(project, *recipes))
    _as_of_an_earlier_version(project)
    for key, file in ((ca, "certificate"), (sign, "public")):
        folder = Path(layout.var_folder(project.vars, key)) / file
        if broken == "missing":
            shutil.rmtree(folder)
        else:
            (folder / "value").write_text("garbage\n")
    messages = {fault.message for fault in v.misfits(project, recipes, decrypt=False)}
    if broken == "missing":
        assert messages == {
            "jon/x.ca has key (secret), but x.y wants certificate (public), key (secret)",
            "jon/x.sign has private (secret), but x.y wants private (secret), public (public)",
        }
    else:
        assert messages == {
            "jon/x.ca: its certificate cannot be read",
            "jon/x.tls: the certificate of its authority cannot be read",
            "jon/x.sign: one of its halves is not a key",
            "jon/x.cert: the public key of sign or host cannot be read",
        }


def test_an_undecryptable_secret_is_a_fault_of_each_var_that_needs_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes = [
        Recipe(KEY, SSHKeyPair(), "x.y"),
        Recipe(OTHER, SSHHostCertificate("a", "a"), "x.y", inputs=(("a", KEY),)),
    ]
    v.promote(project, _make(project, *recipes))
    monkeypatch.setenv("ROLECALL_IDENTITY", str(project.root / "none"))
    assert len(v.misfits(project, recipes, decrypt=True)) == len(recipes)


def test_an_unusable_admin_key_hides_no_other_fault(project: Project) -> None:
    folder = _stored(project, SSHKeyPair())
    (folder / "public/value").write_text("<<<<<<< HEAD\nx\n=======\ny\n>>>>>>> theirs\n")
    (project.root / "inventory.toml").write_text("[machines.jon]\n")
    (project.keys / "bad.pub").write_text("age1x\n")
    conflict = "jon/x.a/public has a merge conflict"
    for words in (["vars", "check"], ["vars", "fix"]):
        output = call(project, *words, status=1)
        assert conflict in output
        assert "not a usable public key" in output


@pytest.mark.parametrize("command", ["check", pytest.param("plan", marks=pytest.mark.slow)])
def test_a_key_that_two_machines_share_is_a_warning_if_no_service_fails(project: Project, command: str) -> None:
    services.install(project.root, "key_pair", module="mesh")
    (project.root / "inventory.toml").write_text(
        '[machines.jon]\ndeploy.targetHost = "dir:targets/jon"\n'
        '[machines.sara]\ndeploy.targetHost = "dir:targets/sara"\n'
        '[instances.mesh]\nmodule.input = "self"\nroles.peer.tags = ["all"]\n'
    )
    assert "same public key" not in call(project, "check")
    call(project, "vars", "generate")
    assert "same public key" not in call(project, command)
    folder = project.vars / "per-machine/sara/mesh.key"
    shutil.rmtree(folder)
    shutil.copytree(project.vars / "per-machine/jon/mesh.key", folder)
    output = call(project, command)
    assert f"warning: sara/mesh.key has the same public key as jon/mesh.key\n  at {folder}\n" in output


BROKEN = {
    "a folder in place of the notes": ("rm -f .made && mkdir .made", "not a regular file\n  at {}/.made"),
    "a folder in place of the version": (
        "rm public/version && mkdir public/version",
        "not a regular file\n  at {}/public/v",
    ),
    "a folder in place of a list": (
        "rm -f private/recipients && mkdir private/recipients",
        "not a regular file\n  at {}/pri",
    ),
    "a folder in place of what it binds": ("rm -f .binds && mkdir .binds", "not a regular file\n  at {}/.binds"),
    "a pipe in place of a value": (
        "rm public/value && mkfifo public/value",
        "not a regular file\n  at {}/public/value",
    ),
    "a link to itself": (
        "ln -sf value public/value",
        "file cannot be read: Too many levels of symbolic links\n  at {}/public/v",
    ),
    "a value beside a secret": (
        "echo x > private/value",
        "private has both a public value and a secret\n  at {}/private",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_anything_in_place_of_a_file_is_a_fault(project: Project, name: str) -> None:
    (project.root / "inventory.toml").write_text(INVENTORY)
    call(project, "vars", "generate")
    script, expected = BROKEN[name]
    subprocess.run(["sh", "-ec", script], cwd=project.root / SSH, check=True)
    other = project.root / "vars/per-machine/jon/backup.repokey/passphrase/version"
    other.write_text("no version")
    for command in (["check"], ["vars", "check"]):
        output = call(project, *command, status=1)
        assert expected.format(project.root / SSH) in output
        assert "backup.repokey/passphrase has an invalid version" in output


def test_a_file_in_place_of_a_var_is_a_fault(project: Project) -> None:
    (project.root / "inventory.toml").write_text(INVENTORY)
    call(project, "vars", "generate")
    shutil.rmtree(project.root / SSH)
    (project.root / SSH).touch()
    for command in (["check"], ["plan"], ["vars", "generate"]):
        assert "jon/backup.ssh is a file, but must be a folder" in call(project, *command, status=1)
