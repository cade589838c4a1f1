"""Backups when one of the servers fails, and when the machine's shell prints something."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from rolecall.deploy import backups
from rolecall.deploy.backups import Archive
from rolecall.deploy.target import Target
from rolecall.errors import Faults
from rolecall.model.exports import Exported
from rolecall.service import Backups


class Here(Target):
    """A machine whose shell prints a greeting; its commands run locally."""

    def command(self, argv: list[str], *, terminal: bool = False) -> list[str]:
        assert not terminal
        return ["sh", "-c", 'echo "[1] Welcome"; printf "no newline"; exec "$@"', "sh", *argv]


JON = Here("jon", "here")


def says(text: str, status: int = 0) -> list[str]:
    return [sys.executable, "-c", f"import sys; print({text!r}, *sys.argv[1:]); sys.exit({status})"]


def offer(target: str, create: list[str], listing: list[str] | None = None, instance: str = "one") -> Exported[Backups]:
    value = Backups(target=target, create=create, listing=listing or says("[]"), restore=says("restored"))
    return Exported(value, "jon", instance)


def listed(*archives: tuple[str, str]) -> list[str]:
    return says("a note\n" + json.dumps([{"name": name, "time": time} for name, time in archives]))


A = offer("a", says("borg says this\njon-1"), listed(("jon-1", "2026-01-01"), ("jon-3", "2026-01-03")))
LOST = offer("lost", says("", 1), says("", 2))
NONE = offer("none", [sys.executable, "-c", ""], says("Segmentation fault"))
B = offer("b", says("jon-2"), listed(("jon-2", "2026-01-02")), instance="two")


def test_a_failing_server_does_not_stop_others() -> None:
    made, faults = backups.create(JON, [LOST, A, NONE, B])
    assert made == [Archive("one", "a", "jon-1"), Archive("one", "none", ""), Archive("two", "b", "jon-2")]
    assert [each.message for each in faults] == ["the backup of jon to lost failed (one)"]


def test_an_archive_is_reported_even_if_the_backup_then_fails() -> None:
    made, faults = backups.create(JON, [offer("a", says("jon-1", 1))])
    assert (made, len(faults)) == ([Archive("one", "a", "jon-1")], 1)


def test_archives_of_servers_that_answer() -> None:
    found, faults = backups.archives(JON, [LOST, A, NONE, B])
    assert [each.name for each in found] == ["jon-1", "jon-2", "jon-3"]
    assert [(each.message, each.hint) for each in faults] == [
        ("the backups of jon on lost cannot be listed (one)", "see its own messages above"),
        ("the backups of jon on none cannot be listed (one)", "its answer is not a list of archives"),
    ]


@pytest.mark.parametrize("answer", ["", "{}", "5", "null", "[5]", '[{"name": "x"}]', "[" * 100_000])
def test_an_invalid_list_of_archives(answer: str) -> None:
    found, faults = backups.archives(JON, [offer("a", says(""), [sys.executable, "-c", f"print({answer!r})"])])
    assert found == []
    assert len(faults) == (answer != "{}")  # which lists nothing


def test_a_failed_connection_has_its_own_hint() -> None:
    _, [lost] = backups.archives(JON, [offer("a", says(""), says("", 255))])
    assert lost.hint == "check that jon can be reached: `rolecall ssh jon true`"


def test_choosing_offers() -> None:
    assert backups.choose([A, B], "jon", None, None) == [A, B]
    assert backups.choose([A, B], "jon", "two", None) == [B]
    assert backups.choose([A, B], "jon", "one", "a") == [A]
    with pytest.raises(Faults, match="hint: choose one of: --instance one --target a, --instance two --target b"):
        backups.choose([A, B], "jon", "two", "a")


def test_choosing_an_archive() -> None:
    found, _ = backups.archives(JON, [A, B])
    assert backups.newest(JON, found, None).name == "jon-3"
    assert backups.newest(JON, found, "jon-2").target == "b"
    for name, told in (("jon-9", "jon has no backup jon-9"), (None, "jon has no backup")):
        with pytest.raises(Faults, match=told):
            backups.newest(JON, found if name else [], name)


def test_restore() -> None:
    assert backups.restore(JON, [A, B], Archive("two", "b", "jon-2"), ["/srv", "-x"]) == "restored jon-2 /srv -x\n"
    broken = Exported(B.value.model_copy(update={"restore": says("", 1)}), "jon", "two")
    with pytest.raises(Faults, match=r"the restore of jon from jon-2 on b failed \(two\)"):
        backups.restore(JON, [A, broken], Archive("two", "b", "jon-2"), [])


def test_commands_on_a_directory_are_refused() -> None:
    with pytest.raises(Faults, match="cannot run a command on jon: its target is the directory /x"):
        backups.create(Target("jon", "dir:/x", root=Path("/x")), [A])
