"""The program that runs on clients, with a real borg and local repositories."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from rolecall_services.borgbackup import job_program

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not shutil.which("borg"), reason="there is no borg here")]


def python(version: str) -> list[str]:
    """How to call a Python; pyenv's shims ask for the variable."""
    call = ["env", f"PYENV_VERSION={version}", f"python{version}"]
    found = shutil.which(f"python{version}") and not subprocess.run([*call, "-c", ""], check=False).returncode
    return call if found else [sys.executable]


OLDEST = python("3.9")  # it must run there


class Client:
    """A client of its own below one folder, with two repositories for servers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.data.mkdir()
        self.log = folder / "log"
        self.interpreter = OLDEST
        (folder / "backup").write_bytes(job_program())
        (folder / "passphrase").write_text("correct horse")
        (folder / "key").touch()
        self.plan: dict[str, Any] = {
            "instance": "i",
            "machine": "jon",
            "cache": str(folder / "cache"),
            "key": str(folder / "key"),
            "passphrase": str(folder / "passphrase"),
            "known_hosts": "/dev/null",
            "repositories": {"one": str(folder / "one")},
            "states": [],
            "exclude": [],
            "keep": {"within": "1d", "daily": 7, "weekly": 4, "monthly": 6},
        }

    def state(self, *folders: object, name: str = "documents", **commands: list[str]) -> None:
        """Declares state; a command's words are written to the log, and `false` among them makes it fail."""
        spoken = {
            when: ["sh", "-c", 'echo "$*" >> "$0"; case "$*" in *false*) exit 1;; esac', str(self.log), *words]
            for when, words in commands.items()
        }
        nothing: dict[str, list[str]] = {when: [] for when in WHENS}
        self.plan["states"].append({"name": name, "folders": list(map(str, folders)), **nothing, **spoken})

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:  # noqa: ANN401 - Popen's
        (self.folder / "backup.json").write_text(json.dumps(self.plan))
        argv = [*self.interpreter, str(self.folder / "backup"), *words]
        environment = {**os.environ, "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "no"}
        pipe = subprocess.PIPE
        return subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True, env=environment, **options)

    def run(self, *words: str) -> tuple[int, str, str]:
        process = self.start(*words)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    @property
    def spoken(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path)


WHENS = ("before_backup", "after_backup", "before_restore", "after_restore")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Client, str, dict[str, object]]:
    """A client, its archive of a bit of everything, and what the folder looked like; one for all, for borg is slow."""
    client = Client(tmp_path_factory.mktemp("client"))
    (client.data / "sub").mkdir(mode=0o750)
    (client.data / "sub" / "bytes").write_bytes(bytes(range(256)) * 100)
    (client.data / "sub" / "näme with\nnewline").write_text("text")
    (client.data / "-rf").write_text("")
    (client.data / "link").symlink_to("sub/bytes")
    (client.data / "program").write_text("#!/bin/sh\n")
    (client.data / "program").chmod(0o4751)
    if os.geteuid() == 0:
        os.chown(client.data / "sub" / "bytes", 1234, 5678)
    (client.data / "left.tmp").write_text("")
    before = tree(client.data)
    del before[str(client.data / "left.tmp")]
    (client.folder / "way").symlink_to(client.data)
    for name in ("a", "b"):
        client.state(client.folder / "way", name=name, **{when: [when, name] for when in WHENS})
    client.state(client.folder / "dump", name="dump")
    client.plan["states"][-1]["before_backup"] = ["mkdir", str(client.folder / "dump")]
    client.plan["states"][-1]["after_backup"] = ["echo", "no part of the answer"]
    client.plan["exclude"] = ["*.tmp"]
    status, out, err = client.run("create")
    assert status == 0, err
    assert len(out.splitlines()) == 1
    return client, out.strip(), before


def tree(folder: Path) -> dict[str, object]:
    """Everything of a folder that a backup must bring back."""
    found: dict[str, object] = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        status = path.lstat()
        content = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        mode = stat.filemode(status.st_mode)
        found[str(path)] = (mode, status.st_uid, status.st_gid, status.st_mtime_ns, content)
    return found


def test_the_last_good_backup_is_reported(kept: tuple[Client, str, dict[str, object]]) -> None:
    status, out, _ = kept[0].run("health")
    report = json.loads(out)
    assert (status, report["level"]) == (0, "ok")
    assert 0 <= time.time() - report["at"] < 600
    assert report["text"] == time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(report["at"]))


def test_a_backup_that_fails_is_not_a_good_one(client: Client) -> None:
    none = {"level": "warning", "text": "no good backup on one yet"}
    client.state(client.data, client.folder / "missing")
    assert client.run("create")[0] == 1
    assert json.loads(client.run("health")[1]) == none
    client.plan["states"].clear()
    client.state(client.data)
    client.plan["repositories"]["two"] = str(client.folder / "file" / "two")
    (client.folder / "file").write_text("")
    assert client.run("create")[0] == 1
    assert json.loads(client.run("--server", "one", "health")[1])["level"] == "ok"
    assert json.loads(client.run("health")[1]) == {"level": "warning", "text": "no good backup on two yet"}


def test_what_was_backed_up_comes_back_as_it_was(kept: tuple[Client, str, dict[str, object]]) -> None:
    client, archive, before = kept
    assert client.spoken == ["before_backup a", "before_backup b", "after_backup b", "after_backup a"]
    client.log.unlink()
    for folder in (client.data, client.folder / "dump"):
        shutil.rmtree(folder)

    status, _, err = client.run("restore", archive)

    assert status == 0, err
    assert tree(client.data) == before  # also what only a link led to; and without what was excluded
    assert (client.folder / "dump").is_dir()  # a command before the backup made it
    assert client.spoken == ["before_restore a", "before_restore b", "after_restore b", "after_restore a"]


def test_some_paths_alone(kept: tuple[Client, str, dict[str, object]]) -> None:
    client, archive, _ = kept
    for name in ("program", "-rf"):
        (client.data / name).write_text("now")
    assert client.run("restore", archive, str(client.data / "-rf"))[0] == 0
    assert [(client.data / name).read_text() for name in ("program", "-rf")] == ["now", ""]


def test_what_is_not_there_is_no_success(kept: tuple[Client, str, dict[str, object]]) -> None:
    client, archive, _ = kept
    status, _, err = client.run("restore", archive, str(client.data / "typo"))
    assert (status, "typo" in err) == (1, True)
    status, _, err = client.run("restore", "nothing")
    assert (status, err) == (1, "backup: archive 'nothing' does not exist on one\n")


def test_others_are_backed_up_and_nothing_goes_when_a_folder_is_missing_or_a_server_fails(
    kept: tuple[Client, str, dict[str, object]],
) -> None:
    client, archive, _ = kept
    made = client.plan
    try:
        client.plan = {**made, "states": [], "keep": dict.fromkeys(made["keep"], 0) | {"within": "1H"}}
        client.plan["repositories"] = {"broken": "/proc/nowhere", **made["repositories"]}
        client.state(client.data, client.folder / "absent")
        status, out, err = client.run("create")
        assert status == 1
        assert f"{client.folder / 'absent'} is declared, but does not exist" in err
        assert "no archive on broken" in err
        listed = json.loads(client.run("--server", "one", "list")[1])
        assert [(each["name"], each["server"]) for each in listed] == [(archive, "one"), (out.strip(), "one")]
    finally:
        client.plan = made


def test_old_archives_of_its_own_go(client: Client) -> None:
    client.state(client.data)
    client.plan["keep"] = {"within": "1H", "daily": 0, "weekly": 0, "monthly": 0}
    borg = {"BORG_PASSPHRASE": "correct horse", "BORG_BASE_DIR": client.plan["cache"]}
    repository = str(client.folder / "one")
    commands = [["init", "--encryption=repokey-blake2", repository]]
    commands += [
        ["create", "--timestamp=2020-01-01T00:00:00", f"{repository}::{name}", str(client.data)]
        for name in ("jon-old", "other")
    ]
    for command in commands:
        subprocess.run(["borg", *command], env={**os.environ, **borg}, check=True)
    status, out, err = client.run("create")
    assert status == 0, err
    assert [each["name"] for each in json.loads(client.run("list")[1])] == ["other", out.strip()]


def test_commands_after_run_when_the_backup_fails(client: Client) -> None:
    client.plan["repositories"]["one"] = "/proc/nowhere"
    client.state(client.data, before_backup=["before"], after_backup=["after"])
    status, out, err = client.run("create")
    assert (status, out, "no archive on one" in err) == (1, "", True)
    assert client.spoken == ["before", "after"]


def test_nothing_but_missing_folders_makes_no_archive(client: Client) -> None:
    client.state(client.folder / "absent")
    assert client.run("create")[:2] == (1, "")


def test_nothing_declared_is_nothing_to_do(client: Client) -> None:
    assert client.run("create") == (0, "", "backup: nothing to do: no state is declared on this machine\n")


def test_commands_after_run_when_one_before_fails(client: Client) -> None:
    client.state(client.data, name="a", before_backup=["false", "a"], after_backup=["after", "a"])
    client.state(client.data, name="b", before_backup=["before", "b"], after_backup=["after", "b"])
    status, out, err = client.run("create")
    assert (status, out, "before_backup of a failed" in err) == (1, "", True)
    assert client.spoken == ["false a", "after a"]


def test_a_command_that_does_not_exist_is_told(client: Client) -> None:
    client.state(client.data, after_backup=["after"])
    client.plan["states"][0]["before_backup"] = ["/nonexistent/dump"]
    status, _, err = client.run("create")
    assert (status, "Traceback" in err, "before_backup of documents failed: /nonexistent/dump" in err) == (
        1,
        False,
        True,
    )
    assert client.spoken == ["after"]


def test_commands_after_run_when_it_is_stopped(client: Client) -> None:
    client.state(client.data, after_backup=["after"])
    client.plan["states"][0]["before_backup"] = ["sh", "-c", f"touch {client.folder}/begun; sleep 20"]
    process = client.start("create", start_new_session=True)
    while not (client.folder / "begun").exists():
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGTERM)  # as systemd stops a unit
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert client.spoken == ["after"]


def test_an_unknown_server_is_wrong_usage(client: Client) -> None:
    status, out, err = client.run("--server", "two", "create")
    assert (status, out, "server 'two' does not exist" in err) == (2, "", True)


def test_a_probe_needs_no_repository_yet_and_version_says_what_borg_it_is(client: Client) -> None:
    assert client.run("probe") == (0, "", "")
    client.plan["repositories"]["one"] = "ssh://borg@localhost:1/x"
    status, _, err = client.run("probe")
    assert (status, err.startswith("backup: one: ")) == (1, True)
    assert client.run("version")[0] == 0
