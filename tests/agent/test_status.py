"""How a machine is now: everything that can be found out, without changing anything."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from agent_client import NearClient
from agent_world import META, NOTHING, STATE, machine, make, service, stage, update

from rolecall_agent import reboot
from rolecall_agent.configuration import Check, Configuration, Health
from rolecall_agent.lock import holder, locked
from rolecall_agent.resources import File
from rolecall_agent.resources.checks import DefinitionError
from rolecall_agent.status import _reported
from rolecall_agent.switch import switch

if TYPE_CHECKING:
    from pathlib import Path

CHECKS = (Check("a.b: runs", ("good",)), Check("a.b: peers", ("bad",), peers=True))
HEALTH = (Health("a.b: age", ("report",), max_age=3600),)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path / "m")


def configured(text: str = "1\n") -> Configuration:
    return Configuration.of("m", [File("/etc/one", text)], CHECKS, HEALTH)


def status(root: Path) -> dict[str, Any]:
    with NearClient(root) as client:
        return client.first(type="status")


def record(root: Path, **changes: Any) -> None:  # noqa: ANN401 - JSON
    path = root / STATE / "system.json"
    data = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**data, **changes}))


def test_a_machine_on_which_nothing_was_installed(root: Path) -> None:
    assert status(root) == {
        "type": "status",
        "machine": "",
        "current": None,
        "since": "",
        "drift": [],
        "more": 0,
        "failed": [],
        "reboot": None,
        "interrupted": None,
        "locked": "",
        "checks": [],
        "health": [],
        "problems": [],
    }


def test_a_machine_that_is_well(root: Path) -> None:
    update(root, configured())
    found = status(root)
    assert (found["machine"], found["current"]["number"], found["current"]["digest"]) == ("m", 1, configured().digest)
    assert found["since"] > found["current"]["at"] == META["at"]
    assert found["drift"] == found["failed"] == found["problems"] == []
    assert found["checks"] == [
        {"name": "a.b: peers", "ok": True, "output": ""},
        {"name": "a.b: runs", "ok": True, "output": ""},
    ]
    assert [(each["name"], each["level"]) for each in found["health"]] == [("a.b: age", "ok")]


def test_all_that_is_wrong_is_found(root: Path) -> None:
    update(root, configured())
    (root / "etc/one").write_text("2\n")
    record(root, units={"b.service": {"failed": True}, "a.service": {"failed": True}}, fail={"commands": ["bad"]})
    (root / "run").mkdir(exist_ok=True)
    (root / "run/reboot-required").touch()
    found = status(root)
    assert [each["key"] for each in found["drift"]] == ["file:/etc/one"]
    assert found["failed"] == ["a.service", "b.service"]
    assert found["reboot"] == ["/run/reboot-required exists"]
    assert [(each["name"], each["ok"]) for each in found["checks"]] == [("a.b: peers", False), ("a.b: runs", True)]
    assert found["checks"][0]["output"] == "recorded: listed in fail.commands"
    (root / "run/reboot-required.pkgs").write_text("linux-image\nlibc6\nlinux-image\n")
    assert status(root)["reboot"] == ["packages were updated: linux-image, libc6"]


def test_much_drift_is_counted(root: Path) -> None:
    update(root, Configuration.of("m", [File(f"/etc/{number:03}", "") for number in range(210)]))
    for number in range(210):
        (root / f"etc/{number:03}").unlink()
    found = status(root)
    assert (len(found["drift"]), found["more"]) == (200, 10)


def test_an_interrupted_switch_is_shown_and_stays(root: Path) -> None:
    update(root, configured())
    it = machine(root)
    stage(it, target := configured("2\n"))
    switch(it, target, META, nonce="n", confirm=False)
    status(root)  # makes a folder for agents
    times = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    found = status(root)
    assert (found["interrupted"]["meta"], found["interrupted"]["target"]) == (META, 2)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == times
    assert found["current"]["number"] == 1


def test_a_machine_on_which_a_run_is_at_work(root: Path) -> None:
    update(root, configured())
    (root / "etc/one").write_text("2\n")
    with locked(str(root), "run r of ada"):
        found = status(root)
        assert found["locked"].startswith("run r of ada since ")
        assert found["drift"] == found["checks"] == found["health"] == []
    assert holder(str(root)) == status(root)["locked"] == ""


@pytest.mark.parametrize("name", ["generations/1/meta.json", "current", "original/index.json", "schema"])
def test_damage_is_named_and_hides_nothing_else(root: Path, name: str) -> None:
    update(root, configured())
    record(root, units={"b.service": {"failed": True}})
    path = root / STATE / name
    path.unlink()
    path.write_text("garbage")
    found = status(root)
    assert found["failed"] == ["b.service"]
    assert any("is damaged" in problem for problem in found["problems"])


NOW = 1_000_000.0


@pytest.mark.parametrize(
    ("code", "output", "level", "text"),
    [
        (0, '{"level": "ok", "text": "fine", "at": 999000}', "ok", "fine"),
        (0, '{"level": "ok", "text": "fine", "at": 990000}', "error", "fine; older than 60 minutes"),
        (0, '{"level": "ok", "text": "fine"}', "error", "fine; does not say when"),
        (0, '{"level": "warning", "text": "none yet"}', "warning", "none yet"),
        (0, '{"level": "error", "text": "bad", "at": 5}', "error", "bad"),
        (0, '{"level": "good", "text": "fine"}', "error", "report printed no report: "),
        (0, '{"level": "ok", "text": 5}', "error", "report printed no report: "),
        (0, '{"level": "ok", "text": "x", "at": "yesterday"}', "error", "report printed no report: "),
        (0, '{"level": ["ok"], "text": "x"}', "error", "report printed no report: "),
        (0, '{"level": "ok", "text": "x", "at": 1e400}', "error", "report printed no report: "),
        (0, "[]", "error", "report printed no report: '[]'"),
        (0, "", "error", "report printed no report: ''"),
        (124, "report took longer than 30 seconds", "error", "report ended with status 124: report took longer"),
    ],
)
def test_what_a_service_reports(code: int, output: str, level: str, text: str) -> None:
    found = _reported(HEALTH[0], (code, output), NOW)
    assert (found["level"], found["text"][: len(text)]) == (level, text)


def test_a_report_without_a_limit_of_age() -> None:
    found = _reported(Health("x", ("x",)), (0, '{"level": "ok", "text": "long ago", "at": 86400}'), time.time())
    assert found == {"name": "x", "level": "ok", "text": "long ago", "at": "1970-01-02T00:00:00+00:00"}


def test_reports_are_part_of_the_configuration() -> None:
    plain = Configuration.of("m", [File("/etc/one", "")], CHECKS)
    assert b"health" not in plain.encode()  # the digests of what is installed stay
    assert Configuration.decode(configured().encode()) == configured()
    assert Configuration.decode_json(configured().as_json()).health == HEALTH
    assert configured().digest != plain.digest


def test_a_report_that_changes_is_in_the_comparison(root: Path) -> None:
    update(root, configured())
    with NearClient(root) as client:
        client.open()
        target = Configuration.of("m", [File("/etc/one", "1\n")], CHECKS, [Health("a.b: age", ("other",))])
        assert client.compare(target)["changes"] == [
            {"key": "health:a.b: age", "action": "change", "detail": "other"},
        ]


@pytest.mark.parametrize(
    "fields",
    [
        {"argv": ()},
        {"argv": "text"},
        {"name": "a\nb"},
        {"user": "-x"},
        {"max_age": -1},
        {"timeout": 0},
        {"timeout": True},
    ],
)
def test_reports_that_make_no_sense_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError):
        Health(**{"name": "x", "argv": ("x",), **fields})


@pytest.mark.parametrize(
    ("running", "installed", "reasons"),
    [
        ("6.1.0-18-amd64", ["6.1.0-18-amd64"], []),
        ("6.1.0-9-amd64", ["6.1.0-9-amd64", "6.1.0-18-amd64"], ["kernel 6.1.0-18-amd64 is installed, and "]),
        ("6.1.0-18-amd64", ["6.1.0-9-amd64", "6.1.0-18-amd64"], []),
        ("6.1.0-9-amd64", ["6.1.0-9-amd64", "6.1.0-18-cloud-amd64"], []),
        ("6.1.0-18-amd64", ["6.1.0-17-amd64"], ["kernel 6.1.0-18-amd64 runs, and is not installed any more"]),
        ("6.9.1-arch1-1", ["6.9.2-arch1-1"], ["kernel 6.9.2-arch1-1 is installed, and 6.9.1-arch1-1 runs"]),
    ],
)
def test_kernels_that_wait_for_a_reboot(running: str, installed: list[str], reasons: list[str]) -> None:
    found = reboot.newer_kernels(running, installed)
    assert len(found) == len(reasons)
    assert all(one.startswith(other) for one, other in zip(found, reasons, strict=True))


def test_an_empty_configuration_is_no_drift(root: Path) -> None:
    update(root, configured())
    update(root, NOTHING)
    found = status(root)
    assert (found["machine"], found["current"]["number"], found["problems"]) == ("m", 2, [])


def test_units_that_a_switch_left_running(root: Path) -> None:
    update(root, Configuration.of("m", [service("a.service", "/bin/a", started=True)]))
    record(root, units={})
    assert [each["key"] for each in status(root)["drift"]] == ["unit:a.service"]
