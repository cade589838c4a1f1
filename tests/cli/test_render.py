"""Plans and reports as text, where no real machine shows the case easily."""

from __future__ import annotations

import pytest

from rolecall.cli.render import plan_text, report_text
from rolecall.model.plan import MachinePlan, Outcome, Plan, Report


def test_a_machine_whose_declaration_alone_has_changed_is_no_riddle() -> None:
    machine = MachinePlan("jon", "dir:targets/jon", 0, "d", comparison="c")
    text = plan_text(Plan((machine,), {}, {}, ()), {})
    assert " (dir:targets/jon)\n  = no change on the machine; only its declaration changed\n" in text


@pytest.mark.parametrize(
    ("results", "summary"),
    [
        (["unchanged"], "nothing changed"),
        (["updated", "unchanged"], "1 machine updated"),
        (["updated", "updated"], "2 machines updated"),
        (["restored", "untouched", "unchanged"], "failed; every machine is as it was before"),
        (["unknown", "restored"], "failed; the state of m0 is unknown: run `rolecall update` again to recover"),
        (["restored", "updated"], "failed; m1 updated, the others not: run `rolecall update` again to recover"),
        (
            ["updated", "unknown", "restored"],
            "failed; m0 updated, the others not; the state of m1 is unknown: run `rolecall update` again to recover",
        ),
    ],
)
def test_the_summary_says_no_more_than_the_outcomes(results: list[str], summary: str) -> None:
    outcomes = tuple(Outcome(f"m{number}", result) for number, result in enumerate(results))
    assert report_text(Report(outcomes, 1.0, 3)).splitlines()[-1] == f"{summary} (1.0 s, 3 execs)"
