"""Plans as text, where no real machine shows the case easily."""

from __future__ import annotations

from rolecall.cli.render import plan_text
from rolecall.model.plan import MachinePlan, Plan


def test_a_machine_whose_declaration_alone_has_changed_is_no_riddle() -> None:
    machine = MachinePlan("jon", "dir:targets/jon", 0, "d", comparison="c")
    text = plan_text(Plan((machine,), {}, {}, ()), {})
    assert " (dir:targets/jon)\n  = no change on the machine; only its declaration changed\n" in text
