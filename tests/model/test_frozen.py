"""Data that nobody can change (rolecall.model.frozen)."""

from __future__ import annotations

import copy
import json
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import RootModel

from rolecall.model.equality import same
from rolecall.model.frozen import frozen
from rolecall.service import File, FreeForm, Function, Interface, Member, Service, Settings, VarFile
from rolecall.testing import Faults, evaluate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Inner(Settings):
    words: list[str] = ["a"]  # noqa: RUF012 - pydantic copies it


class Root(RootModel[list[str]]):
    pass


class Outer(Settings):
    inner: Inner = Inner()
    inners: list[Inner] = [Inner()]  # noqa: RUF012
    table: dict[str, list[int]] = {"a": [1]}  # noqa: RUF012
    names: set[str] = {"x"}  # noqa: RUF012
    pair: tuple[list[int], int] = ([1], 2)
    any: FreeForm = {"a": {"b": [1]}}  # noqa: RUF012
    root: Root = Root(["r"])


CHANGES = [
    "inner.words.append('b')",
    "inners[0].words.clear()",
    "inners.pop()",
    "inner.words.sort()",
    "inner.words.__iadd__(['b'])",
    "inner.words.__setitem__(0, 'b')",
    "table.update(b=[2])",
    "table.__setitem__('a', [])",
    "table['a'].extend([2])",
    "table.setdefault('b', [])",
    "names.add('y')",
    "names.__ior__({'y'})",
    "pair[0].append(2)",
    "any['a']['b'].insert(0, 2)",
    "any['a'].__ior__({'c': 1})",
    "root.root.append('s')",
]


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_in_it_can_be_changed(change: str) -> None:
    settings: Any = frozen(Outer())
    with pytest.raises(TypeError, match="cannot be changed; copy this one first"):
        eval(change, vars(settings))  # noqa: S307 - from the list above
    assert settings == Outer()


def test_it_stays_what_it_is() -> None:
    plain, settings = Outer(), frozen(Outer())
    assert settings == plain
    assert settings.model_dump_json() == plain.model_dump_json()
    assert json.dumps(settings.table) == json.dumps(plain.table)
    assert same(settings, frozen(Outer()))
    assert frozen(settings) is settings


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])  # noqa: S301
@pytest.mark.parametrize("value", [[1, [2]], {"a": {"b": 1}}, {"x", "y"}])
def test_a_copy_can_be_changed(copied: Callable[[Any], Any], value: object) -> None:
    one = copied(frozen(value))
    assert (one, type(one)) == (value, type(value))
    one.clear()


class Names(Interface):
    names: list[str]


INVENTORY = """
machines = { a = {}, b = {} }
[instances.shared.roles.r]
settings.words = ["w"]
machines = { a = {}, b = {} }
"""


@pytest.mark.parametrize(
    "change",
    [
        lambda me, _: me.settings.words.append(me.machine),
        lambda me, _: me.exports(Names)[0].value.names.append(me.machine),
        lambda me, var: me[var].update(text=me.machine),
    ],
)
def test_no_member_can_change_what_others_read(change: Callable[[Any, Any], None]) -> None:
    service = Service("shared", description="Has two members.")
    role = service.role("r", Inner, description="Has words.")
    var = role.var("v", Function(lambda _: {"text": b"t"}, (VarFile("text", secret=False),)), scope="shared")

    @role.exports(Names)
    def names(me: Member[Inner]) -> Iterator[Names]:
        yield Names(names=me.settings.words)

    @role.configure
    def files(me: Member[Inner]) -> Iterator[File]:
        change(me, var)
        yield File("/etc/words", "")

    with pytest.raises(Faults, match=r"cannot be changed; copy this one first: (list|dict)\(…\) \(.*test_frozen\.py:"):
        evaluate(INVENTORY, service)
