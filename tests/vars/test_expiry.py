"""Certificates that expire: plans warn in time, and say how to rotate them."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from calling import call

import services
from rolecall.pipeline import noting

if TYPE_CHECKING:
    from rolecall.project import Project

INVENTORY = """
machines.jon.deploy.targetHost = "dir:targets/jon"
[instances.web]
module.input = "self"
roles.host.machines.jon = {}
"""


@pytest.mark.parametrize(("days", "warned"), [(365, False), (91, False), (0, True)])
def test_plans_warn_of_certificates_that_expire(project: Project, days: int, warned: bool) -> None:  # noqa: FBT001 - a case
    (project.root / "inventory.toml").write_text(INVENTORY)
    install(project, 400)
    call(project, "update", "--yes")
    install(project, days)
    call(project, "vars", "rotate", "jon/web.tls", "jon/web.cert")
    output = call(project, "plan")
    until = f"{dt.datetime.now(dt.UTC) + dt.timedelta(days=days):%Y-%m-%d}"
    lines = [
        f"warning: jon/web.{name} has expired on {until}\nhint: rotate it: `rolecall vars rotate jon/web.{name}`\n"
        for name in ("tls", "cert")
    ]
    assert [line in output for line in lines] == [warned, warned]
    assert ("expire" in output) == warned


def test_plans_warn_in_the_last_third_or_month(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    (project.root / "inventory.toml").write_text(INVENTORY)
    install(project, 60)
    call(project, "update", "--yes")
    now = dt.datetime.now(dt.UTC)
    for later, warned in ((0, False), (39, False), (41, True)):

        class Clock(dt.datetime):
            @classmethod
            def now(cls, _: dt.tzinfo | None = None, later: int = later) -> dt.datetime:  # type: ignore[override]
                return now + dt.timedelta(days=later)

        monkeypatch.setattr(noting, "dt", SimpleNamespace(datetime=Clock, UTC=dt.UTC))
        assert ("jon/web.tls expires on" in call(project, "plan")) is warned
        monkeypatch.undo()


def test_a_given_certificate_may_be_anything(project: Project) -> None:
    (project.root / "inventory.toml").write_text(INVENTORY)
    install(project, 60)
    call(project, "update", "--yes")
    stored = project.vars / "per-machine/jon/web.tls"
    (stored / "certificate/value").write_text("x")
    (stored / ".made").unlink()  # as earlier versions stored a given value
    assert "expire" not in call(project, "plan")


def install(project: Project, days: int) -> None:
    services.install(project.root, "certificates", ("DAYS = 60", f"DAYS = {days}"), module="web")
