"""What a change does to units of each type, and which others it takes along."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from rolecall_agent.errors import Failure
from rolecall_agent.health import require_settled, watch
from rolecall_agent.resources import Unit
from rolecall_agent.seam.units import UnitState
from rolecall_agent.unit_types import mount_point, refresh, taken_along
from rolecall_agent.work import Work

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

RUNS = UnitState(known=True, active=True)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("srv-data.mount", "/srv/data"),
        ("srv-my\\x2ddata.mount", "/srv/my-data"),
        ("gr\\xc3\\xb6\\xc3\\x9fe.mount", "/größe"),
        ("\\x2ehidden.mount", "/.hidden"),
        ("srv-data.automount", ""),
    ],
)
def test_where_a_mount_unit_mounts(name: str, path: str) -> None:
    assert mount_point(name) == path


class Units:
    """Units that are in these states."""

    settled = True

    def __init__(self, **states: UnitState) -> None:
        self._states = {name.replace("__", "@").replace("_", "."): state for name, state in states.items()}

    def prefetch(self, names: Iterable[str]) -> None: ...
    def forget(self) -> None: ...
    def run(self, verb: str, names: Sequence[str]) -> None: ...
    def validate(self, texts: object, coming: object) -> None: ...
    def has_failed(self, name: str, since: float) -> bool:
        return name.startswith("fails") and since > 0

    def log(self, names: Sequence[str]) -> str:
        return str(names)

    def state(self, name: str) -> UnitState:
        return self._states.get(name, UnitState())

    def instances(self, template: str) -> list[str]:
        stem, suffix = template.split("@.")
        return [name for name in self._states if name.startswith(f"{stem}@") and name.endswith(suffix)]


@pytest.mark.parametrize(
    ("name", "state", "restart", "reload"),
    [
        ("a.service", RUNS, ["a.service"], []),
        ("a.service", UnitState(known=True, failed=True), ["a.service"], []),
        ("a.service", UnitState(known=True), [], []),
        ("a.slice", UnitState(), ["a.slice"], []),  # a package may bring it
        ("a.slice", RUNS, [], ["a.slice"]),
        ("a.path", RUNS, [], ["a.path"]),
        ("a.target", RUNS, [], ["a.target"]),
        ("a.timer", RUNS, [], ["a.timer"]),
        ("a.timer", RUNS._replace(elapsed=True), ["a.timer"], []),
    ],
)
def test_an_undeclared_unit_whose_drop_in_changes(
    name: str, state: UnitState, restart: list[str], reload: list[str]
) -> None:
    work = Work()
    refresh(work, Units(**{name.replace(".", "_"): state}), [name], {"unit:b.service"})
    assert (work.refresh, work.reload) == (restart, reload)


def test_a_template_whose_drop_in_changes() -> None:
    units = Units(
        t__a_service=RUNS,
        t__declared_service=RUNS,
        t__down_service=UnitState(known=True),
        t__accepted_service=RUNS._replace(triggered=True),
        t__job_service=RUNS._replace(job=True),
        user__0_service=RUNS,
    )
    work = Work()
    refresh(work, units, ["t@.service", "user@.service"], {"unit:t@declared.service"})
    assert work.refresh == ["t@a.service"]


def test_what_is_taken_along() -> None:
    units = Units(
        a_service=RUNS._replace(bound=("b.service", "c.service"), stopped_along=("d.service",)),
        b_service=RUNS._replace(bound=("a.service", "b2.service")),
        b2_service=RUNS,
        c_service=UnitState(known=True, bound=("c2.service",)),
        c2_service=RUNS,
        d_service=RUNS,
    )
    assert taken_along(units, "a.service", stops=False) == ["b.service", "b2.service"]
    assert taken_along(units, "a.service", stops=True) == ["b.service", "b2.service", "c2.service", "d.service"]


def test_less_than_was_shown_may_be_taken_along() -> None:
    shown = Work(restart=["a.service"], along={"a.service": ["b.service", "c.service"]})
    fewer = Work(restart=["a.service"], along={"a.service": ["b.service"]})
    assert fewer.is_part_of(shown)
    assert not shown.is_part_of(fewer)
    assert not replace(shown, stop=["d.service"]).is_part_of(shown)


def test_the_digest_of_a_mount_leaves_out_its_options() -> None:
    one, other, moved = (
        Unit("srv.mount", f"[Mount]\nWhat={what}\nWhere=/srv\n{options}\n").fixed
        for what, options in (("/dev/a", "Options=ro"), ("/dev/a", " Options = rw,noatime"), ("/dev/b", "Options=ro"))
    )
    assert one == other != moved
    assert Unit("srv.service", "[Service]\nExecStart=/x\n").fixed is None


@pytest.mark.parametrize(
    ("name", "then", "problem"),
    [
        ("a_service", {}, ""),
        ("a_service", {"failed": True}, "failed after it was started"),
        ("a_service", {"active": False}, "ended after it was started"),
        ("a_service", {"active": False, "done": True}, ""),
        ("a_service", {"invocation": "2"}, "ended after it was started, and was started again"),
        ("a_service", {"invocation": "2", "daemon": False}, ""),  # a job that a timer has started again
        ("a_service", {"invocation": "2", "repeats": True}, ""),
        ("fails_service", {"invocation": "2", "repeats": True}, "ended after it was started, and was started again"),
    ],
)
def test_what_happens_to_a_unit_before_the_update_counts(name: str, then: dict[str, Any], problem: str) -> None:
    runs = RUNS._replace(daemon=True, simple=True, invocation="1")
    unit = name.replace("_", ".")
    watched = watch(Units(**{name: runs}), [unit], {unit: 0})
    after = Units(**{name: runs._replace(**then)})
    if not problem:
        require_settled(after, watched)
        return
    with pytest.raises(Failure) as caught:
        require_settled(after, watched)
    assert caught.value.message == f"{unit} {problem}"
