"""Plans and reports as text, where no real machine shows the case easily."""

from __future__ import annotations

import pytest
from click import unstyle

from rolecall.model.plan import Change, Damage, MachinePlan, Outcome, Plan, Report, UnitChange, Why
from rolecall.plan.text import plan_text, report_text


def test_a_machine_whose_declaration_alone_has_changed_is_no_riddle() -> None:
    machine = MachinePlan("jon", "dir:targets/jon", 0, "d", comparison="c")
    text = plan_text(Plan((machine,), {}, {}, ()))
    assert " (dir:targets/jon)\n  = no change on the machine; only its declaration changed\n" in text


def test_a_plan_names_what_stops_and_restarts_along() -> None:
    others = tuple(f"{name}.service" for name in "abcdefg")
    units = (UnitChange("x.service", "stop", others), UnitChange("y.service", "restart", others[:1]))
    machine = MachinePlan("jon", "dir:jon", 0, "d", units=(*units, UnitChange("z.service", "start")), comparison="c")
    assert plan_text(Plan((machine,), {}, {}, ())).splitlines()[1:4] == [
        "  stop x.service (also stops a.service, b.service, c.service, d.service, e.service and 2 more)",
        "  restart y.service (also restarts a.service)",
        "  start z.service",
    ]


@pytest.mark.parametrize(
    ("results", "summary"),
    [
        (["unchanged"], "nothing changed"),
        (["updated", "unchanged"], "1 machine updated"),
        (["updated", "updated"], "2 machines updated"),
        (["restored", "untouched", "unchanged"], "failed; every machine is as it was before"),
        (
            ["unknown", "restored"],
            "failed: m0 in an unknown state, m1 restored; run `rolecall update` again to recover",
        ),
        (["restored", "updated"], "failed: m1 updated, m0 restored; run `rolecall update` again to recover"),
        (
            ["updated", "unknown", "restored", "unchanged", "untouched"],
            (
                "failed: m0 updated, m1 in an unknown state, m2 restored, m4 untouched; "
                "run `rolecall update` again to recover"
            ),
        ),
        (["damaged", "restored"], "failed: m0 damaged, m1 restored; settle the damage first"),
    ],
)
def test_the_summary_says_no_more_than_the_outcomes(results: list[str], summary: str) -> None:
    outcomes = tuple(Outcome(f"m{number}", result) for number, result in enumerate(results))
    assert report_text(Report(outcomes, 1.0, 3)).splitlines()[-1] == f"{summary} (1.0 s, 3 execs)"


def test_damage_is_listed_with_the_command_that_settles_it() -> None:
    damage = (
        Damage("unit:a.service", "", "it does not start", "see `systemctl status a.service` on the machine"),
        Damage("file:/etc/a", "/etc/a", "Read-only file system", ""),
        Damage("authorized-key:app/1", "/home/app/.ssh/authorized_keys", "No space left on device", ""),
    )
    lines = [
        "    unit:a.service could not be put back: it does not start",
        "      see `systemctl status a.service` on the machine",
        "    file:/etc/a could not be put back: Read-only file system",
        "    authorized-key:app/1 (/home/app/.ssh/authorized_keys) could not be put back: No space left on device",
        "    to settle this, run `rolecall machines recover jon`",
    ]
    report = Report((Outcome("jon", "damaged", "the undo failed", "", 1, damage),), 1.0, 1)
    assert report_text(report).splitlines()[1:-1] == lines
    machine = MachinePlan("jon", "dir:jon", 0, "d", failure="the undo failed", damage=damage)
    assert plan_text(Plan((machine,), {}, {}, ())).splitlines()[1:6] == lines


def test_what_rolecall_needs_itself_is_no_reason_of_its_own() -> None:
    ours = Change("unit:rolecall-boot.service", "create", "", why=(Why("agent"),))
    file = Change("file:/etc/a", "create", "", ("i.r",), why=(Why("declared", "i.r", (), "inventory.toml:3"),))
    machine = MachinePlan("jon", "dir:jon", 0, "d", (file, ours), comparison="c")
    assert unstyle(plan_text(Plan((machine,), {}, {}, ()))).splitlines()[1:4] == [
        "  + file /etc/a                 i.r",
        "  + unit rolecall-boot.service  for Rolecall itself",
        "  because i.r is declared (inventory.toml:3)",
    ]
