"""The unit that recovers at boot is there while anything else differs from the state before the first switch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from agent_world import NOTHING, RICH, STATE, Killed, copy, machine, make, snapshot, update

from rolecall_agent import boot
from rolecall_agent.errors import Failure
from rolecall_agent.systems.recorded import RecordedSystem
from rolecall_agent.undo import recover

if TYPE_CHECKING:
    from pathlib import Path

    from rolecall_agent.configuration import Configuration

UNIT_FILE = f"/etc/systemd/system/{boot.NAME}"


@pytest.fixture(autouse=True)
def _boots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RecordedSystem, "boots", True)


def without_boot_unit(root: Path) -> dict[str, Any]:
    seen = snapshot(root)
    seen.pop(UNIT_FILE, None)
    return {**seen, "units": {name: state for name, state in seen["units"].items() if name != boot.NAME}}


def recovers_at_boot(root: Path) -> bool:
    units = json.loads((root / STATE / "system.json").read_text())["units"]
    return (root / UNIT_FILE[1:]).exists() and units.get(boot.NAME) == {"enabled": True}


@pytest.mark.slow
@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
def test_it_is_installed_first_and_removed_last(tmp_path: Path, *, first: bool) -> None:
    start = make(tmp_path / "start")
    target = RICH
    if not first:
        update(start, RICH)
        target = NOTHING
    was, whole = without_boot_unit(start), snapshot(start)
    for lives in range(1000):
        root = copy(start, tmp_path / "try")
        try:
            update(root, target, lives)
        except Killed:
            pass
        else:
            break
        assert recovers_at_boot(root) or without_boot_unit(root) in (was, without_boot_unit(done(start, target)))
        it = machine(root)
        if recover(it) == "undone":
            assert snapshot(root) == whole
    assert lives > 20
    assert recovers_at_boot(root) is first
    update(root, NOTHING)
    assert not recovers_at_boot(root)
    assert UNIT_FILE not in snapshot(root)


def done(start: Path, target: Configuration) -> Path:
    root = start.parent / "done"
    if not root.exists():
        update(copy(start, root), target)
    return root


def test_a_first_switch_that_fails_leaves_none(tmp_path: Path) -> None:
    root = make(tmp_path / "m")
    before = snapshot(root)
    record = root / STATE / "system.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "fail": {"units": ["a.service"]}}))
    with pytest.raises(Failure, match=r"a\.service"):
        update(root, RICH)
    assert snapshot(root) == before
