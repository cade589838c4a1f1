"""Nix itself: as the judge of our own reader of its data, and where a project asks for it."""

from __future__ import annotations

import json
import math
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from notated import FLAKES, as_nix, inventories, snippets
from test_clan import FILES, HEAD, SETTINGS

from rolecall.errors import Faults
from rolecall.inventory import load
from rolecall.inventory.clan import note
from rolecall.inventory.notations import nix, nix_program
from rolecall.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [
    pytest.mark.slow,  # each case is a process of Nix's
    pytest.mark.skipif(not shutil.which("nix-instantiate"), reason="needs nix-instantiate: apt-get install nix-bin"),
]

LITERALS = r"""
number = 5; negative = -5; fraction = 1.5; small = .25; exponent = 1.5e3; large = 9223372036854775807;
minus = (-1.5e-3); list = [ 1 (-2) [ ] { } "x" ]; empty = { }; nothing = null; yes = true; no = false;
text = "a\tb\nc\rd\\e\"f\${g}h$i$$j"; dollars = "$${x}"; line = "one
  two"; apostrophes = "it's"; unicode = "é😀 "; carriage = "a\qb";
indented = ''
  first
    second

  third
''; one-line = '' a b ''; quotes = '' '''x''' ''; dollar = '' ''${x} $${y} $z ''; escape = ''a''\nb''\tc''\xd'';
indent-of-lines = ''
    four
  two
      six''; tabs = ''
__TAB__tab
__TAB__  more
''; interpolated = ''
    ${word}
  x ${word}
      ${word}y
''; blank = ''

  x

''; empty-indented = ''''; spaces-only = ''   '';
a.b.c = 1; a.b.d = 2; a.e = { f = 3; }; g = { h = 1; }; g.i = 2; "quoted name" = 1; "dots.in.name" = 2; ${word} = 3;
"${word}-x" = 4; j."k".${"l"} = 5; m' = 6; n_-o = 7; or = 8;
selected = set.x.y; parent = (set).x; inherited = { inherit word; inherit (set) x; inherit (set.x) y; inherit; };
recursive = rec { p = q; q = r.s; r = { s = word; }; inherit (r) s; };
shadowed = let word = "inner"; in { inherit word; nested = let word = "third"; in word; };
later = let b = a; a = 1; in b; ignored = let broken = 1 + "x"; in 2;
force = lib.mkForce [ 1 ]; default = lib.mkDefault "x"; override = lib.mkOverride 7 { a = 1; };
before = lib.mkBefore [ "a" ]; after = lib.mkAfter [ "b" ]; order = lib.mkOrder 3 [ "c" ];
merged = lib.mkMerge [ { a = 1; } (lib.mkIf true { b = 2; }) ];
path = ./x/y; dotted = ./x/../z; plain-path = a/b; absolute = /etc/x/../y; here = ./.;
address = https://example.org/x?y=1; commented = # a
  /* b
  c */ 1 /**/; parenthesized = ((("x"))); "" = 1; "a\nb" = 2;
"""


@pytest.fixture
def both(tmp_path: Path) -> Any:  # noqa: ANN401 - a function
    def read(text: str, name: str = "inventory.nix") -> tuple[Any, Any]:
        file = tmp_path / name
        file.write_text(text)
        return nix.read(text, file), nix_program.read(file)

    return read


FLAKE = """{
  inputs.clan-core.url = "https://git.clan.lol/clan/clan-core/archive/main.tar.gz";
  outputs = { self, clan-core, ... }:
    let clan = clan-core.lib.clan { inherit self; imports = [ ./clan.nix ]; }; in { clan = clan.config; };
}"""
SNIPPETS = [*snippets("instances.md"), *snippets("inventory.md")[1:], FLAKES[0]]  # the first one lacks a sign


@pytest.mark.parametrize("text", SNIPPETS)
def test_snippets_of_the_documents(text: str, both: Any) -> None:  # noqa: ANN401 - a function
    ours, theirs = both(text, "flake.nix" if "outputs" in text else "inventory.nix")
    assert (ours.data, ours.prefix, ours.inputs) == (theirs.data, theirs.prefix, theirs.inputs)


def test_literals(both: Any) -> None:  # noqa: ANN401 - a function
    head = '{ lib, ... }: let word = "w"; set = { x = { y = 1; }; }; in { instances.i.roles.r.settings = {'
    ours, theirs = both(f"{head}{LITERALS.replace('__TAB__', chr(9))}}}; }}")
    mine = ours.data["instances"]["i"]["roles"]["r"]["settings"]
    judged = theirs.data["instances"]["i"]["roles"]["r"]["settings"]
    assert len(mine) > 60
    assert {name: (mine[name], judged.get(name)) for name in mine if not same(mine[name], judged.get(name))} == {}
    assert mine.keys() == judged.keys()


def same(ours: object, nix: object) -> bool:
    """Whether two values are the same to the last type, but for fractions: Nix prints six digits of them."""
    if isinstance(ours, dict) and isinstance(nix, dict):
        return ours.keys() == nix.keys() and all(same(ours[key], nix[key]) for key in ours)
    if isinstance(ours, list) and isinstance(nix, list):
        return len(ours) == len(nix) and all(map(same, ours, nix))
    if isinstance(ours, float) and isinstance(nix, int | float):
        return math.isclose(ours, nix, rel_tol=1e-5)
    return type(ours) is type(nix) and ours == nix


@given(inventories())
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_random_data(both: Any, data: dict[str, Any]) -> None:  # noqa: ANN401 - a function
    ours, theirs = both(as_nix(data))
    assert ours.data == data
    assert same(data, theirs.data)


def test_a_module_has_what_it_imports(tmp_path: Path) -> None:
    file = tmp_path / "flake.nix"
    imports = 'imports = [ ./clan.nix ({ lib, ... }: { inventory.tags.web = [ "jon" ]; }) ];'
    file.write_text(FLAKES[0].replace("inherit self;", imports))
    (tmp_path / "clan.nix").write_text(
        "{ inventory.machines.sara = { }; imports = [ { inventory.machines.rob = { }; } ]; }"
    )
    source = nix_program.read(file)
    assert source.data == {"machines": {"jon": {}, "rob": {}, "sara": {}}, "tags": {"web": ["jon"]}}


FAULTS = [
    (
        FLAKES[1],
        "Nix: no output of this flake is an inventory; add it with `clan = clan.config;`",
        "",
        "",
    ),
    (
        '{ machines.jon.tags = [ (toString 5) ]; instances.i = throw "no more"; }',
        "Nix: no more",
        "",
        "",
    ),
    ("{\n  machines = nothing;\n}", "Nix: undefined variable 'nothing'", ":2:14", ""),
    ("{ machines.jon = 1", "Nix: syntax error, unexpected end of file, expecting ';'", ":1:18", ""),
    (
        '{ meta.name = builtins.substring 0 1 "é"; }',
        "Nix: a string is not valid UTF-8",
        "",
        "cut at the end of a character: `builtins.substring` counts bytes",
    ),
    ("{ instances = x: x; }", "Nix: cannot convert a function to JSON", ":1:15", ""),
    ("let f = x: f (x + 1); in { instances = f 1; }", "Nix: stack overflow (possible infinite recursion)", "", ""),
    ("rec { instances = instances; }", "Nix: infinite recursion encountered", ":1:19", ""),
    ("{ instances.i.roles.r.settings = builtins.readFile ./nothing; }", "Nix: getting status of '", "", ""),
    ('{ instances = builtins.fetchurl "http://127.0.0.1:1/"; }', "Nix: access to URI", "", ""),
    ("{ instances = builtins.readFile /etc/hosts; }", "Nix: access to", "", ""),
    (
        '{ inputs.x.url = "y"; outputs = { self, x }: { inventory.instances.i = x.foo; }; }',
        "Nix: attribute 'foo' missing",
        ":1:72",
        "copy what the inventory needs into the project: inputs of a flake are not fetched",
    ),
]


@pytest.mark.parametrize(("text", "message", "place", "hint"), FAULTS)
def test_an_error_of_nix_is_a_fault(text: str, message: str, place: str, hint: str, tmp_path: Path) -> None:
    file = tmp_path / "inventory.nix"
    file.write_text(text)
    with pytest.raises(Faults) as caught:
        load(Project(tmp_path, nix=True))
    (fault,) = caught.value.faults
    assert fault.message.startswith(message)
    assert str(fault).count("\n") == 1 + bool(hint)
    assert f"{file}{place}" == str(fault).splitlines()[1].removeprefix("  at ")
    assert fault.hint == hint


PROGRAM = """{ lib }:
let names = map (n: "web-${toString n}") [ 1 2 ]; in {
  machines = builtins.listToAttrs (map (name: { inherit name; value.tags = [ "web" ]; }) names);
  instances.i.roles.r.tags = if 1 < 2 then [ "web" ] else [ ];
  instances.i.roles.r.settings = { x = lib.mkForce (2 + 3); file = ./a; };
}"""


def test_programs_are_evaluated_if_the_project_says_so(tmp_path: Path) -> None:
    (tmp_path / "inventory.nix").write_text(PROGRAM)
    with pytest.raises(Faults, match="rolecall --nix"):
        load(Project(tmp_path))
    (tmp_path / "pyproject.toml").write_text("[tool.rolecall]\nnix = true\n")
    loaded = load(Project(tmp_path))
    assert list(loaded.inventory.machines) == ["web-1", "web-2"]
    assert loaded.inventory.instances["i"].roles["r"].settings == {
        "x": {"_type": "override", "priority": 50, "content": 5},
        "file": "./a",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.rolecall]\nnix = 1\n", "expected true or false\n  at pyproject.toml tool.rolecall.nix"),
        ("[tool.rolecall\n", "TOML: "),
    ],
)
def test_a_wrong_setting_is_a_fault(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "inventory.nix").write_text("{ }")
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(Faults) as caught:
        load(Project(tmp_path))
    assert message in str(caught.value).replace(f"{tmp_path}/", "")


def test_a_missing_nix_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "inventory.nix").write_text("{ }")
    with pytest.raises(Faults, match="`nix-instantiate` is not installed"):
        load(Project(tmp_path, nix=True))


def test_an_evaluation_without_end_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nix_program, "SECONDS", 2)
    loop = "builtins.genericClosure { startSet = [ { key = 0; } ]; operator = each: [ { key = each.key + 1; } ]; }"
    (tmp_path / "inventory.nix").write_text(f"{{ instances.i.roles.r.settings.x = builtins.length ({loop}); }}")
    with pytest.raises(Faults, match="Nix did not finish within 2 seconds"):
        load(Project(tmp_path, nix=True))


# Clan projects


@pytest.fixture
def project(tmp_path: Path) -> Callable[[dict[str, str]], Project]:
    def write(texts: dict[str, str]) -> Project:
        for name, text in texts.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return Project(tmp_path, nix=True)

    return write


WITHOUT_STORE = ('"${./keys}/a.pub"', '"${self}/keys"')  # which Nix would copy, or knows by their whole path


def test_computed_values_are_those_of_nix(project: Callable[[dict[str, str]], Project]) -> None:
    kept = [(expression, value) for expression, value in SETTINGS if expression not in WITHOUT_STORE]
    assert len(kept) > 40
    settings = "".join(f"  x{number} = {expression};\n" for number, (expression, _) in enumerate(kept))
    clan = f"{HEAD.removesuffix('.x = ')} = {{\n{settings}}}; }}"
    found = load(project({**FILES, "clan.nix": clan})).inventory.instances["a"].roles["r"].settings
    judged = {expression: (found[f"x{number}"], value) for number, (expression, value) in enumerate(kept)}
    assert {expression: pair for expression, pair in judged.items() if not same(*pair)} == {}


CLANS = {
    "clan.nix": {
        "clan.nix": """{ lib, ... }: {
          imports = [ ./more.nix ({ ... }: { inventory.machines.m4 = { }; }) ];
          meta.name = "home"; machines.m2 = { pkgs, ... }: { x = pkgs.nothing; };
          inventory = { imports = [ ./i.nix ]; machines.m1.tags = [ "a" ]; };
          inventory.instances.i.roles.r = { extraModules = [ (throw "no") ../x ]; settings.l = [ 1 ]; };
        }""",
        "more.nix": '{ meta.domain = "home.example"; inventory.machines.m1.tags = [ "b" ]; }',
        "i.nix": "{ lib, ... }: { machines.m3 = { }; instances.i.roles.r.settings.l = lib.mkForce [ 2 ]; }",
    },
    "the long form": {
        "clan.nix": "{ lib, ... }: { options = { }; config.inventory.machines.m1 = { }; imports = [ ./b.nix ]; }",
        "b.nix": '{ meta.name = "x"; }',
    },
    "a function that calls lib.clan": {
        "clan.nix": "{ inputs, ... }: inputs.clan-core.lib.clan { inventory.machines.m1 = { }; }"
    },
    "self": {
        "inventory.nix": """self: let inherit (self.inputs) clan-core; in
          clan-core.lib.clan { inventory.machines.m1 = { }; }"""
    },
    "flake-parts": {
        "flake.nix": """{
          inputs.clan-core.url = "x"; inputs.flake-parts.url = "y"; inputs.other.url = "z";
          outputs = inputs@{ flake-parts, ... }: flake-parts.lib.mkFlake { inherit inputs; } ({ withSystem, ... }: {
            imports = [ inputs.clan-core.flakeModules.default inputs.other.flakeModule ./parts.nix ];
            clan.imports = [ ./clan.nix ];
            flake = { x = withSystem "y"; };
          });
        }""",
        "parts.nix": "{ self, ... }: { flake.clan.inventory.machines.m2 = { }; perSystem = nothing: { }; }",
        "clan.nix": '{ inventory.machines.m1.tags = [ "t" ]; meta.name = "x"; }',
    },
    "flake.clan beside what comes of it": {
        "flake.nix": """{
          inputs.clan-core.url = "x";
          outputs = { self, clan-core }:
            let clan = clan-core.lib.clan { inherit self; inventory.machines.m1 = { }; };
            in { flake = { inherit (clan.config) clanInternals nixosConfigurations; clan = clan.config; }; };
        }"""
    },
    "tags": {
        "clan.nix": """{ inventory = { machines.m1 = { }; machines.mac.machineClass = "darwin";
          tags = { config, ... }: { but = builtins.filter (n: n != "m1") config.all; twice = config.but ++ [ ]; };
        }; }""",
        "inventory.json": '{"machines": {"m2": {}}}',
        "machines/m3/x": "",
    },
    "a file that is imported twice": {
        "clan.nix": "{ imports = [ ./a.nix ./b.nix ]; inventory.imports = [ ./i.nix ]; }",
        "a.nix": "{ imports = [ ./both.nix ]; inventory.imports = [ ./i.nix ]; }",
        "b.nix": "{ imports = [ ./both.nix ]; }",
        "both.nix": "{ imports = [ { inventory.instances.i.roles.r.settings.l = [ 1 ]; } ]; machines.a = { }; }",
        "i.nix": "{ instances.i.roles.r.settings.m = [ 1 ]; }",
    },
    "priorities around machines": {
        "clan.nix": """{ lib, ... }: { imports = [ { machines.c = { }; } ]; inventory.machines.a = { };
          machines = lib.mkForce (lib.mkMerge [ { b = throw "no"; } (lib.mkIf false (throw "no")) ]); }""",
    },
    "priorities around instances": {
        "clan.nix": """{ lib, ... }: { machines = lib.mkIf true { m1 = { }; }; inventory = {
          instances = lib.mkIf true { i = lib.mkMerge [
            { roles = lib.mkDefault { r = lib.mkForce { tags.all = { }; extraModules = throw "no"; }; }; }
            (lib.mkIf false { roles = throw "no"; }) ]; };
          machines = lib.mkMerge [ { m2 = lib.mkDefault { machineClass = "darwin"; }; } ];
          tags = { config, ... }: { every = config.all; macs = config.darwin; };
        }; }""",
        "machines/.hidden/x": "",
    },
    "fractions": {
        "clan.nix": "{ inventory = { machines.a = { }; instances.i.roles.r.settings.x = [ 1.0 1 (-2.0) 1.5 ]; }; }",
    },
    "a fork of flake-parts": {
        "flake.nix": """{
          inputs.clan-core.url = "x"; inputs.adios.url = "y";
          outputs = inputs@{ adios, self, ... }: adios.lib.mkFlake { inherit inputs self; flake = {
            clan = (import ./machines.nix self).config;
          }; };
        }""",
        "machines.nix": "self: self.inputs.clan-core.lib.clan { inventory.machines.m1 = { }; }",
    },
}


@pytest.mark.parametrize("name", CLANS)
def test_both_readers_agree_on_clans(name: str, project: Callable[[dict[str, str]], Project]) -> None:
    evaluated = project(CLANS[name])
    theirs, ours = load(evaluated), load(Project(evaluated.root))
    assert theirs.inventory.machines
    assert theirs.sources[-1].data == ours.sources[-1].data
    assert json.dumps(theirs.sources[-1].data, sort_keys=True) == json.dumps(ours.sources[-1].data, sort_keys=True)
    assert theirs.sources[-1].inputs == ours.sources[-1].inputs
    assert theirs.tags == ours.tags


OF_CLANS = [
    (
        "{ lib, ... }: { inventory.machines = lib.zipAttrs [ { m1 = { }; } ]; }",
        "Nix: attribute 'zipAttrs' missing",
        "set NIX_PATH=nixpkgs=FOLDER, where FOLDER/lib is that of nixpkgs",
    ),
    (
        '{ inventory.instances.i.roles.r.settings.x = "${./keys}/a.pub"; }',
        "Nix: a path inside a string would be copied to the Nix store, which Rolecall does not use",
        'write the path without `${…}`: `./folder + "/file"`',
    ),
    (
        "{ pkgs, ... }: { inventory.instances.i.roles.r.settings.x = pkgs.hello; }",
        "Nix: the function argument `pkgs` is not available",
        "",
    ),
    (
        '{ meta.name = "a"; imports = [ { meta.name = "b"; } ]; inventory = { }; }',
        "conflicting values for `meta.name`",
        "remove one of the two; the other is in another module",
    ),
]


@pytest.mark.parametrize(("text", "message", "hint"), OF_CLANS)
def test_errors_of_nix_in_a_clan(
    text: str, message: str, hint: str | None, project: Callable[[dict[str, str]], Project]
) -> None:
    with pytest.raises(Faults) as caught:
        load(project({"clan.nix": text, "keys/a.pub": ""}))
    (fault,) = caught.value.faults
    assert fault.message == message
    assert hint is None or fault.hint == hint


def test_functions_of_lib_come_from_nix_path(
    project: Callable[[dict[str, str]], Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pkgs" / "lib").mkdir(parents=True)
    (tmp_path / "pkgs" / "lib" / "default.nix").write_text("builtins // { only = x: { m1 = x; }; }")
    monkeypatch.setenv("NIX_PATH", f"nixpkgs={tmp_path}/pkgs")
    loaded = load(project({"clan.nix": "{ lib, ... }: { inventory.machines = lib.only { }; }"}))
    assert list(loaded.inventory.machines) == ["m1"]


def test_the_note_names_what_nix_is_known_to_have_read(project: Callable[[dict[str, str]], Project]) -> None:
    files = {
        "flake.nix": FLAKE.replace("./clan.nix", "./clan.nix ./sub"),
        "clan.nix": "{ inventory.machines.jon = { }; imports = [ { inventory.machines.sara = { }; } ]; }",
        "sub/default.nix": "{ meta.name = (import ../keys.nix).name; }",
        "keys.nix": '{ name = "x"; }',
    }
    read = "note: this project is a Clan; its inventory, meta and machine names come from "
    read += "flake.nix, clan.nix, sub/default.nix, and from what Nix imports there"
    found = project(files)
    assert note(found, load(found).sources) == read
    for more in (
        "machines.jon = { };",
        'inventory.instances.i = { module.name = "x"; roles.r.extraModules = [ ./x.nix ]; };',
    ):
        found = project({**files, "sub/default.nix": f"{{ {more} }}"})
        assert note(found, load(found).sources) == f"{read}; not read: NixOS modules"


def test_a_flake_without_an_inventory_is_a_fault(project: Callable[[dict[str, str]], Project]) -> None:
    flake = '{ inputs.clan-core.url = "x"; outputs = { self, clan-core }: { flake.x = 1; }; }'
    with pytest.raises(Faults, match="this flake has no inventory"):
        load(project({"flake.nix": flake, "inventory.json": '{"machines": {"m1": {}}}'}))
