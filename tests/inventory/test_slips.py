"""The faults of the slips that people make most often."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import FaultsOf, Load

CASES = """\
machines = {a.tags = ['Web'], b.tags = ['web', 'Web', 'ALL']}
[instances]
X = {}
x = {}
[vars]
y = {}
Y = {}
"""
ROLE = "[machines.a]\n[instances.b.roles.client]\n"

SLIPS = [
    # In the wrong table
    ("toml", "[machines.a]\ntargetHost = 'a'", """\
error: unknown key 'targetHost'
  at inventory.toml:2:1 machines.a.targetHost
hint: did you mean `deploy.targetHost`?"""),
    ("toml", "[machines.a.deploy]\ntags = []", """\
error: unknown key 'tags'
  at inventory.toml:2:1 machines.a.deploy.tags
hint: did you mean `machines.a.tags`?"""),
    ("toml", "name = 'home'", """\
error: unknown key 'name'
  at inventory.toml:1:1 name
hint: did you mean `meta.name`?"""),
    ("toml", "[instances.b.settings]", """\
error: unknown key 'settings'
  at inventory.toml:1:14 instances.b.settings
hint: did you mean `roles.ROLE.settings`?"""),
    ("toml", "[instances.b.roles.client.module]", """\
error: unknown key 'module'
  at inventory.toml:1:27 instances.b.roles.client.module
hint: did you mean `instances.b.module`?"""),
    ("toml", ROLE + "keep.daily = 1", """\
error: unknown key 'keep'
  at inventory.toml:3:1 instances.b.roles.client.keep
hint: write a setting of the service as `settings.keep`"""),
    ("toml", ROLE + "machines.a.keep.daily = 1\ntags.x.keep = 1", """\
error: unknown key 'keep'
  at inventory.toml:3:12 instances.b.roles.client.machines.a.keep
hint: write a setting of the service as `settings.keep`
error: unknown key 'keep'
  at inventory.toml:4:8 instances.b.roles.client.tags.x.keep
hint: write a setting of the service as `settings.keep`"""),
    ("toml", ROLE + "setings.a = 1", """\
error: unknown key 'setings'
  at inventory.toml:3:1 instances.b.roles.client.setings
hint: did you mean 'settings'?"""),
    # A list of tags beside a table of them
    ("toml", ROLE + "tags = ['x']\ntags.x.settings.a = 1", """\
error: 'instances.b.roles.client.tags.x.settings' is set inside a value that is already complete
  at inventory.toml:4:22
hint: remove one of the two; to give a tag settings, write it as a table: `tags.NAME.settings`"""),
    ("toml", ROLE + "tags = ['x']\n[instances.b.roles.client.tags.x]", """\
error: 'instances.b.roles.client.tags.x' is set twice
  at inventory.toml:4:33
hint: remove one of the two; to give a tag settings, write it as a table: `tags.NAME.settings`"""),
    ("yaml", "a:\n  tags: [x]\n  tags: {x: {}}", """\
error: 'tags' is set twice
  at inventory.yaml:3:3
hint: remove one of the two; to give a tag settings, write it as a table: `tags.NAME.settings`"""),
    ("json", '{"tags": [], "tags": {}}', """\
error: 'tags' is set twice
  at inventory.json:1:14
hint: remove one of the two; to give a tag settings, write it as a table: `tags.NAME.settings`"""),
    ("py", "inventory = {'tags': [], 'tags': {}}", """\
error: 'tags' is set twice
  at inventory.py:1:26
hint: remove one of the two; to give a tag settings, write it as a table: `tags.NAME.settings`"""),
    # Signs that mean something in YAML
    ("yaml", "exclude: [*.tmp]", """\
error: YAML: found undefined alias '.tmp'
  at inventory.yaml:1:11
hint: put text that starts with `*` in quotes: "*.tmp" (`*` starts an alias)"""),
    ("yaml", "startAt: *-*-* 03:00:00", """\
error: YAML: found undefined alias '-*-*'
  at inventory.yaml:1:10
hint: put text that starts with `*` in quotes: "*-*-*" (`*` starts an alias)"""),
    ("yaml", "a: *", """\
error: YAML: while scanning an alias expected alphabetic or numeric character, but found '\\x00'
  at inventory.yaml:1:5
hint: put text that starts with `*` in quotes: "*" (`*` starts an alias)"""),
    ("yaml", "a: @home", """\
error: YAML: while scanning for the next token found character '@' that cannot start any token
  at inventory.yaml:1:4
hint: put text that starts with `@` in quotes"""),
    ("yaml", "machines:\n  a:\n    tags: [x]\n     description: y", """\
error: YAML: while parsing a block mapping expected <block end>, but found '<block mapping start>'
  at inventory.yaml:4:6
hint: indent this line like the others of its table, and check the lines above it"""),
    ("yaml", "machines:\n  a:\n     tags: [x]\n    description: y", """\
error: YAML: while parsing a block mapping expected <block end>, but found '<block mapping start>'
  at inventory.yaml:4:5
hint: indent this line like the others of its table, and check the lines above it"""),
    ("yaml", "machines:\n- a\n- b", """\
error: expected a table, found a list
  at inventory.yaml:1:1 machines
hint: write each name as a key; its value is a table, which may be empty"""),
    # Names that differ only in case
    ("toml", "[machines.jon]\n[machines.Jon]\n[machines.JON]", """\
error: the machines 'jon' and 'Jon' differ only in case
  at inventory.toml:2:11 machines.Jon
hint: rename one of them; if they are the same, use one spelling
error: the machines 'jon' and 'JON' differ only in case
  at inventory.toml:3:11 machines.JON
hint: rename one of them; if they are the same, use one spelling"""),
    ("toml", CASES, """\
error: the instances 'X' and 'x' differ only in case
  at inventory.toml:4:1 instances.x
hint: rename one of them; if they are the same, use one spelling
error: the vars 'y' and 'Y' differ only in case
  at inventory.toml:7:1 vars.Y
hint: rename one of them; if they are the same, use one spelling
error: the tags 'Web' and 'web' differ only in case
  at inventory.toml:1:41 machines.b.tags[0]
hint: rename one of them; if they are the same, use one spelling
error: the tags 'all' and 'ALL' differ only in case
  at inventory.toml:1:55 machines.b.tags[2]
hint: rename one of them; if they are the same, use one spelling"""),
    ("toml", "[machines.jon]\n[tags]\nx = ['JON']", """\
error: machine 'JON' does not exist
  at inventory.toml:3:6 tags.x[0]
hint: did you mean 'jon'?"""),
    # Empty names
    ("toml", "[instances.closed.module]\nname = ''\ninput = ''", """\
error: 'name' is empty
  at inventory.toml:2:1 instances.closed.module.name
hint: write a name, or remove the key
error: 'input' is empty
  at inventory.toml:3:1 instances.closed.module.input
hint: write a name, or remove the key"""),
    # What no file, argument or unit can hold
    ("yaml", 'machines: {a: {description: "x\\0y"}}', """\
error: the string contains a NUL character
  at inventory.yaml:1:16 machines.a.description
hint: use only strings, numbers, true, false, lists and tables; put dates in quotes"""),
]  # fmt: skip


@pytest.mark.parametrize(("notation", "text", "expected"), SLIPS)
def test_a_slip(faults_of: FaultsOf, notation: str, text: str, expected: str) -> None:
    assert faults_of(text, f"inventory.{notation}") == expected


@pytest.mark.parametrize(
    "domain",
    [
        *("", "-a", "a-", "a.", ".a", "a..b", "a" * 64, "bücher.de", "home example\nX=1", "a_b", "Home.example", "a/b"),
        *("a b", "${x}", "a:1", "a.b-", "a\n", ".".join(["a" * 62] * 4)),
    ],
)
def test_what_is_not_a_domain(faults_of: FaultsOf, domain: str) -> None:
    lines = faults_of(f"meta: {{domain: {json.dumps(domain, ensure_ascii=False)}}}", "inventory.yaml").split("\n")
    assert lines[0].startswith("error: invalid domain name ")
    assert lines[1:] == [
        "  at inventory.yaml:1:8 meta.domain",
        "hint: use labels of a to z, 0 to 9 and `-`, separated by dots, such as home.example",
    ]


@pytest.mark.parametrize("domain", ["home", "home.example", "a-b.c1.example", "xn--bcher-kva.de", "1.a", "a" * 63])
def test_what_is_a_domain(loading: Load, domain: str) -> None:
    assert loading(f"meta.domain = '{domain}'", "inventory.toml").inventory.meta.domain == domain


UNLIKE = {
    "instances.b.roles.r.tags": ('{"x": {}}', "['x']", "a list", "a table"),
    "tags.x": ("[]", "{machines = ['a']}", "a table", "a list"),
    "machines": ('["x"]', "{a = {}}", "a table", "a list"),
    "machines.a.deploy": ("5", "{user = 'me'}", "a table", "the number 5"),
    "instances.b.roles.r.settings.v": ("[]", "{}", "", ""),  # the service's model says what fits
}


@pytest.mark.parametrize("place", UNLIKE)
def test_a_table_in_one_file_alone_is_a_fault(faults_of: FaultsOf, place: str) -> None:
    """Joined, what one of the files declares would be lost: members of a role, or tags of a machine."""
    tools, own, here, there = UNLIKE[place]
    for key in reversed(place.split(".")):
        tools = f'{{"{key}": {tools}}}'
    text = f"{place} = {own}\nunknown = 1\n"
    faults = faults_of(text, "inventory.toml", json=tools)
    expected = f"error: expected {there}, as in another file, found {here}\n  at inventory.toml:1:"
    assert (expected in faults) == bool(here)
    assert ("in another file" in faults) == bool(here)
