"""What every command keeps to: exit status, the shape of faults, and no traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from rolecall import __version__
from rolecall.cli import COMMANDS

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run

INVENTORY = """
[machines]
jon = {}
store = {}
[instances.backup]
module.name = "borgbackup"
roles.client.machines.jon = {}
roles.server.machines.store = {}
"""
FAULT = {"level", "message", "file", "line", "column", "path", "hint"}


def faults(out: str) -> list[dict[str, Any]]:
    document = json.loads(out)
    assert document.keys() == {"faults"}
    assert all(each.keys() == FAULT for each in document["faults"])
    found: list[dict[str, Any]] = document["faults"]
    return found


def test_version(run: Run) -> None:
    assert run("--version") == (0, f"rolecall {__version__}\n", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_json(run: Run, command: str) -> None:
    status, out, _ = run(command, "--help")
    assert (status, out.startswith("Usage: rolecall " + command)) == (0, True)
    assert "--json" in out or "Commands:" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["chek"], "check"),
        (["services", "shw"], "show"),
        (["check", "--jsn"], "--json"),
        (["show", "a", "b"], "unexpected"),
        (["machines", "add"], "NAME"),
        (["vars", "generate", "--wrong"], "--wrong"),
    ],
)
def test_wrong_usage(run: Run, words: list[str], told: str) -> None:
    status, out, err = run(*words)
    assert (status, out) == (2, "")
    assert told in err
    assert "Usage: rolecall" in err


@pytest.mark.parametrize("words", [["check"], ["show"], ["plan"], ["update"], ["machines", "list"], ["vars", "list"]])
def test_no_inventory(run: Run, words: list[str]) -> None:
    status, out, err = run(*words)
    assert (status, out) == (1, "")
    assert err.startswith("error: no inventory in ")
    status, out, err = run(*words, "--json")
    assert (status, err) == (1, "")
    assert faults(out)[0]["message"].startswith("no inventory in ")


def test_a_folder_in_the_place_of_the_inventory(run: Run, tmp_path: Path) -> None:
    (tmp_path / "inventory.toml").mkdir()
    assert run("check")[0] == 1


@pytest.mark.parametrize(
    "content", [b"\xff", b"x = ", b"x = 1\n", b"\0", b"[machines]\n'..' = {}\n", b"instances = 5\n"]
)
def test_a_file_that_is_no_inventory(run: Run, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "inventory.toml").write_bytes(content)
    status, out, _ = run("check", "--json")
    assert status == 1
    [fault] = faults(out)
    assert fault["file"] == str(tmp_path / "inventory.toml")
    assert fault["line"] in {1, 2}
    status, out, err = run("check")
    assert (status, out) == (1, "")
    assert "  at inventory.toml:" in err  # as seen from here


def test_a_file_that_cannot_be_read(run: Run, tmp_path: Path) -> None:
    (tmp_path / "inventory.toml").symlink_to("/proc/self/mem")
    status, _, err = run("check")
    assert (status, err.startswith("error: the file cannot be read: ")) == (1, True)


def test_check_and_show(run: Run, tmp_path: Path) -> None:
    (tmp_path / "inventory.toml").write_text(INVENTORY)
    assert run("check") == (
        0,
        (
            "the inventory is sound: 2 machines, 1 instance, 0 warnings\n"
            "not fully checked until `rolecall plan` has generated their vars: backup.client, backup.server\n"
        ),
        "",
    )
    assert json.loads(run("check", "--json")[1]) == {
        "faults": [],
        "warnings": [],
        "incomplete": {"jon": ["backup.client"], "store": ["backup.server"]},
    }
    document = json.loads(run("show", "--json")[1])
    assert document.keys() == {"machines", "members", "warnings"}
    assert document["members"]["backup"]["server"]["store"]["directory"] == "/var/lib/borgbackup"
    assert document["machines"]["jon"]["tags"] == ["all", "linux"]


def test_a_machine_that_there_is_not(run: Run, tmp_path: Path) -> None:
    (tmp_path / "inventory.toml").write_text(INVENTORY)
    for words in (["show", "jno"], ["plan", "jno"], ["update", "jno"]):
        status, out, _ = run(*words, "--json")
        assert status == 1
        assert [(each["message"], each["hint"]) for each in faults(out)] == [
            ("machine 'jno' does not exist", "did you mean 'jon'?")
        ]


def test_another_folder(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "inventory.toml").write_text(INVENTORY)
    for folder in ("a", "a/b"):
        assert run("-C", folder, "check")[0] == 0
    assert run("-C", "nowhere", "check")[0] == 1


@pytest.mark.slow
def test_whoever_reads_the_output_may_stop(tmp_path: Path) -> None:
    (tmp_path / "inventory.toml").write_text("".join(f"[machines.m{number}]\n" for number in range(3000)))
    command = f"{sys.executable} -m rolecall show --json | head -n 1"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("{\n", "")


def test_a_terminal_is_not_steered_by_what_a_file_holds(run: Run, tmp_path: Path) -> None:
    (tmp_path / "inventory.json").write_text(json.dumps({"machines": {"a\x1b[2Jb\n": {}}}))
    status, _, err = run("check")
    assert (status, "\x1b" in err) == (1, False)


@pytest.mark.parametrize(
    ("words", "unneeded"),
    [
        ("--version", {"pydantic", "pyrage", "cryptography", "rolecall.pipeline"}),
        ("vars list", {"pydantic", "rolecall.inventory", "rolecall.evaluate", "rolecall.deploy"}),
        ("inventory get machines", {"rolecall.service", "rolecall.vars", "rolecall.pipeline.evaluation"}),
        ("inventory convert --to json", {"rolecall.service", "rolecall.vars", "rolecall.pipeline.evaluation"}),
    ],
)
def test_modules_are_imported_only_when_they_are_needed(words: str, unneeded: set[str], tmp_path: Path) -> None:
    (tmp_path / "inventory.toml").write_text("[machines.jon]\n")
    code = f"""import sys, rolecall.cli
sys.argv = ["rolecall", *{words.split()}]
try:
    rolecall.cli.main()
finally:
    print(*sys.modules, file=sys.stderr)"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert not unneeded & {*done.stderr.split()}
