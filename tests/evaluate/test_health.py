"""What members report about themselves, in the configurations of their machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rolecall import pipeline
from rolecall.errors import Faults
from rolecall_agent.configuration import Health

if TYPE_CHECKING:
    from conftest import MakeProject

INVENTORY = """
[machines.jon]
deploy.targetHost = "dir:jon"
[machines.sara]
deploy.targetHost = "dir:sara"
[instances.app]
module = { name = "app", input = "self" }
roles.node.tags = ["all"]
roles.other.machines.jon = {}
[instances.second]
module = { name = "app", input = "self" }
roles.other.machines.jon = {}
"""
MODULE = """
from rolecall.service import Health, Service
service = Service("app", description="For tests.")
node = service.role("node", description="For tests.")
other = service.role("other", description="For tests.")

@node.exports(Health)
def report(me):
    yield Health(name="age", command=["report", me.machine], user="app", max_age=60, timeout=5)
    {more}
"""


def test_reports_are_part_of_the_configuration_of_their_machine(make_project: MakeProject) -> None:
    workspace = pipeline.Workspace(make_project(INVENTORY, app=MODULE.format(more="")))
    for evaluation in (workspace.evaluation(), workspace.evaluation_of(["jon"])):
        assert evaluation.configured["jon"].configuration.health == (
            Health("app.node: age", ("report", "jon"), "app", 60, 5),
        )
    assert (
        workspace.stored_configurations()["sara"].configuration
        == workspace.evaluation().configured["sara"].configuration
    )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ('yield Health(name="age", command=["x"])', "app.node yields two reports named 'age' on jon: argv"),
        ('yield Health(name="x", command=["x"], user="-x")', "health x: user: '-x' is not the name of a user"),
        ('yield Health(name="x", command=[])', "List should have at least 1 item"),
    ],
)
def test_wrong_reports_are_faults(make_project: MakeProject, more: str, message: str) -> None:
    with pytest.raises(Faults) as caught:
        pipeline.Workspace(make_project(INVENTORY, app=MODULE.format(more=more))).evaluation()
    assert any(message in fault.message for fault in caught.value.faults), caught.value
