"""A command on two machines, one of which is reached by a user who must become root."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Desk, DeskFactory


@pytest.fixture(scope="module")
def desk(new_desk: DeskFactory) -> Desk:
    desk = new_desk()
    desk.write(machines={"jon": {}, "web": {}})
    desk.rolecall("lab", "up")
    config = desk.root / ".rolecall/lab/ssh_config"
    own, jon, web = config.read_text().partition("Host web")
    config.write_text(own + jon + web.replace("User root", "User admin"))
    return desk


def test_it_runs_as_root_on_both(desk: Desk) -> None:
    done = desk.rolecall("run", "--", "id", "-un")
    assert done.stdout.startswith("jon, web\n  root\n2 machines: 2 with exit status 0 (")


def test_one_machine_is_off(desk: Desk) -> None:
    desk.lab.kill("web")
    try:
        answers = json.loads(desk.rolecall("run", "--json", "--", "hostname", status=1).stdout)["machines"]
    finally:
        desk.lab.start("web")
        desk.lab.wait()
    assert (answers["jon"]["status"], answers["jon"]["output"]) == (0, "jon\n")
    assert (answers["web"]["ending"], answers["web"]["status"]) == ("unreachable", None)
    assert answers["web"]["problem"]


def test_ctrl_c_ends_it_on_the_machines(desk: Desk) -> None:
    process = desk.begin("run", "--", "echo begun; sleep 1234; echo never")
    for machine in ("jon", "web"):
        desk.on(machine, "until pgrep -x sleep; do sleep 0.1; done")
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "jon, web: interrupted (the command was ended)\n  begun\n2 machines: 2 interrupted (" in printed
    for machine in ("jon", "web"):
        desk.on(machine, "pgrep -x sleep", status=1)


def test_a_lost_connection_ends_it(desk: Desk) -> None:
    process = desk.begin("run", "web", "--", "sleep", "1234")
    desk.on("web", "until pgrep -x sleep; do sleep 0.1; done")
    process.kill()
    process.communicate(timeout=30)
    time.sleep(1)
    desk.on("web", "pgrep -x sleep", status=1)
