"""Why something changes."""

from __future__ import annotations

from typing import Any

import pytest

from rolecall.model.plan import Change, Why
from rolecall.plan.causes import Declared, origins_of, why
from rolecall_agent.protocol import Inputs, Provenance

KEY = "file:/etc/a"


def inputs(**changes: Any) -> Inputs:  # noqa: ANN401 - as of Inputs
    usual: dict[str, Any] = {"settings": {"a": "1", "b": "1"}, "service": "1", "vars": {"m/i.v": "1"}}
    return Inputs(**{**usual, "peers": {"n": "1"}, "members": {"n": "1"}, **changes})


def declared(now: dict[str, Inputs], before: dict[str, Inputs] | None, *, installed: bool = True) -> Declared:
    past = None if before is None else Provenance(inputs=before, origins={KEY: [*before]})
    return Declared(Provenance(inputs=now, origins={}), past, installed, lambda origin, setting: f"{origin}.{setting}")


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"settings": {"a": "1", "b": "2"}}, [Why("setting", "i.r", ("b",), "i.r.b")]),
        ({"settings": {"a": "1"}}, [Why("setting", "i.r", ("b",), "i.r.b")]),
        ({"vars": {"m/i.v": "2"}}, [Why("var", "i.r", ("m/i.v",), "i.r.")]),
        ({"service": "2"}, [Why("service", "i.r", (), "i.r.")]),
        ({"peers": {}}, [Why("peer", "i.r", ("n",), "i.r.")]),
        ({"peers": {"": "2"}}, [Why("peer", "i.r", ("n",), "i.r.")]),
        ({"members": {"n": "2"}}, [Why("peer", "i.r", ("n",), "i.r.")]),
        ({"service": "2", "members": {"n": "2"}}, [Why("service", "i.r", (), "i.r.")]),
        (
            {"settings": {}, "vars": {"m/i.v": "2", "n/i.v": "1"}},
            [Why("setting", "i.r", ("a", "b"), "i.r.a"), Why("var", "i.r", ("m/i.v",), "i.r.")],
        ),
        ({"vars": {}, "members": {}}, [Why("peer", "i.r", ("n",), "i.r.")]),  # a member left, and its var with it
        ({}, [Why("unknown", "i.r", (), "i.r.")]),
    ],
)
def test_every_input_that_differs_is_named(changes: dict[str, Any], found: list[Why]) -> None:
    change = Change(KEY, "change", "content", ("i.r",))
    assert why(change, declared({"i.r": inputs(**changes)}, {"i.r": inputs()})) == tuple(found)


@pytest.mark.parametrize(
    ("action", "origins", "before", "installed", "cause"),
    [
        ("create", ("i.r",), None, False, "declared"),
        ("create", ("i.r",), {}, True, "declared"),
        ("create", ("i.r",), None, True, "unknown"),
        ("repair", ("i.r",), {"i.r": inputs(service="2")}, True, "drift"),
        ("remove", (), {"i.gone": inputs()}, True, "undeclared"),
        ("remove", (), {"i.r": inputs(service="2")}, True, "service"),
        ("remove", (), None, True, "undeclared"),
        ("create", (), None, True, "agent"),
        ("remove", (), {}, True, "agent"),
    ],
)
def test_the_cause_without_a_change_of_inputs(
    action: str,
    origins: tuple[str, ...],
    before: dict[str, Inputs] | None,
    installed: bool,  # noqa: FBT001 - a column of the table
    cause: str,
) -> None:
    change = Change(KEY, action, "", origins)
    (found,) = why(change, declared({"i.r": inputs()}, before, installed=installed))
    assert found.cause == cause


def test_of_too_many_members_no_cause_is_made_up() -> None:
    none = Declared(Provenance(inputs={}, origins={}), None, True, lambda *_: "here")  # noqa: FBT003 - of a tuple
    assert why(Change(KEY, "change", "", ("i.r",)), none) == (Why("unknown", "i.r", (), "here"),)


def test_a_check_has_the_origin_in_its_name() -> None:
    assert origins_of(Change("check:i.r: a: b", "create", ""), None) == ("i.r",)
    assert origins_of(Change("health:i.r: x", "remove", ""), None) == ("i.r",)
