"""What a writer makes of a text says what the change makes of its data, and leaves everything else as it stood."""

from __future__ import annotations

import difflib
import json
import tempfile
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from notated import Data, as_toml, as_yaml, commented, inventories, names, paths, texts, top, values

from rolecall.inventory.changes import Change, Set, Unset, apply, find, has
from rolecall.inventory.comments import Comments, comments
from rolecall.inventory.notations import json_text, toml, yaml
from rolecall.inventory.printing import printed
from rolecall.model.equality import same

if TYPE_CHECKING:
    from rolecall.inventory.data import Keys

FILES = {notation: Path(f"inventory.{notation}") for notation in ("toml", "yaml", "json")}
READERS: dict[str, Any] = {"toml": toml, "yaml": yaml, "json": json_text}
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


def changed(notation: str, text: str, change: Change) -> str:
    name = {"json": "json_text"}.get(notation, notation)
    written: str = import_module(f"rolecall.inventory.writers.{name}").change(text, change)
    return written


def data_of(notation: str, text: str) -> Data:
    read: Data = READERS[notation].read(text, FILES[notation]).data
    return read


@st.composite
def changes(draw: st.DrawFn, data: Data) -> Change:
    places = paths(data)
    kind = draw(st.sampled_from(["set", "unset", "add", "add"] if places else ["add"]))
    if kind == "unset":
        return Unset(draw(st.sampled_from(places)))
    if kind == "set":
        return Set(draw(st.sampled_from(places)), draw(values))
    containers: list[Keys] = [(), *(path for path in places if isinstance(find(data, path), dict | list))]
    above = draw(st.sampled_from(containers))
    inside = find(data, above)
    if isinstance(inside, list):
        return Set((*above, len(inside)), draw(values))
    below = draw(st.lists(names | texts, min_size=1, max_size=3).filter(lambda keys: keys[0] not in inside))
    return Set((*above, *below), draw(values))


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, str, Data]:
    """A notation, a text in it, and what that says."""
    notation = draw(st.sampled_from(list(FILES)))
    style = draw(st.sampled_from(["ours", "theirs", "ours"]))
    data, remarks = draw(commented()) if style == "ours" and notation != "json" else (draw(inventories()), Comments())
    if style == "ours":
        return notation, printed(notation, data, remarks), data
    if notation == "toml":
        return notation, top(as_toml, data), data
    if notation == "yaml":
        return notation, as_yaml(data), data
    return notation, json.dumps(data, indent=draw(st.sampled_from([None, 1, 4, "\t"]))), data


@given(documents(), st.data())
@settings(suppress_health_check=SLOW)
def test_changed_text_has_the_changed_data(document: tuple[str, str, Data], choice: st.DataObject) -> None:
    notation, text, data = document
    assert same(data_of(notation, text), data)
    for _ in range(choice.draw(st.integers(1, 3))):
        change = choice.draw(changes(data))
        data = apply(data, change)
        text = changed(notation, text, change)
        assert same(data_of(notation, text), data)


def notes(notation: str, text: str) -> list[str]:
    return [part.strip() for _, _, note in READERS[notation].comments(text) for part in note.split("; ")]


@given(documents(), st.data())
@settings(suppress_health_check=SLOW)
def test_comments_stay_where_nothing_changes(document: tuple[str, str, Data], choice: st.DataObject) -> None:
    notation, text, data = document
    before = notes(notation, text)
    change = choice.draw(changes(data))
    lost = Counter(before) - Counter(notes(notation, changed(notation, text, change)))
    if isinstance(change, Set) and not has(data, change.keys):
        assert not lost
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / FILES[notation]
        file.write_text(text, newline="")
        found = comments(file, ())
    below = [
        line
        for keys, lines in (*found.above.items(), *found.behind.items())
        if keys[: len(change.keys)] == change.keys
        for line in lines
    ]
    assert not lost - Counter(part.strip() for line in below for part in line.split("; ")), (text, change)


@given(documents(), st.data())
@settings(suppress_health_check=SLOW)
def test_adding_and_removing_keeps_the_rest(document: tuple[str, str, Data], choice: st.DataObject) -> None:
    notation, text, data = document
    above = choice.draw(st.sampled_from([(), *(path for path in paths(data) if isinstance(find(data, path), dict))]))
    key = (*above, choice.draw(names.filter(lambda name: name not in find(data, above))))
    if not find(data, above):
        return  # an empty table may be written as another kind of table
    there = changed(notation, text, Set(key, choice.draw(values)))
    after = changed(notation, there, Unset(key))
    assert not Counter(lines(text)) - Counter(lines(after))  # of TOML a header may stay that nothing needs


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


# As people write.
BY_HAND = [
    ("yaml", """\
%YAML 1.2
---
machines:
  jon:
    description: |
      several
      lines

    tags:
      # why
      - a
      # and b
      - b

  sara: {}
...
"""),
    ("yaml", """\
# top
machines:
    jon:   {tags: [a,
             b],   # split
            description: "x # no comment"}
    'sara x':
        tags: ["q"]

tags:
    t:
    - jon

    # end of t
    u: [ ]
    v: { }
# tail
"""),
    ("yaml", """\
machines: {
  jon: {},
  sara: {
    tags: [a, b],
  },
}
lists:
- a: 1
  b: >-
    folded
    text
- - x
  - "a\\
    b"
- ? long
  : ~
"""),
    ("yaml", "machines:\n\n  jon:\n\n    tags: [a]\n\n\n  # last\n"),
    ("toml", """\
machines.jon.tags = ["a", # one
  "b", # two
] # end
"machines" . 'sara' = { tags = [ ], description = \"\"\"
x
\"\"\" }
[ instances . backup ]
module.name = "b" # m

[instances."backup".roles.client]

# tail
"""),
    ("toml", """\
[machines]
jon.tags = ["a"]
jon.description = "d"
sara = {}

  [machines.rob] # indented
  tags = [
    "a",
    # none
    "b"
  ]

[tags]
"""),
    ("toml", "[machines.jon]\n# inside, empty\n\n[machines.sara]\n# inside 2"),
    ("json", """\
{
\t"machines": {
\t\t"jon": { "tags": [ "a", "b" ] },
\t\t"sara": {

\t\t}
\t},
\t"x": [
\t],
\t"n": -1.5E+3
}"""),
    ("json", '{ "a" : { "b" : [ { "c" : null } , [ ] ] } }\n'),
]  # fmt: skip


@pytest.mark.parametrize(("notation", "text"), BY_HAND)
def test_every_place_of_what_people_write_can_be_changed(notation: str, text: str) -> None:
    data = data_of(notation, text)
    values: list[object] = ["x", ["p", "q"], {"k": {"l": [1]}}, {}]
    changes: list[Change] = []
    for path in [(), *paths(data)]:
        changes += [Unset(path), *(Set(path, value) for value in values)] if path else []
        inside = find(data, path)
        if isinstance(inside, dict) or inside is None:
            changes += [*(Set((*path, "new"), value) for value in values), Set((*path, "a b", "deep"), 1)]
        if isinstance(inside, list):
            changes += [Set((*path, len(inside)), value) for value in values]
    for change in changes:
        after = changed(notation, text, change)
        assert same(data_of(notation, after), apply(data, change)), change
        if isinstance(change, Set) and not has(data, change.keys):
            lost = [line for line in difflib.ndiff(text.splitlines(), after.splitlines()) if line.startswith("- ")]
            assert len(lost) <= 1, change
