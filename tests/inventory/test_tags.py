"""Which machines have which tags: listed, of their own, computed, and selected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.inventory import locate
from rolecall.inventory.tags import members
from rolecall.model.inventory import Inventory

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolecall.model.inventory import Loaded

MACHINES = """
[machines]
jon.tags = ["laptop", "home"]
sara.tags = ["laptop"]
store.tags = ["home"]
mac.machineClass = "darwin"
"""
PLAIN = ["laptop", "home", "all", "linux", "darwin", "listed", "nobody"]


@pytest.mark.parametrize(
    ("selection", "machines"),
    [
        ('{ any = ["laptop"] }', ["jon", "sara"]),
        ('{ any = ["laptop", "home"] }', ["jon", "sara", "store"]),
        ('{ all = ["laptop", "home"] }', ["jon"]),
        ('{ none = ["laptop"] }', ["mac", "store"]),
        ('{ any = ["laptop"], none = ["home"] }', ["sara"]),
        ('{ any = ["home"], all = ["laptop"], none = ["darwin"] }', ["jon"]),
        ('{ all = ["linux"], none = ["home"], machines = ["jon"] }', ["jon", "sara"]),
        ('{ all = ["darwin"] }', ["mac"]),
        ('{ all = ["listed"] }', ["mac", "sara"]),
        ('{ machines = ["jon"] }', ["jon"]),
        ("{}", []),
        ('{ any = [], all = ["all"] }', ["jon", "mac", "sara", "store"]),
    ],
)
def test_a_tag_that_selects(loading: Callable[..., Loaded], selection: str, machines: list[str]) -> None:
    loaded = loading(f'{MACHINES}[tags]\nlisted = ["sara", "mac"]\nweb = {selection}\n', "inventory.toml")
    assert list(loaded.tags["web"]) == machines
    assert loaded.warnings == ()


NAMES = st.lists(st.sampled_from(PLAIN), max_size=3)


@given(
    st.dictionaries(st.sampled_from("mnop"), st.lists(st.sampled_from(["laptop", "home", "web"]), max_size=2)),
    NAMES,
    NAMES,
    NAMES,
)
def test_a_selection_has_the_machines_that_match(
    own: dict[str, list[str]], some: list[str], every: list[str], none: list[str]
) -> None:
    data: dict[str, Any] = {
        "machines": {name: {"tags": tags} for name, tags in own.items()},
        "tags": {"listed": sorted(own)[:1], "web": {"any": some, "all": every, "none": none}},
    }
    tags, _ = members(Inventory.model_validate(data))
    has = {machine: {tag for tag in PLAIN if machine in tags.get(tag, ())} for machine in own}
    expected = {
        machine
        for machine, its in has.items()
        if (some or every or none) and (not some or its & set(some)) and its >= set(every) and not its & set(none)
    }
    assert set(tags["web"]) == expected | {machine for machine, tags in own.items() if "web" in tags}


def test_a_tag_without_machines_is_a_warning_in_a_selection(loading: Callable[..., Loaded]) -> None:
    loaded = loading(MACHINES + '[tags.web]\nany = ["home", "lapdog"]\nnone = ["stage"]\n', "inventory.toml")
    assert [(str(each.where), each.message, each.hint, each.warning) for each in loaded.warnings] == [
        ("tags.web.any[1]", "no machine has the tag 'lapdog'", "did you mean 'laptop'?", True),
        (
            "tags.web.none[0]",
            "no machine has the tag 'stage'",
            "available tags: all, darwin, home, laptop, linux",
            True,
        ),
    ]


MISTAKES = [
    (
        'b = { all = ["a"] }',
        (
            "error: a selection cannot use 'a', because that is a selection too\n"
            "  at inventory.toml:9:14 tags.b.all[0]\n"
            "hint: name the tags of 'a' instead, or its machines"
        ),
    ),
    (
        'b = { none = ["home", "b"] }',
        (
            "error: a selection cannot use 'b', because that is a selection too\n"
            "  at inventory.toml:9:23 tags.b.none[1]\n"
            "hint: name the tags of 'b' instead, or its machines"
        ),
    ),
    (
        'b = { machines = ["jon", "sarah"] }',
        (
            "error: machine 'sarah' does not exist\n  at inventory.toml:9:26 tags.b.machines[1]\n"
            "hint: did you mean 'sara'?"
        ),
    ),
    (
        'b = { al = ["home"] }',
        "error: unknown key 'al'\n  at inventory.toml:9:7 tags.b.al\nhint: did you mean 'all'?",
    ),
    (
        'b = { any = "home" }',
        'error: expected a list of strings, found the string "home"\n  at inventory.toml:9:7 tags.b.any',
    ),
    (
        'b = { any = ["-x"] }',
        (
            "error: invalid tag name '-x'\n  at inventory.toml:9:14 tags.b.any[0]\n"
            "hint: use 1 to 63 letters, digits, `_` and `-`; the first character cannot be `-`"
        ),
    ),
    (
        'b = { machines = ["-x"] }',
        (
            "error: invalid machine name '-x'\n  at inventory.toml:9:19 tags.b.machines[0]\n"
            "hint: use 1 to 63 letters, digits, `_` and `-`; the first character cannot be `-`"
        ),
    ),
    (
        'b = "home"',
        'error: expected a list of strings, found the string "home"\n  at inventory.toml:9:1 tags.b',
    ),
    (
        'linux = { any = ["home"] }',
        (
            "error: the tag 'linux' is computed and cannot be set\n  at inventory.toml:9:1 tags.linux\n"
            "hint: remove it: every machine of the class 'linux' has it"
        ),
    ),
]


@pytest.mark.parametrize(("line", "faults"), MISTAKES)
def test_mistakes(faults_of: Callable[..., str], line: str, faults: str) -> None:
    assert faults_of(f'{MACHINES}[tags]\na = {{ any = ["laptop"] }}\n{line}\n', "inventory.toml") == faults


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("inventory.yaml", "machines: {jon: {}}\ntags:\n  web:\n    any: [all, nope]\n", (4, 16)),
        ("inventory.json", '{"machines": {"jon": {}},\n "tags": {"web": {"any": ["all", "nope"]}}}', (2, 34)),
        ("inventory.nix", '{ machines.jon = {};\n  tags.web.any = [ "all" "nope" ]; }', (2, 0)),
        ("inventory.toml", '[machines.jon]\n[tags.web]\nany = ["all", "nope"]\n', (3, 15)),
    ],
)
def test_places_in_every_notation(loading: Callable[..., Loaded], name: str, text: str, place: tuple[int, int]) -> None:
    loaded = loading(text, name)
    [warning] = (locate(each, loaded.sources) for each in loaded.warnings)
    assert warning.where
    assert (warning.where.line, warning.where.column if place[1] else 0) == place  # Nix: the list has a place
