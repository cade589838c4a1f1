# ruff: noqa: E501 - one case stays one line
"""Bad inventories, each against the exact words that a person gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Load, Said

CASES = [
    (
        "inventory.py",
        'x = {"a": 1,\n "b": {"é": 1, "é": 2}, "a": 2}\ninventory = {}\n',
        (
            "error: `a` is set twice\n"
            "  at inventory.py:2:25\n"
            "hint: remove one of the two\n"
            "error: `é` is set twice\n"
            "  at inventory.py:2:16\n"
            "hint: remove one of the two"
        ),
    ),
    (
        "inventory.toml",
        '[machines.jon]\ntags=["a b"]\ntagz=1\ninstalledAt="x"\n[machines."../x"]\n[tags]\nlinux=["x"]\nweb=["jn"]\n[instances.b.roles.c]\ntags=[1]\nsettings=3\n',
        (
            "error: invalid tag name `a b`\n"
            "  at inventory.toml:2:7 machines.jon.tags[0]\n"
            "hint: names are letters, digits, `_` and `-`, do not start with `-`, and have 1 to 63 characters\n"
            'error: expected a whole number, found the text "x"\n'
            "  at inventory.toml:4:1 machines.jon.installedAt\n"
            "error: unknown key `tagz`\n"
            "  at inventory.toml:3:1 machines.jon.tagz\n"
            "hint: did you mean 'tags'?\n"
            "error: invalid machine name `../x`\n"
            '  at inventory.toml:5:11 machines."../x"\n'
            "hint: names are letters, digits, `_` and `-`, do not start with `-`, and have 1 to 63 characters\n"
            "error: expected a table, found a list\n"
            "  at inventory.toml:10:1 instances.b.roles.c.tags\n"
            "hint: write each name as a key, with a table behind it that may be empty\n"
            "error: expected a table, found the number 3\n"
            "  at inventory.toml:11:1 instances.b.roles.c.settings\n"
            "error: the tag `linux` is computed\n"
            "  at inventory.toml:7:1 tags.linux\n"
            "hint: every machine of the class `linux` has it without being listed; remove it\n"
            "error: machine `jn` does not exist\n"
            "  at inventory.toml:8:6 tags.web[0]\n"
            "hint: did you mean 'jon'?"
        ),
    ),
    (
        "inventory.toml",
        "[machines.jon]\na = \n",
        ('error: TOML: invalid value\n  at inventory.toml:2:5\nhint: a text stands in quotes: name = "value"'),
    ),
    (
        "inventory.toml",
        "[machines.jon]\na = 1979-05-27\n[machines.jon]\n",
        ("error: `machines.jon` is set twice\n  at inventory.toml:3:14\nhint: remove one of the two"),
    ),
    (
        "inventory.toml",
        "a = 1979-05-27\nb=nan\n",
        (
            "error: a date is not data\n"
            "  at inventory.toml:1:1 a\n"
            "hint: write texts, numbers, true, false, lists and tables; put a date in quotes\n"
            "error: nan is not a number in JSON\n"
            "  at inventory.toml:2:1 b\n"
            "hint: write texts, numbers, true, false, lists and tables; put a date in quotes"
        ),
    ),
    (
        "inventory.yaml",
        "machines:\n  jon:\n  jon: {}\n",
        ("error: `jon` is set twice\n  at inventory.yaml:3:3\nhint: remove one of the two"),
    ),
    (
        "inventory.yaml",
        "machines:\n  1: {}\n  jon: {x: !foo 3}",
        (
            "error: YAML: could not determine a constructor for the tag '!foo'\n"
            "  at inventory.yaml:3:12\n"
            "hint: remove the tag (`!…`); an inventory is plain data"
        ),
    ),
    (
        "inventory.yaml",
        'machines:\n  1: {}\n  jon: {description: 2020-01-01, tags: [all, "é", 3]}',
        ("error: the key `1` is not a text\n  at inventory.yaml:2:3 machines.1\nhint: put it in quotes"),
    ),
    (
        "inventory.yaml",
        "a: [1\nb: 2",
        ("error: YAML: while parsing a flow sequence expected ',' or ']', but got ':'\n  at inventory.yaml:2:2"),
    ),
    (
        "inventory.yaml",
        "a: &a [*a]",
        ("error: nested deeper than 100 levels\n  at inventory.yaml\nhint: does it contain itself?"),
    ),
    (
        "inventory.yaml",
        "a:\n\t- b",
        (
            "error: YAML: while scanning for the next token found character '\\t' that cannot start any token\n"
            "  at inventory.yaml:2:1\n"
            "hint: YAML is indented with spaces, never with tabs"
        ),
    ),
    (
        "inventory.json",
        '{"machines": {"jon": {}, "jon": {}}}',
        ("error: `jon` is set twice\n  at inventory.json:1:26\nhint: remove one of the two"),
    ),
    (
        "inventory.json",
        '{"machines": {"jon": {},}}',
        (
            "error: JSON: expecting property name enclosed in double quotes\n"
            "  at inventory.json:1:25\n"
            "hint: keys stand in double quotes, and no comma follows the last entry"
        ),
    ),
    (
        "inventory.json",
        '{"machines": {"jon\\u0000": {"é": 1}}}',
        (
            "error: invalid machine name `jon\\x00`\n"
            '  at inventory.json:1:15 machines."jon\\x00"\n'
            "hint: names are letters, digits, `_` and `-`, do not start with `-`, and have 1 to 63 characters\n"
            "error: unknown key `é`\n"
            '  at inventory.json:1:29 machines."jon\\x00".é\n'
            "hint: keys there are: deploy, description, formerly, installedAt, machineClass, platform, state, tags"
        ),
    ),
    (
        "inventory.py",
        'inventory = {"machines": {"jon": {"tagz": 1}}}',
        ("error: unknown key `tagz`\n  at inventory.py:1:35 machines.jon.tagz\nhint: did you mean 'tags'?"),
    ),
    ("inventory.py", "x=1/0", ("error: this file failed: ZeroDivisionError: division by zero\n  at inventory.py:1")),
    (
        "inventory.py",
        "inventory={'a': (1,)}",
        (
            "error: a Python tuple is not data\n"
            "  at inventory.py:1:12 a\n"
            "hint: write texts, numbers, true, false, lists and tables; put a date in quotes"
        ),
    ),
    (
        "inventory.nix",
        "{ a = 1 }",
        (
            "error: `;` is missing after this value\n"
            "  at inventory.nix:1:8\n"
            "hint: every entry ends with `;`: `name = value;`"
        ),
    ),
    (
        "inventory.nix",
        "{ a = 1\n b = 2; }",
        (
            "error: `;` is missing after this value\n"
            "  at inventory.nix:1:8\n"
            "hint: every entry ends with `;`: `name = value;`"
        ),
    ),
    (
        "inventory.nix",
        "{ a: 1; }",
        ("error: `:` after `a`\n  at inventory.nix:1:4\nhint: Nix puts `=` between a name and its value: `a = …;`"),
    ),
    (
        "inventory.nix",
        "{ a = [ 1, 2 ]; }",
        ('error: a `,` in a list\n  at inventory.nix:1:10\nhint: Nix separates list items by spaces: `[ "a" "b" ]`'),
    ),
    (
        "inventory.nix",
        "{ a = [ 1; }",
        ("error: `;` inside the list that opens on line 1\n  at inventory.nix:1:10\nhint: close the list with `]`"),
    ),
    (
        "inventory.nix",
        '{ a = "x; }',
        ('error: this text is never closed\n  at inventory.nix:1:7\nhint: end it with `"`'),
    ),
    (
        "inventory.nix",
        "{ a = { b = 1; ",
        ("error: this `{` is never closed\n  at inventory.nix:1:7\nhint: close it with `}`"),
    ),
    (
        "inventory.nix",
        '{ machines.jon = { tags = [ "x" ]; tags = []; }; }',
        (
            "error: `tags` is set twice\n"
            "  at inventory.nix:1:36\n"
            "hint: it is set on line 1 already; remove one of the two"
        ),
    ),
    (
        "inventory.nix",
        "let a = b; b = a; in { x = a; }",
        ("error: this value needs itself\n  at inventory.nix:1:5\nhint: break the circle of names"),
    ),
    (
        "inventory.nix",
        "rec { a = { b = a; }; }",
        ("error: this table contains itself\n  at inventory.nix:1:13\nhint: break the circle of names"),
    ),
    (
        "inventory.nix",
        "{ a = 1 + 2; }",
        (
            "error: the operator `+` is not data\n"
            "  at inventory.nix:1:9\n"
            "hint: the inventory is read without Nix: write the value itself, or have Nix evaluate the file: `rolecall --nix …`"
        ),
    ),
    (
        "inventory.nix",
        "{ a = if 1 < 2 then 1 else 2; }",
        (
            "error: the operator `<` is not data\n"
            "  at inventory.nix:1:12\n"
            "hint: the inventory is read without Nix: write the value itself, or have Nix evaluate the file: `rolecall --nix …`"
        ),
    ),
    (
        "inventory.nix",
        "{ a = import ./x; }",
        (
            "error: the file `./x` does not exist\n"
            "  at inventory.nix:1:14\n"
            "hint: paths count from the file that names them"
        ),
    ),
    (
        "inventory.nix",
        "{ lib, pkgs, ... }: { a = pkgs.hello; }",
        (
            "error: `pkgs.hello` is not data\n"
            "  at inventory.nix:1:27\n"
            "hint: the inventory is read without Nix: write the value itself"
        ),
    ),
    (
        "inventory.nix",
        "{ a = x: x; }",
        (
            "error: a function is not data\n"
            "  at inventory.nix:1:7\n"
            "hint: the inventory is read without Nix: write the value itself"
        ),
    ),
    (
        "inventory.nix",
        "with lib; { a = fakeHash; }",
        (
            "error: `lib.fakeHash` is not data\n"
            "  at inventory.nix:1:17\n"
            "hint: the inventory is read without Nix: write the value itself"
        ),
    ),
    (
        "inventory.nix",
        "{ a = foo; }",
        ('error: `foo` is not defined\n  at inventory.nix:1:7\nhint: a text stands in quotes: "foo"'),
    ),
    (
        "inventory.nix",
        "{ a = b 1; }",
        ('error: `b` is not defined\n  at inventory.nix:1:7\nhint: a text stands in quotes: "b"'),
    ),
    (
        "inventory.nix",
        '{ a = "b" 1; }',
        (
            "error: two values stand side by side\n"
            "  at inventory.nix:1:11\n"
            "hint: `;` ends an entry; lists stand in `[ ]`"
        ),
    ),
    (
        "inventory.nix",
        "{ instances.a.roles.x.settings = { p = lib.mkForce [ 1 ]; q = lib.mkOverride 5 2; r.s = -1; t = (-1.5); u = ./x; v = ''\n  a\n    b ${\"c\"}\n  ''; }; meta.name = 5; }",
        ("error: expected a text, found the number 5\n  at inventory.nix:4:15 meta.name"),
    ),
    (
        "inventory.nix",
        "}",
        (
            "error: expected a value, found `}`\n"
            "  at inventory.nix:1:1\n"
            "hint: write a value before it; nothing is `null`, an empty table is `{}`"
        ),
    ),
    ("inventory.nix", "", ("error: expected a value, found the end of the file\n  at inventory.nix:1:1")),
    (
        "inventory.nix",
        "{}; {}",
        (
            "error: `;` after the end of the file's one value\n"
            "  at inventory.nix:1:3\n"
            "hint: a file is one value: put everything between one `{` and its `}`"
        ),
    ),
    (
        "inventory.nix",
        "1",
        (
            "error: expected a table: the inventory, or `{ inventory = …; }`\n"
            "  at inventory.nix:1:1\n"
            "hint: write `{ … }`"
        ),
    ),
    (
        "inventory.nix",
        "{ a = [ -1 ]; }",
        ("error: a sign in a list\n  at inventory.nix:1:9\nhint: put a negative number in parentheses: `[ (-1) ]`"),
    ),
    (
        "inventory.nix",
        "{ a = ''x; }",
        ("error: this text is never closed\n  at inventory.nix:1:7\nhint: end it with `''`"),
    ),
    (
        "inventory.nix",
        "{ /* x",
        ("error: this comment is never closed\n  at inventory.nix:1:3\nhint: end it with `*/`"),
    ),
    (
        "inventory.nix",
        "{ a = 1; ]",
        ("error: `]` before the `{` of line 1 is closed\n  at inventory.nix:1:10\nhint: close it with `}` first"),
    ),
    (
        "inventory.nix",
        "{ clan = {}; }",
        ("error: `clan` has no `inventory`\n  at inventory.nix\nhint: write it as `clan.inventory`"),
    ),
    (
        "inventory.nix",
        "{ a = ; }",
        (
            "error: expected a value, found `;`\n"
            "  at inventory.nix:1:7\n"
            "hint: write a value before it; nothing is `null`, an empty table is `{}`"
        ),
    ),
    ("inventory.nix", "{ a; }", ("error: `a` has no value\n  at inventory.nix:1:4\nhint: write `a = …;`")),
    (
        "inventory.nix",
        "{ a.b. = 1; }",
        ("error: expected a name, found `=`\n  at inventory.nix:1:8\nhint: names stand between the dots: `a.b.c`"),
    ),
    (
        "inventory.nix",
        "{ if = 1; }",
        (
            "error: expected a name, found `if`\n"
            "  at inventory.nix:1:3\n"
            'hint: a name that is a word of the language stands in quotes: "if"'
        ),
    ),
    (
        "inventory.nix",
        "{ a = '{'; }",
        ('error: `\'` has no meaning here\n  at inventory.nix:1:7\nhint: a text stands in double quotes: "text"'),
    ),
    (
        "inventory.nix",
        "{ a = { b = 1; ;}; }",
        ("error: expected a name, found `;`\n  at inventory.nix:1:16\nhint: remove it; one `;` ends each entry"),
    ),
    (
        "inventory.nix",
        "{ a = ( 1 ; }",
        ("error: expected `)`, found `;`\n  at inventory.nix:1:11\nhint: `(` on line 1 needs it"),
    ),
    (
        "inventory.nix",
        "{ inherit foo; }",
        ('error: `foo` is not defined\n  at inventory.nix:1:11\nhint: a text stands in quotes: "foo"'),
    ),
    (
        "inventory.nix",
        '{ a = "${baseNameOf ./x}"; }',
        (
            "error: a call of `baseNameOf` is not data\n"
            "  at inventory.nix:1:10\n"
            "hint: the inventory is read without Nix: write the value itself, or have Nix evaluate the file: `rolecall --nix …`"
        ),
    ),
    (
        "inventory.nix",
        "{ if = 1; }",
        (
            "error: expected a name, found `if`\n"
            "  at inventory.nix:1:3\n"
            'hint: a name that is a word of the language stands in quotes: "if"'
        ),
    ),
    (
        "inventory.nix",
        "{ a.b.c = 1; a.b = 2; }",
        ("error: `b` is set twice\n  at inventory.nix:1:16\nhint: it is set on line 1 already; remove one of the two"),
    ),
    (
        "inventory.nix",
        "{ machines.jon.tagz = []; }",
        ("error: unknown key `tagz`\n  at inventory.nix:1:16 machines.jon.tagz\nhint: did you mean 'tags'?"),
    ),
    (
        "inventory.nix",
        '{ machines."a.b" = {}; machines."-rf" = {}; machines."" = {}; machines.".." = {}; }',
        (
            "error: invalid machine name `a.b`\n"
            '  at inventory.nix:1:12 machines."a.b"\n'
            "hint: names are letters, digits, `_` and `-`, do not start with `-`, and have 1 to 63 characters\n"
            "error: invalid machine name `-rf`\n"
            "  at inventory.nix:1:33 machines.-rf\n"
            "hint: names are letters, digits, `_` and `-`, do not start with `-`, and have 1 to 63 characters\n"
            "error: invalid machine name ``\n"
            '  at inventory.nix:1:54 machines.""\n'
            "hint: names are letters, digits, `_` and `-`, do not start with `-`, and have 1 to 63 characters\n"
            "error: invalid machine name `..`\n"
            '  at inventory.nix:1:72 machines.".."\n'
            "hint: names are letters, digits, `_` and `-`, do not start with `-`, and have 1 to 63 characters"
        ),
    ),
    (
        "inventory.nix",
        '{ instances."a\\nb" = {}; tags.web = [ "x/y" ]; }',
        (
            "error: invalid machine name `x/y`\n"
            "  at inventory.nix:1:39 tags.web[0]\n"
            "hint: names are letters, digits, `_` and `-`, do not start with `-`, and have 1 to 63 characters\n"
            "error: invalid instance name `a\\nb`\n"
            '  at inventory.nix:1:13 instances."a\\nb"\n'
            "hint: names are letters, digits, `_` and `-`, do not start with `-`, and have 1 to 63 characters"
        ),
    ),
    (
        "inventory.nix",
        '{ machines.jon = { tags = [ "mac" ]; deploy.targetHost = 3; }; machines.a.machineClass = "mac"; }',
        (
            "error: expected a text, found the number 3\n"
            "  at inventory.nix:1:45 machines.jon.deploy.targetHost\n"
            "error: the tag `mac` is computed\n"
            "  at inventory.nix:1:29 machines.jon.tags[0]\n"
            "hint: every machine of the class `mac` has it without being listed; remove it"
        ),
    ),
    (
        "inventory.nix",
        '{ instances.a.roles."é".machines.jon = 1; }',
        (
            "error: invalid role name `é`\n"
            "  at inventory.nix:1:21 instances.a.roles.é\n"
            "hint: names are letters, digits, `_` and `-`, do not start with `-`, and have 1 to 63 characters\n"
            "error: expected a table, found the number 1\n"
            "  at inventory.nix:1:34 instances.a.roles.é.machines.jon"
        ),
    ),
    (
        "inventory.nix",
        "{ machines.jon.state.x = { }; }",
        ("error: `folders` is missing\n  at inventory.nix:1:22 machines.jon.state.x.folders"),
    ),
    ("inventory.nix", "{ clan = 1; }", ("error: expected a table here\n  at inventory.nix:1:3\nhint: write `{ … }`")),
    (
        "inventory.nix",
        "{ lib, ... }: { a = lib.mkForce; }",
        ("error: `lib.mkForce` lacks its value\n  at inventory.nix:1:17\nhint: write `lib.mkForce (value)`"),
    ),
    (
        "inventory.nix",
        '{ machines = [ "jon" ]; }',
        (
            "error: expected a table, found a list\n  at inventory.nix:1:3 machines\n"
            "hint: write each name as a key, with a table behind it that may be empty"
        ),
    ),
    (
        "inventory.toml",
        "[machines.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]\n",
        (
            "error: invalid machine name `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…`\n"
            "  at inventory.toml:1:11 machines.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n"
            "hint: names are letters, digits, `_` and `-`, do not start with `-`, and have 1 to 63 characters"
        ),
    ),
    (
        "inventory.toml",
        "a = {b = 1, b = 2}\n",
        ("error: `b` is set twice\n  at inventory.toml:1:18\nhint: remove one of the two"),
    ),
    (
        "inventory.toml",
        "inventory.machines.jon = {}\nmachnes = 1\n",
        (
            "error: `machnes` stands beside `inventory`\n"
            "  at inventory.toml:2:1 machnes\n"
            "hint: move it into the inventory"
        ),
    ),
    (
        "inventory.toml",
        "x = [1,\n",
        ('error: TOML: invalid value\n  at inventory.toml:2:1\nhint: a text stands in quotes: name = "value"'),
    ),
    (
        "inventory.py",
        "x = 1\n",
        ("error: this file sets no `inventory`\n  at inventory.py\nhint: write `inventory = {…}` at the top level"),
    ),
    (
        "inventory.json",
        '{"a": 1e999, "b": 123456789012345678901234567890}',
        (
            "error: inf is not a number in JSON\n"
            "  at inventory.json:1:2 a\n"
            "hint: write texts, numbers, true, false, lists and tables; put a date in quotes\n"
            "error: a number of more than 64 bits\n"
            "  at inventory.json:1:14 b\n"
            "hint: write texts, numbers, true, false, lists and tables; put a date in quotes"
        ),
    ),
    ("inventory.yaml", "- a\n", ("error: expected a table, found a list\n  at inventory.yaml")),
]


@pytest.mark.parametrize(("name", "text", "message"), CASES, ids=[f"{name}: {text[:40]}" for name, text, _ in CASES])
def test_the_fault_says(name: str, text: str, message: str, said: Said) -> None:
    assert said(text, name) == message


def test_the_table_is_long() -> None:
    assert len({(name, text) for name, text, _ in CASES}) >= 70  # and tests/evaluate/faults.txt has as many more


def test_two_inventories(said: Said) -> None:
    assert said("", "inventory.toml", yaml="") == (
        "error: two inventories: inventory.toml and inventory.yaml\n  at inventory.yaml\nhint: keep one of them"
    )


def test_faults_of_all_files_come_together(said: Said) -> None:
    message = said("[machines.jon]\ntagz = []\n", "inventory.toml", json="{")
    assert "inventory.toml:2:1 machines.jon.tagz" in message
    assert "inventory.json:1:2" in message


def test_the_persons_value_wins_and_is_the_place(loading: Load, said: Said, tmp_path: Path) -> None:
    tools = '{"machines": {"jon": {"description": "b", "tags": ["x"]}, "sara": {}}}'
    (tmp_path / "machines" / "erik").mkdir(parents=True)
    loaded = loading('[machines.jon]\ndescription = "a"\n', "inventory.toml", json=tools)
    assert {name: (each.description, each.tags) for name, each in loaded.inventory.machines.items()} == {
        "jon": ("a", ["x"]),
        "sara": ("", []),
        "erik": ("", []),
    }
    assert "inventory.toml:2:1" in said("[machines.jon]\ndescription = 1\n", "inventory.toml", json=tools)
    wrong = '{"machines": {"jon": {"platform": 1}}}'
    assert "inventory.json:1:23" in said('[machines.jon]\ndescription = "a"\n', "inventory.toml", json=wrong)


def test_nix_values(loading: Load) -> None:
    settings = (
        loading(
            """{ lib, ... }: let v = "w"; s = { a = 1; }; in { instances.i.roles.r.settings = rec {
          force = lib.mkForce [ 1 ]; over = lib.mkOverride 5 2; after = lib.mkAfter [ ]; n = -1; f = (-1.5); p = ./x/y;
          none = null; t = "a${v}\\n$${b}\\${c}"; same = n; inherit (s) a; inherit v;
          lines = ''
            a
              ${v}
            '''q'' + 1; }; }""".replace("'' + 1", "''")
        )
        .inventory.instances["i"]
        .roles["r"]
        .settings
    )
    assert settings == {
        "force": {"_type": "override", "priority": 50, "content": [1]},
        "over": {"_type": "override", "priority": 5, "content": 2},
        "after": {"_type": "order", "priority": 1500, "content": []},
        "n": -1,
        "f": -1.5,
        "p": "./x/y",
        "none": None,
        "t": "aw\n$${b}${c}",
        "same": -1,
        "a": 1,
        "v": "w",
        "lines": "a\n  w\n''q",
    }
