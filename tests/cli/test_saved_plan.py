"""Saved plans: what is in the file, and files that are refused, which leave nothing behind."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

import services

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Run

INVENTORY = """
[machines.a]
deploy.targetHost = "dir:targets/a"
[instances.q]
module = {name = "q", input = "self"}
roles.reader.machines.a = {}
roles.writer.machines.a = {}
"""
PENDING = ".rolecall/pending/per-machine/a/q.words"


@pytest.fixture
def plan(run: Run, tmp_path: Path) -> Path:
    services.install(tmp_path, "two_secrets", ('"mine"', '"q"'), module="q")
    (tmp_path / "inventory.toml").write_text(INVENTORY)
    assert run("keys", "create", "me")[0] == 0
    assert run("plan", "--out", "monday.plan")[0] == 0
    return tmp_path / "monday.plan"


def elsewhere(plan: Path) -> None:
    """Forget the pending vars, as another checkout does not have them."""
    shutil.rmtree(plan.parent / ".rolecall/pending")


def test_a_plan_contains_no_secret_and_can_be_carried_out_elsewhere(run: Run, plan: Path) -> None:
    _, secret, _ = run("vars", "get", "--yes", "a/q.words/passphrase")
    text = plan.read_text()
    assert secret.strip()
    assert secret.strip() not in text
    elsewhere(plan)
    assert run("update", "./monday.plan", "--yes")[0] == 0
    assert run("vars", "get", "--yes", "a/q.words/passphrase")[1] == secret
    assert (plan.parent / "targets/a/run/rolecall/secrets/q.words/passphrase").read_text() == secret.strip()


def changed(plan: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(plan.read_text())
    change(document)
    plan.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda plan: plan.update(format_version=2), "error: the plan has version 2 of the format, not 1"),
        (lambda plan: plan.pop("pending"), "error: this is not a saved plan"),
        (lambda plan: plan.update(pending={"a/q.words": {"x": "%"}}), "error: this is not a saved plan"),
        (
            lambda plan: plan["pending"]["a/q.words"].update({"../../../../evil": ""}),
            "error: '../../../../evil' is not a path of a var",
        ),
        (lambda plan: plan["pending"].update({"../a/evil": {"x": ""}}), "error: '../a/evil' is not a valid name"),
        (
            lambda plan: plan["machines"]["a"].update(digest="0"),
            "error: a is to have another configuration than in the saved plan",
        ),
        (
            lambda plan: plan["machines"]["a"].update(comparison="0"),
            "error: a itself has changed since the plan was saved",
        ),
        (lambda plan: plan["modules"].update(q="other"), "error: the instance q has another service"),
        (lambda plan: plan["machines"].update(b=plan["machines"]["a"]), "error: b is only in the saved plan"),
        (lambda plan: plan.update(digest="0"), "error: the plan has changed since it was saved"),
    ],
)
def test_a_plan_that_differs_is_refused(
    run: Run, plan: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    elsewhere(plan)
    changed(plan, change)
    status, _, err = run("update", "./monday.plan", "--yes")
    assert (status, err.splitlines()[0].startswith(message)) == (1, True), err
    assert not (plan.parent / PENDING).exists()
    assert not (plan.parent / "vars").exists()
    assert not list((plan.parent / "targets").rglob("passphrase"))


def test_another_pending_value_is_neither_used_nor_lost(run: Run, plan: Path) -> None:
    assert run("plan", "--discard")[0] == 0
    before = (plan.parent / PENDING / "passphrase/version").read_text()
    status, _, err = run("update", "./monday.plan", "--yes")
    assert (status, "error: a/q.words has another pending value here than in the saved plan" in err) == (1, True)
    assert (plan.parent / PENDING / "passphrase/version").read_text() == before


@pytest.mark.parametrize(("name", "reason"), [("./none.plan", "No such file or directory"), ("./", "Is a directory")])
def test_a_file_that_cannot_be_read(run: Run, plan: Path, name: str, reason: str) -> None:
    assert plan.exists()
    status, _, err = run("update", name)
    assert (status, err.splitlines()[0]) == (1, f"error: the plan cannot be read: {reason}")
