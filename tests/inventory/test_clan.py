"""Clan projects: of one file or many, in the forms that real ones have; nothing of them is left out in silence."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from rolecall.errors import Faults
from rolecall.inventory import load, locate
from rolecall.inventory.clan import note
from rolecall.inventory.convert import convert
from rolecall.inventory.edit import digest, get
from rolecall.inventory.notations import nix_parser
from rolecall.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rolecall.errors import Fault
    from rolecall.inventory.notations.nix_syntax import Expression
    from rolecall.model.inventory import Loaded

    Write = Callable[[dict[str, str]], Project]
    FaultsOf = Callable[[dict[str, str]], str]

FLAKE = """{
  inputs.clan-core.url = "https://git.example.org/clan/clan-core/archive/main.tar.gz";
  outputs = { self, clan-core, ... }@inputs:
    let clan = clan-core.lib.clan { inherit self; imports = [ ./clan.nix ]; specialArgs = { inherit inputs; }; };
    in { inherit (clan.config) nixosConfigurations clanInternals; clan = clan.config; };
}
"""
PARTS = """{
  inputs.clan-core.url = "github:clan-lol/clan-core";
  outputs = inputs@{ flake-parts, ... }: flake-parts.lib.mkFlake { inherit inputs; } ({ lib, ... }: {
    systems = import inputs.systems;
    imports = with inputs; [ clan-core.flakeModules.default other.flakeModule ];
    %s
    perSystem = { pkgs, ... }: { devShells.default = pkgs.mkShell { }; };
  });
}
"""
NOT_INSTALLED = "these are NixOS modules, which Rolecall does not install"
CLAN = '{ meta.name = "home"; inventory.machines.m1 = { }; inventory.instances.a.roles.server.machines.m1 = { }; }'


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def run(texts: dict[str, str]) -> Project:
        for name, text in texts.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return Project(tmp_path)

    return run


@pytest.fixture
def read(write: Write) -> Callable[[str], dict[str, Any]]:
    """What `clan.nix` says, alone."""
    return lambda text: dict(load(write({"clan.nix": text})).sources[-1].data)


@pytest.fixture
def faults_of(write: Write, tmp_path: Path) -> FaultsOf:
    """The faults of a project, without the folder's name."""

    def run(texts: dict[str, str]) -> str:
        with pytest.raises(Faults) as caught:
            load(write(texts))
        return str(caught.value).replace(f"{tmp_path}/", "")

    return run


def warnings(loaded: Loaded) -> list[Fault]:
    return [locate(each, loaded.sources) for each in loaded.warnings]


def places(loaded: Loaded) -> list[tuple[str, str, int]]:
    """Of each warning: message, file and line."""
    found = [(each.message, each.where) for each in warnings(loaded)]
    return [
        (message, where.file.name if where and where.file else "", where.line if where else 0)
        for message, where in found
    ]


# Which file is read


@pytest.mark.parametrize(
    "flake",
    [FLAKE, PARTS % "clan.imports = [ ./clan.nix ];", PARTS % "flake.clan = { imports = [ ./clan.nix ]; };"],
    ids=["lib.clan", "flake-parts", "flake.clan"],
)
def test_the_tool_written_file_never_hides_a_flake(write: Write, flake: str) -> None:
    layer = '{"machines": {"m1": {"installedAt": 1750000000}}}'
    loaded = load(write({"flake.nix": flake, "clan.nix": CLAN, "inventory.json": layer}))
    assert list(loaded.inventory.instances) == ["a"]
    assert loaded.inventory.machines["m1"].installed_at == 1750000000
    assert loaded.inventory.meta.name == "home"
    assert loaded.sources[-1].inputs.keys() == {"clan-core"}


def test_a_clan_of_one_file_without_a_flake(write: Write) -> None:
    assert list(load(write({"clan.nix": CLAN, "inventory.json": "{}"})).inventory.instances) == ["a"]


def test_a_flake_of_another_kind_does_not_count(write: Write) -> None:
    other = "{ outputs = { self, nixpkgs }: { packages.x = nixpkgs.hello; }; }"
    loaded = load(write({"flake.nix": other, "clan.nix": CLAN}))
    assert [source.file.name for source in loaded.sources] == ["clan.nix"]


@pytest.mark.parametrize("comment", ["# the inventory is elsewhere\n", "/* not\n clan-core's inventory */"])
def test_a_comment_does_not_make_a_flake_a_clan(write: Write, comment: str) -> None:
    other = (
        f'{{ {comment} inputs.x.url = "github:a/b?dir=x#y"; outputs = {{ self, x }}: {{ packages.x = x.hello; }}; }}'
    )
    loaded = load(write({"flake.nix": other, "inventory.json": '{"machines": {"m1": {}}}'}))
    assert [source.file.name for source in loaded.sources] == ["inventory.json"]


def test_an_inventory_file_that_the_flake_names_is_a_part_of_it(write: Write) -> None:
    flake = FLAKE.replace("imports = [ ./clan.nix ];", 'meta.domain = "x.example"; inventory = import ./inventory.nix;')
    loaded = load(write({"flake.nix": flake, "inventory.nix": "{ machines.m1 = { }; instances = { }; }"}))
    assert (loaded.inventory.meta.domain, list(loaded.inventory.machines)) == ("x.example", ["m1"])
    (source,) = loaded.sources
    assert [file.name for file in source.files] == ["flake.nix", "inventory.nix"]


def test_a_flake_without_an_inventory_is_a_fault(faults_of: FaultsOf) -> None:
    assert faults_of({"flake.nix": PARTS % "", "inventory.json": '{"machines": {"m1": {}}}'}).startswith(
        "error: this flake has no inventory\n  at flake.nix:3:"
    )


# What counts


def test_meta_and_machines_beside_the_inventory_count(read: Callable[[str], dict[str, Any]]) -> None:
    data = read(
        '{ meta = { name = "x"; domain = "home.example"; }; machines.m2 = { pkgs, ... }: { x = pkgs.hello; };'
        ' inventory.machines.m1.tags = [ "t" ]; inventory.meta.description = "d"; }'
    )
    assert data["meta"] == {"name": "x", "domain": "home.example", "description": "d"}
    assert data["machines"] == {"m1": {"tags": ["t"]}, "m2": {}}


def test_computed_names_of_machines_are_a_warning(write: Write) -> None:
    text = "{ self, ... }: {\n  inventory.machines.m1 = { };\n  machines = self.lib.all;\n}"
    loaded = load(write({"clan.nix": text}))
    assert places(loaded) == [
        ("the machine names in the Clan's `machines` are ignored: `self.lib.all` is not plain data", "clan.nix", 3)
    ]
    assert list(loaded.inventory.machines) == ["m1"]


def test_imports_at_every_level(write: Write) -> None:
    loaded = load(
        write(
            {
                "clan.nix": "{ lib, ... }: { imports = [ ./more ({ ... }: { inventory.machines.m5 = { }; }) ];"
                ' inventory = { imports = [ ./i.nix ]; machines.m1.tags = [ "a" ]; }; }',
                "more/default.nix": "{ imports = [ ../m3.nix ]; inventory = { config, ... }: { machines.m2 = { }; }; }",
                "m3.nix": '{ meta.name = "x"; inventory.machines.m3 = { }; }',
                "i.nix": '{ machines.m4 = { }; machines.m1.tags = [ "b" ]; instances.i.roles.r.tags.b = { }; }',
            }
        )
    )
    assert sorted(loaded.inventory.machines) == ["m1", "m2", "m3", "m4", "m5"]
    assert loaded.inventory.machines["m1"].tags == ["a", "b"]
    assert loaded.inventory.meta.name == "x"
    assert loaded.tags["b"] == ("m1",)


def test_import_tree(write: Write) -> None:
    flake = PARTS % ""
    flake = flake.replace("with inputs; [", "[ (inputs.import-tree ./modules)").replace(
        "clan-core.flakeModules.default other.flakeModule", "inputs.clan-core.flakeModules.default"
    )
    texts = {
        "flake.nix": flake,
        "modules/a.nix": "{ flake.clan.inventory.machines.m1 = { }; }",
        "modules/deep/b.nix": '{ lib, ... }: { clan = { meta.name = "x"; inventory.machines.m2 = { }; }; }',
        "modules/_off/c.nix": "{ clan.inventory.machines.m3 = { }; }",
        "modules/other.nix": "{ perSystem = nothing; }",
        "modules/named.nix/d.nix": "{ clan.inventory.machines.m4 = { }; }",
    }
    project = write(texts)
    (project.root / "modules" / "folder.nix").mkdir()
    (project.root / "modules" / "deep" / "again").symlink_to(project.root / "modules")
    loaded = load(project)
    assert (sorted(loaded.inventory.machines), loaded.inventory.meta.name) == (["m1", "m2", "m4"], "x")


def test_every_module_of_a_flake_is_read_or_reported(write: Write) -> None:
    flake = (
        PARTS.replace("other.flakeModule", "./backup.nix ./odd.nix ./named.nix") % "clan.inventory.machines.a = { };"
    )
    texts = {
        "flake.nix": flake.replace("with inputs; [ clan-core.", "[ inputs.clan-core."),
        "backup.nix": "import ./parts/backup.nix",
        "parts/backup.nix": "{ clan.inventory.machines.b = { }; }",
        "named.nix": "{ name, ... }: { options.${name} = 1; config.clan.inventory.machines.c = { }; }",
        "odd.nix": "{ inputs, ... }:\ninputs.x.lib.make ./y",
    }
    loaded = load(write(texts))
    assert list(loaded.inventory.machines) == ["a", "b", "c"]
    ignored = "a module of the flake is read only in part"
    assert places(loaded) == [
        (f"{ignored}: `inputs.x.lib.make` is not plain data", "odd.nix", 2),
        (f"{ignored}: `name`, an argument of a function, is not plain data", "named.nix", 1),
    ]


def test_modules_of_other_flakes_are_skipped_with_one_warning(write: Write) -> None:
    text = "{ inputs, ... }: {\n  imports = [ inputs.a.clanModules.x\n  inputs.b.clan ];\n  inventory = { };\n}"
    loaded = load(write({"clan.nix": text}))
    assert places(loaded) == [
        ("modules of other flakes are not read: `inputs.a.clanModules.x`, `inputs.b.clan`", "clan.nix", 2)
    ]


def test_a_value_that_is_needed_elsewhere_is_a_fault_there(faults_of: FaultsOf) -> None:
    text = "{ self, ... }: let all = self.x; in { machines = all; inventory.machines = all; }"
    assert faults_of({"clan.nix": text}).count("error: `self.x` is not plain data") == 1


def test_a_module_in_its_long_form(read: Callable[[str], dict[str, Any]]) -> None:
    text = '{ ... }: { options = { }; config = { inventory.machines.m1 = { }; }; imports = [ { meta.name = "x"; } ]; }'
    assert read(text) == {"machines": {"m1": {}}, "meta": {"name": "x"}}


def test_what_the_project_itself_computes_is_not_skipped(faults_of: FaultsOf) -> None:
    text = "{ config, self, inputs, ... }: { imports = [ config.flake.x self.y inputs.self.z ]; inventory = { }; }"
    assert re.findall("error: (.*)", faults_of({"clan.nix": text})) == [
        "`config.flake.x` is not plain data",
        "`self.y` is not plain data",
        "`inputs.self.z` is not plain data",
    ]


def test_modules_of_nixos_are_never_evaluated(write: Write) -> None:
    text = """{ inputs, ... }: { inventory.machines.m1.tags = [ "a" ]; inventory.instances = {
      a.roles.default = { tags.a = { }; extraModules = [ ../x.nix ({ ... }: nonsense) inputs.f.nixosModules.b ]; };
      b.roles.default = { tags = [ "a" ]; extraModules = with inputs; map nothing ./x; settings.extraModules = [ 1 ]; };
    }; }"""
    loaded = load(write({"clan.nix": text}))
    assert places(loaded) == [
        (f"`extraModules` is ignored, also in 1 other place: {NOT_INSTALLED}", "clan.nix", 2),
    ]
    assert loaded.inventory.instances["b"].roles["default"].settings == {"extraModules": [1]}


OF_CLAN = {
    "inventory.toml": """
[meta]
icon = "x"
[machines.m1]
name = "m1"
icon = "y"
deploy = { buildHost = "b", forwardAgent = true }
[machines.m2]
name = "other"
[instances.i.roles.r]
extraModules = []
""",
    "inventory.nix": """{
  meta.icon = "x";
  machines.m1 = { name = "m1"; icon = "y"; deploy = { buildHost = "b"; forwardAgent = true; }; };
  machines.m2.name = "other";
  instances.i.roles.r.extraModules = [ ];
}""",
}


@pytest.mark.parametrize(("name", "text"), OF_CLAN.items())
def test_fields_of_clan_are_left_out_with_a_warning_each(write: Write, name: str, text: str) -> None:
    loaded = load(write({name: text}))
    found = warnings(loaded)
    assert [(str(each.where).split(" ")[1], each.message) for each in found] == [
        ("meta.icon", "`icon` is ignored: Rolecall shows no icons"),
        ("machines.m1.icon", "`icon` is ignored: Rolecall shows no icons"),
        ("machines.m2.name", "`name` is ignored: a machine's name is its key"),
        ("machines.m1.deploy.buildHost", "`buildHost` is ignored: Rolecall builds nothing"),
        ("machines.m1.deploy.forwardAgent", "`forwardAgent` is ignored: OpenSSH decides this"),
        ("instances.i.roles.r.extraModules", f"`extraModules` is ignored: {NOT_INSTALLED}"),
    ]
    assert all(each.where and each.where.line and each.hint for each in found)


@pytest.mark.parametrize(
    ("meta", "domain"), [('tld = "ccc"', "ccc"), ('tld = "ccc"; domain = "x.example"', "x.example")]
)
def test_the_old_name_of_the_domain(write: Write, meta: str, domain: str) -> None:
    loaded = load(write({"clan.nix": f"{{ meta = {{ {meta}; }}; inventory = {{ }}; }}"}))
    assert loaded.inventory.meta.domain == domain
    assert [each.message for each in loaded.warnings] == ["`meta.tld` is Clan's old name for `meta.domain`"]


def test_the_old_name_of_the_domain_in_the_file_that_wins(write: Write) -> None:
    texts = {"inventory.json": '{"meta": {"domain": "general.example"}}', "clan.nix": '{ meta.tld = "specific"; }'}
    assert load(write(texts)).inventory.meta.domain == "specific"


def test_the_old_name_of_the_domain_is_checked_too(faults_of: FaultsOf) -> None:
    faults = faults_of({"clan.nix": "{ meta.tld = 5; inventory.machines.a = { }; }"})
    assert "error: expected a string, found the number 5\n" in faults


def test_unknown_keys_stay_faults(faults_of: FaultsOf) -> None:
    text = '{ inventory = { machines.m1 = { nmae = "m1"; deploy.buildhost = "x"; }; services.x = { }; }; }'
    assert re.findall("error: (.*)", faults_of({"clan.nix": text})) == [
        "unknown key 'buildhost'",
        "unknown key 'nmae'",
        "unknown key 'services'",
    ]


# Tags and classes


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("machines.m1 = { }; instances.a.roles.r.tags.nixos = { };", {"nixos": ("m1",), "linux": ("m1",)}),
        ('machines.m1.machineClass = "nixos"; machines.m2 = { };', {"nixos": ("m1", "m2"), "linux": ("m1", "m2")}),
        (
            'machines.m1.machineClass = "nixos"; machines.m2.machineClass = "darwin";',
            {"nixos": ("m1",), "darwin": ("m2",)},
        ),
        ('machines.m1 = { }; tags.x.all = [ "nixos" ];', {"nixos": ("m1",), "x": ("m1",)}),
        ("machines.m1 = { };", {"linux": ("m1",)}),
        ('machines.m1.machineClass = "darwin"; instances.a.roles.r.tags.nixos = { };', {"darwin": ("m1",)}),
    ],
)
def test_nixos_is_another_word_for_linux(write: Write, text: str, tags: dict[str, tuple[str, ...]]) -> None:
    loaded = load(write({"clan.nix": f"{{ inventory = {{ {text} }}; }}"}))
    assert {tag: loaded.tags.get(tag) for tag in tags} == tags
    assert ("nixos" in loaded.tags) == ("nixos" in tags)


def test_a_computed_tag_that_is_listed_is_one_warning(write: Write) -> None:
    text = '[machines]\na.tags = ["all", "linux"]\nb.tags = ["all", "nixos"]\n[tags]\nall = ["b", "a"]\n'
    loaded = load(write({"inventory.toml": text}))
    assert places(loaded) == [
        ("the tag 'all' is computed, so listing it has no effect (also in 2 other places)", "inventory.toml", 5),
        ("the tag 'linux' is computed, so listing it has no effect", "inventory.toml", 2),
        ("the tag 'nixos' is computed, so listing it has no effect", "inventory.toml", 3),
    ]
    assert loaded.tags["all"] == ("a", "b")


def test_tags_that_a_function_computes(write: Write) -> None:
    (write({}).root / "machines" / "m3").mkdir(parents=True)
    text = """{ inventory = {
      machines.m1 = { }; machines.mac.machineClass = "darwin";
      tags = { config, machines, ... }: {
        but = builtins.filter (name: name != "m1") config.all;
        linuxes = config.nixos;
        twice = config.but ++ [ "m1" ];
        macs = config.darwin;
      };
    }; }"""
    loaded = load(write({"clan.nix": text, "inventory.json": '{"machines": {"m2": {}}}'}))
    assert {tag: loaded.tags[tag] for tag in ("but", "linuxes", "twice", "macs")} == {
        "but": ("m2", "m3", "mac"),
        "linuxes": ("m1", "m2", "m3"),
        "twice": ("m1", "m2", "m3", "mac"),
        "macs": ("mac",),
    }


# Several files: joining, places


def test_modules_join_as_in_nixpkgs(write: Write) -> None:
    loaded = load(
        write(
            {
                "clan.nix": """{ lib, ... }: {
                  imports = [ ./b.nix ];
                  meta.name = lib.mkDefault "general"; meta.domain = lib.mkForce "forced";
                  inventory.machines.m1 = lib.mkMerge [ { tags = [ "a" ]; } (lib.mkIf false { tags = [ "no" ]; }) ];
                  inventory.instances.i.roles.r = { tags = [ "a" ]; settings = { x = lib.mkDefault 1; l = [ 1 ]; }; };
                }""",
                "b.nix": """{
                  meta.name = "specific"; meta.domain = "plain";
                  inventory.machines.m1 = { tags = [ "b" ]; description = "d"; };
                  inventory.instances.i.roles.r = { tags.b = { }; settings = { x = 2; l = [ 2 ]; }; };
                }""",
            }
        )
    )
    inventory = loaded.inventory
    assert (inventory.meta.name, inventory.meta.domain) == ("specific", "forced")
    assert inventory.machines["m1"].tags == ["a", "b"]
    assert list(inventory.instances["i"].roles["r"].tags) == ["a", "b"]
    settings = inventory.instances["i"].roles["r"].settings
    assert settings["l"] == [1, 2]
    assert settings["x"] == {"_type": "merge", "contents": [{"_type": "override", "priority": 1000, "content": 1}, 2]}


@pytest.mark.parametrize("nix", [False, True])
def test_items_outside_of_settings_have_an_order(write: Write, *, nix: bool) -> None:
    if nix and not shutil.which("nix-instantiate"):
        pytest.skip("needs Nix")
    state = "inventory.machines.m1.state"
    project = write(
        {
            "clan.nix": f"""{{ lib, ... }}: {{
              imports = [ ./b.nix ./c.nix ];
              {state}.db = {{ folders = lib.mkAfter [ "/last" ]; beforeBackup = lib.mkForce [ "forced" ]; }};
            }}""",
            "b.nix": f"""{{ lib, ... }}: {{
              {state}.db = {{ folders = [ "/b" ]; beforeBackup = lib.mkBefore (lib.mkForce [ "first" ]); }};
            }}""",
            "c.nix": f"""{{ lib, ... }}: {{
              {state}.db = lib.mkBefore {{ folders = lib.mkMerge [ [ "/c" ] (lib.mkOrder 1200 [ "/d" ]) ]; }};
            }}""",
        }
    )
    db = load(replace(project, nix=nix)).inventory.machines["m1"].state["db"]
    assert db.folders == ["/c", "/b", "/d", "/last"]
    assert db.before_backup == ["first", "forced"]


def test_a_priority_around_a_table_counts_for_the_table(write: Write) -> None:
    """An option of the module system has one priority: `attrsOf` and `submodule` hand none down (lib/types.nix)."""
    loaded = load(
        write(
            {
                "clan.nix": """{ lib, ... }: { imports = [ ./b.nix ]; inventory = {
                  machines.m1 = lib.mkDefault { description = "d"; tags = [ "a" ]; deploy.targetHost = "x"; };
                  machines.m2.deploy = lib.mkForce { targetHost = "x"; };
                  machines.m3 = lib.mkDefault { description = "d"; };
                  instances.i = lib.mkForce { roles.r.tags.all = { }; roles.r.settings.x = 1; };
                  instances.j.roles.r = lib.mkForce { machines.m1 = { }; };
                  instances.k.roles = lib.mkForce { };
                  tags = lib.mkForce { t = [ "m1" ]; };
                  meta = lib.mkForce { name = "x"; };
                }; }""",
                "b.nix": """{ inventory = {
                  machines.m1 = { tags = [ "b" ]; deploy.targetHost = "y"; };
                  machines.m2.deploy = { targetHost = "y"; buildHost = "z"; };
                  instances.i = { module.name = "n"; roles.r.settings = { x = 2; y = 3; }; };
                  instances.j.roles.r = { tags.all = { }; settings.x = 1; };
                  instances.k = { module.name = "n"; roles.r.tags.all = { }; };
                  tags.u = [ "m2" ];
                  meta.domain = "lost.example";
                }; }""",
            }
        )
    )
    inventory = loaded.inventory
    machine = inventory.machines["m1"]
    assert (machine.description, machine.tags, machine.deploy.target_host) == ("", ["b"], "y")
    assert inventory.machines["m2"].deploy.target_host == "x"
    assert any("buildHost" in each.message for each in loaded.warnings)  # it is kept beside what is forced
    assert inventory.machines["m3"].description == "d"
    instance = inventory.instances["i"]
    assert (instance.module.name, list(instance.roles["r"].tags)) == (None, ["all"])
    assert instance.roles["r"].settings == {"x": 1}
    role = inventory.instances["j"].roles["r"]
    assert (list(role.machines), list(role.tags), role.settings) == (["m1"], [], {})
    assert (inventory.instances["k"].module.name, inventory.instances["k"].roles) == ("n", {})
    assert list(inventory.tags) == ["t"]
    assert (inventory.meta.name, inventory.meta.domain) == ("x", "")


def test_a_priority_around_all_machines_or_instances_hides_the_others(read: Callable[[str], dict[str, Any]]) -> None:
    data = read("""{ lib, ... }: {
      imports = [ { inventory = { instances.j = { }; machines.b = { }; machines.a.tags = [ "t" ]; }; } ];
      inventory = { instances = lib.mkForce { i = { }; }; machines = lib.mkForce { a.description = "only"; }; };
    }""")
    assert data == {"instances": {"i": {}}, "machines": {"a": {"description": "only"}}}


@pytest.mark.parametrize("nix", [False, True])
@pytest.mark.parametrize(
    "module",
    [
        "{ inventory = lib.mkIf true { machines = { a = { }; b = { }; }; }; }",
        "{ inventory = lib.mkMerge [ { machines.a = { }; } (lib.mkIf true { machines.b = { }; }) ]; }",
        "{ config = lib.mkIf true { inventory.machines = { a = { }; b = { }; }; }; }",
        "lib.mkMerge [ { inventory.machines.a = { }; } { machines.b = { }; } (lib.mkIf false { machines.c = { }; }) ]",
        "{ inventory = { }; machines = lib.mkMerge [ { a = { }; } { b = { }; } ]; }",
        "{ inventory.machines.a = { }; machines = lib.mkIf true { b = throw 1; }; }",
        "{ inventory.machines.a = { }; machines = lib.mkForce { b = { }; }; imports = [ { machines.c = { }; } ]; }",
    ],
)
def test_modules_inside_of_mkmerge_and_mkif(write: Write, module: str, *, nix: bool) -> None:
    if nix and not shutil.which("nix-instantiate"):
        pytest.skip("needs Nix")
    project = replace(write({"clan.nix": f"{{ lib, ... }}: {module}"}), nix=nix)
    assert list(load(project).inventory.machines) == ["a", "b"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ('{ _type = "order"; }', "`order` has no `content`"),
        ('{ _type = "merge"; }', "`merge` has no `contents`"),
        ('{ _type = "if"; content = [ ]; }', "`if` has no `condition`"),
        ('lib.mkIf "x" [ ]', "a condition must be `true` or `false`"),
        ("lib.mkOverride true [ ]", "a priority must be a whole number"),
        ("[ ]; inventory.machines.m1._type = { }", "unknown key '_type'"),
        ("{ _type = { }; }", "expected a list of strings, found a table"),
    ],
)
def test_malformed_priorities(faults_of: FaultsOf, value: str, message: str) -> None:
    found = faults_of({"clan.nix": f"{{ lib, ... }}: {{ inventory.machines.a.tags = {value}; }}"})
    assert found.startswith(f"error: {message}\n  at clan.nix:1:")


def test_priorities_outside_of_settings_are_nixs_alone(write: Write, faults_of: FaultsOf) -> None:
    assert (
        load(write({"clan.nix": '{ lib, ... }: { meta.name = lib.mkForce "x"; inventory = { }; }'})).inventory.meta.name
        == "x"
    )
    text = '[meta]\nname = { _type = "override", priority = 50, content = "x" }\n'
    assert faults_of({"inventory.toml": text}).startswith(
        "error: expected a string, found a table\n  at inventory.toml:2:1"
    )


def test_a_priority_around_a_module_is_a_fault(faults_of: FaultsOf) -> None:
    assert faults_of({"clan.nix": "{ lib, ... }: { inventory = lib.mkForce { machines.a = { }; }; }"}) == (
        "error: a priority around a whole module is not supported\n  at clan.nix:1:17\n"
        "hint: put it around the values inside the module"
    )


def test_two_files_that_contradict_each_other(faults_of: FaultsOf) -> None:
    texts = {
        "clan.nix": '{ imports = [ ./b.nix ];\n meta.name = "a"; inventory = { }; }',
        "b.nix": '{\n\n  meta.name = "b"; }',
    }
    assert faults_of(texts) == (
        "error: conflicting values for `meta.name`\n  at b.nix:3:8\n"
        "hint: remove one of the two; the other is at clan.nix:2"
    )


def test_faults_name_their_file(faults_of: FaultsOf) -> None:
    texts = {
        "clan.nix": '{ imports = [ ./sub/more.nix ];\n  inventory.machines.m1.tags = [ "a" ]; }',
        "sub/more.nix": '{\n  inventory.machines.m1 = { tags = [ "ok" 5 ];\n    description = import ./text.nix; };\n}',
        "sub/text.nix": "\n\n  7",
    }
    assert re.findall(r"  at (\S+) (\S+)", faults_of(texts)) == [
        ("sub/more.nix:2:43", "machines.m1.tags[2]"),
        ("sub/more.nix:3:5", "machines.m1.description"),
    ]


def test_each_file_is_parsed_alone(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []

    def parse(text: str, start: int = 0) -> Expression:
        parsed.append(text)
        return original(text, start)

    original = nix_parser.parse
    monkeypatch.setattr(nix_parser, "parse", parse)
    value = """# é
      let x = "a"; in { inventory.instances.i.roles.r.settings = { n = -5; m = - 1.5; t = "${x}-${"b"}";
      l = ''
        ${x}
          b ''${x}
      ''; u = https://example.org/x; p = ./p; /* c */ "${x}" = [ ]; }; }"""
    texts = {"clan.nix": "{ imports = [ ./b.nix ./c.nix ]; }", "b.nix": "{ }\n# end", "c.nix": value}
    settings = load(write(texts)).inventory.instances["i"].roles["r"].settings
    text = "a\n  b ${x}\n"
    assert settings == {"n": -5, "m": -1.5, "t": "a-b", "l": text, "u": "https://example.org/x", "p": "./p", "a": []}
    assert parsed == list(texts.values())  # and not what stands before it, too


@pytest.mark.parametrize(
    ("clan", "more", "message"),
    [
        ("imports = [ ./b.nix ];", "{ x = ; }", "error: expected a value, found `;`\n  at b.nix:1:7\n"),
        (
            "imports = [ ./b.nix ];",
            "{ imports = [ ./clan.nix ]; }",
            "error: the file './clan.nix' imports itself\n  at b.nix:1:15\n",
        ),
        (
            "imports = [ ./b.nix ];",
            "{ imports = [ ./b.nix ]; }",
            "error: the file './b.nix' imports itself\n  at b.nix:1:15\n",
        ),
        (
            "inventory.tags = import ./b.nix;",
            "import ./b.nix",
            "error: the file './b.nix' imports itself\n  at b.nix:1:8\n",
        ),
        ("imports = [ ./c.nix ];", "", "error: the file './c.nix' does not exist\n  at clan.nix:1:15\n"),
        (
            "imports = [ ../c.nix ];",
            "",
            "error: the path '../c.nix', which leads out of the project, is not plain data\n  at clan.nix:1:15\n",
        ),
        (
            "imports = [ /etc/x.nix ];",
            "",
            "error: the file '/etc/x.nix' is outside of the project\n  at clan.nix:1:15\n",
        ),
        (
            "imports = [ <nixpkgs> ];",
            "",
            "error: the path '<nixpkgs>', which differs between computers, is not plain data\n",
        ),
        (
            "imports = [ ./link.nix ];",
            "",
            "error: the link './link.nix' leads out of the project\n  at clan.nix:1:15\n",
        ),
        (
            "inventory.meta.name = builtins.readFile ./link.nix;",
            "",
            "error: the link './link.nix' leads out of the project\n",
        ),
        ("inventory.tags = builtins.readDir ./up;", "", "error: './up' is not a folder of the project\n"),
        ("imports = [ 5 ];", "", "error: expected a table here\n  at clan.nix:1:15\n"),
        ("imports = 5;", "", "error: expected a list here\n  at clan.nix:1:3\n"),
    ],
)
def test_files_that_cannot_be_followed(faults_of: FaultsOf, tmp_path: Path, clan: str, more: str, message: str) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (tmp_path / "secret.nix").write_text('{ inventory.meta.name = "secret"; }')
    (tmp_path / "link.nix").symlink_to(tmp_path.parent / "secret.nix")
    (tmp_path.parent / "secret.nix").write_text("{ }")
    (tmp_path / "up").symlink_to(tmp_path.parent)
    assert faults_of({"clan.nix": f"{{ {clan} }}", "b.nix": more}).startswith(message)


def test_reading_continues_after_a_value_that_is_not_data(faults_of: FaultsOf) -> None:
    text = """{ inputs, lib, ... }: { inventory = {
      machines.m1.description = inputs.x.y;
      machines.m2.tags = [ (x: x) ];
      instances.a.roles.r.settings = { p = 1 < 2; q = "${lib.version}"; r = ../x; };
      meta.name = 5;
      meta.name = 6;
    }; }"""
    assert re.findall(r"error: (.*)\n  at clan.nix:(\d+)", faults_of({"clan.nix": text})) == [
        ("'name' is set twice", "6"),
        ("`inputs.x.y` is not plain data", "2"),
        ("a function is not plain data", "3"),
        ("the operator `<` is not plain data", "4"),
        ("`lib.version` is not plain data", "4"),
        ("the path '../x', which leads out of the project, is not plain data", "4"),
    ]


@pytest.mark.parametrize(
    ("value", "helps"),
    [
        ("1 < 2", True),
        ("builtins.sort 1 2", True),
        ("lib.range 1 2", True),
        ("lib.types.str", False),
        ("x: x", False),
        ("inputs.x.y", False),
        ("self.x", False),
        ("../x", False),
        ("builtins.fetchurl 1", False),
    ],
)
def test_nix_is_recommended_only_where_it_helps(faults_of: FaultsOf, value: str, helps: bool) -> None:  # noqa: FBT001 - parametrized
    text = f"{{ inputs, self, lib, ... }}: {{ inventory.instances.a.roles.r.settings.x = {value}; }}"
    assert ("rolecall --nix" in faults_of({"clan.nix": text})) == helps


# What is computed

SETTINGS = [
    ('[ "a" ] ++ [ "b" ] ++ [ ]', ["a", "b"]),
    ("{ a = 1; b = 1; } // { b = 2; } // { c = 3; }", {"a": 1, "b": 2, "c": 3}),
    ("{ a = 1; } // { a = [ 1 ] ++ [ 2 ]; }", {"a": [1, 2]}),
    ("lib.mkForce [ 1 ]", {"_type": "override", "priority": 50, "content": [1]}),
    ("with lib; mkForce 1", {"_type": "override", "priority": 50, "content": 1}),
    ("let lib = inputs.nixpkgs.lib; in lib.mkForce 1", {"_type": "override", "priority": 50, "content": 1}),
    ("let inherit (inputs.nixpkgs.lib) mkForce; in mkForce 1", {"_type": "override", "priority": 50, "content": 1}),
    ("import ./data.nix", {"k": "v"}),
    ("(import ./data.nix).k", "v"),
    ("(import ./data.nix).z or 3", 3),
    ("(import ./function.nix { inherit lib; x = 2; }).x", 2),
    ("(import ./function.nix { inherit lib; }).x", 1),
    ("builtins.readFile ./key.pub", "ssh-ed25519 A\n"),
    ("lib.fileContents ./key.pub", "ssh-ed25519 A"),
    ('builtins.readFile (./. + "/key.pub")', "ssh-ed25519 A\n"),
    ("let clan = x: [ x ]; lib.mkFlake = x: y: y; in [ (clan 1) (lib.mkFlake 1 2) ]", [[1], 2]),
    ('"${./keys}/a.pub"', "./keys/a.pub"),
    ('"${self}/keys"', "./keys"),
    ("./sub/../key.pub", "./key.pub"),
    ('let host = n: { m = "h${n}"; }; in [ (host "1") (host "2") ]', [{"m": "h1"}, {"m": "h2"}]),
    ("let f = { a, b ? a, ... }@whole: [ a b whole.c ]; in f { a = 1; c = 2; }", [1, 1, 2]),
    ("if builtins.pathExists ./key.pub then 1 else 2", 1),
    ("if builtins.pathExists ./nothing then import ./nothing else 2", 2),
    ('if 1 == 1.0 && !(true == 1) && "a" != "b" || false then 1 else 2', 1),
    ("assert [ { a = 1; } ] == [ { a = 1; } ]; 1", 1),
    ('lib.genAttrs [ "a" "b" ] (name: "x-${name}")', {"a": "x-a", "b": "x-b"}),
    ("builtins.mapAttrs (name: value: [ name value ]) { a = 1; }", {"a": ["a", 1]}),
    ('map (x: x + "y") [ "a" "b" ]', ["ay", "by"]),
    ('builtins.listToAttrs [ (lib.nameValuePair "a" 1) { name = "a"; value = 2; } ]', {"a": 1}),
    ('lib.filter (x: x != "a") [ "a" "b" ]', ["b"]),
    ("lib.filterAttrs (name: value: value == 1) { a = 1; b = 2; }", {"a": 1}),
    ("lib.mapAttrsToList (name: value: value) { b = 2; a = 1; }", [1, 2]),
    ("lib.optional true 1 ++ lib.optionals false [ 2 ] ++ lib.optionals true [ 3 ]", [1, 3]),
    ("lib.optionalAttrs true { a = 1; } // lib.optionalAttrs false { b = 1; }", {"a": 1}),
    ("lib.recursiveUpdate { a.b = 1; a.c = 1; } { a.b = 2; d = 3; }", {"a": {"b": 2, "c": 1}, "d": 3}),
    ("builtins.foldl' (a: b: a ++ [ b ]) [ ] [ 1 2 ]", [1, 2]),
    ("lib.foldr (a: b: [ a ] ++ b) [ ] [ 1 2 ]", [1, 2]),
    ("builtins.attrNames { b = 1; a = 2; } ++ builtins.attrValues { b = 1; a = 2; }", ["a", "b", 2, 1]),
    ("builtins.concatMap (x: [ x x ]) [ 1 2 ] ++ builtins.concatLists [ [ 3 ] [ ] ]", [1, 1, 2, 2, 3]),
    ('builtins.concatStringsSep "," [ "a" "b" ]', "a,b"),
    ('builtins.replaceStrings [ ".nix" "a" ] [ "" "b" ] "a.nix"', "b"),
    ('builtins.replaceStrings [ "a" "an" "a" ] [ "x" "y" "z" ] "banana"', "bxnxnx"),
    (
        "[ (builtins.elem { a = [ 1 ]; } [ { a = [ 1 ]; } ]) (builtins.elem 1 [ 1.0 ]) (builtins.elem 1 [ true ]) ]",
        [True, True, False],
    ),
    ("let f = { a, b ? 2, ... }: b; g = x@{ a ? 1 }: x; in [ (f { a = 1; c = 3; }) (g { }) ]", [2, {}]),
    ('builtins.substring 1 2 "abcd" + builtins.substring 2 (-1) "abcd"', "bccd"),
    ('[ (lib.hasPrefix "a" "ab") (lib.hasSuffix "a" "ab") (lib.removeSuffix "b" "ab") ]', [True, False, "a"]),
    ('[ (builtins.elem 1 [ 1 2 ]) (builtins.hasAttr "a" { }) (builtins.isFunction (x: x)) ]', [True, False, True]),
    ("[ (builtins.all (x: x == 1) [ 1 1 ]) (builtins.any (x: x == 2) [ 1 ]) ]", [True, False]),
    (
        '[ (toString 5) (toString "x") (toString true) (builtins.toString null) "m${toString (-1)}" ]',
        ["5", "x", "1", "", "m-1"],
    ),
    ("builtins.readDir ./keys", {"a.pub": "regular"}),
    ("[ 1 ] ++ [ 2 ] == [ 1 2 ] && !false || false", True),
    ("true || true && false", True),
    ('"a" + "b" == "ab" || "a" + "b" != "ab"', True),
    ("!true || true", True),
    ("{ a = 1; } // { b = [ 1 ] ++ [ 2 ]; } == { a = 1; b = [ 1 2 ]; }", True),
    ("[ (-1) ] ++ map (x: -1) [ 1 ]", [-1, -1]),
    ('{ a = "x"; }.a + "y"', "xy"),
    ("{ a.b = 1; }.a.c or { d = 2; }.d", 2),
]
FILES = {
    "data.nix": '{ k = "v"; }',
    "function.nix": "{ lib, x ? 1 }: { inherit x; }",
    "key.pub": "ssh-ed25519 A\n",
    "keys/a.pub": "x",
}
HEAD = "{ inputs, self, lib, ... }: { inventory.instances.a.roles.r.settings.x = "


@pytest.mark.parametrize(("expression", "value"), SETTINGS)
def test_what_an_inventory_computes(write: Write, expression: str, value: object) -> None:
    loaded = load(write({**FILES, "clan.nix": f"{HEAD}{expression}; }}"}))
    found = loaded.inventory.instances["a"].roles["r"].settings["x"]
    assert json.dumps(found, sort_keys=True) == json.dumps(value, sort_keys=True)


# A text that doubles fourteen times, two hundred times over; and ten times ten times ten … calls.
DOUBLED = (
    "let f = x: x + x; g = x: f (f (f (f (f (f (f x)))))); l = [ 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 ]; in "
    'map (n: g (g "0123456789abcdef")) (builtins.concatMap (x: map (y: 1) l) l)'
)
MANY = "let l = [ 1 2 3 4 5 6 7 8 9 0 ]; t = f: builtins.concatMap f l; in t (a: t (b: t (c: t (d: t (e: [ e ])))))"


DOUBLING = "".join(f"a{n + 1} = a{n} {{0}} a{n}; " for n in range(40))
SLOW = pytest.mark.slow  # half a second of counting
CONCATENATING = "".join(f"a{n + 1} = builtins.concatLists [ a{n} a{n} ]; " for n in range(40))


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("let f = x: f x; in f 1", "nested deeper than 100 levels"),
        ("let f = n: [ (g n) (g n) ]; g = n: [ (f n) (f n) ]; in f 1", "nested deeper than 100 levels"),
        (DOUBLED, "the strings in this file multiply"),
        pytest.param(MANY, "more than 10,000 function calls", marks=SLOW),
        pytest.param(f"let a0 = [ 1 ]; {DOUBLING.format('++')} in a40", "more than 5,000,000 values", marks=SLOW),
        pytest.param(f"let a0 = [ 1 ]; {CONCATENATING} in a40", "more than 5,000,000 values", marks=SLOW),
        ("1 == 1 == 1", "the operator `==` is not plain data"),
        ('"a" ++ [ ]', "expected a list here"),
        ("lib.genAttrs 5 (x: x)", "expected a list here"),
        ("if 1 then 2 else 3", "a condition must be `true` or `false`"),
        ("assert false; 1", "this assertion failed"),
        ("lib.mapAttrs", "a function is not plain data"),
        ("self.lib.map (x: x) [ 1 ]", "`self.lib.map` is not plain data"),
        ("inputs.mine.lib.genAttrs [ ] (x: x)", "`inputs.mine.lib.genAttrs` is not plain data"),
        ("inputs.mine.lib.readFile ./key.pub", "`inputs.mine.lib.readFile` is not plain data"),
        ("let f = { map, ... }: map (x: x) [ 1 ]; in f { inherit (self) map; }", "`self.map` is not plain data"),
        ("(x: x) // { }", "expected a table here"),
        ('builtins.substring true 1 "abc"', "`substring` needs two whole numbers"),
        ('builtins.substring 0 1 "é"', "the string is cut inside a character"),
        ('builtins.replaceStrings [ "a" "b" ] [ "x" ] "ab"', "`replaceStrings` needs strings that are not empty"),
        ("let f = { a, tags ? [ ] }: tags; in f { a = 1; tag = [ 2 ]; }", "the function takes no argument 'tag'"),
        ("let f = { a, b }: a; in f { a = 1; }", "the function is called without its argument 'b'"),
        ("let f = { tags, ... }: 1; in f { tag = 1; }", "the function is called without its argument 'tags'"),
        ("import ./function.nix { }", "the function is called without its argument 'lib'"),
        ("let f = { a }: 1; in f 5", "this function needs a table"),
        ("let f = { ... }: 1; in f null", "this function needs a table"),
        ("let f = { a, a }: a; in f { a = 1; }", "the argument 'a' is named twice"),
        ("let f = { a, b }@a: b; in 1", "the argument 'a' is named twice"),
        ("let f = a@{ a }: a; in 1", "the argument 'a' is named twice"),
        ("let f = { a, ..., b }: a; in 1", "`...` must be the last argument, found `,`"),
        ("let f = { }: 1; in f { a = 1; }", "the function takes no argument 'a'"),
        ("import ./function.nix { lib = 1; y = 2; }", "the function takes no argument 'y'"),
    ],
)
def test_what_cannot_be_computed(faults_of: FaultsOf, expression: str, message: str) -> None:
    assert faults_of({**FILES, "clan.nix": f"{HEAD}{expression}; }}"}).startswith(f"error: {message}")


@pytest.mark.parametrize("imports", ["self.foo", "self.foo ++ [ ]"])
def test_imports_that_are_not_data(faults_of: Callable[[dict[str, str]], str], imports: str) -> None:
    clan = f"{{ self, ... }}: {{ imports = {imports}; inventory.machines.m2 = {{ }}; }}"
    assert faults_of({"clan.nix": clan}).startswith("error: `self.foo` is not plain data\n  at clan.nix:1:28\n")


# What else reads the files


def test_the_note_lists_the_files_that_were_read(write: Write) -> None:
    project = write({"flake.nix": PARTS % "clan.imports = [ ./clan.nix ];", "clan.nix": CLAN})
    assert note(project) == (
        "note: this project is a Clan; its inventory, meta and machine names come from flake.nix, clan.nix; "
        "not read: `inputs.other.flakeModule`"
    )
    write({"clan.nix": CLAN.replace("meta.", "machines.m1 = { }; meta.")})
    assert note(project).endswith("; not read: NixOS modules, `inputs.other.flakeModule`")
    write({"inventory.toml": ""})
    assert note(project) == "note: flake.nix and clan.nix are not read, since the inventory is inventory.toml"


@pytest.mark.parametrize(
    ("name", "text"), [("inventory.toml", "[machines.b]"), ("inventory.nix", "{ machines.b = { }; }")]
)
def test_an_inventory_that_a_flake_only_mentions_counts(write: Write, name: str, text: str) -> None:
    flake = f"# machines for Rolecall are in {name}\n{FLAKE}"
    loaded = load(project := write({"flake.nix": flake, "clan.nix": CLAN, name: text}))
    assert list(loaded.inventory.machines) == ["b"]
    assert note(project, loaded.sources) == f"note: flake.nix and clan.nix are not read, since the inventory is {name}"


def test_the_note_names_a_clan_that_the_flake_does_not_read(write: Write) -> None:
    flake = FLAKE.replace("imports = [ ./clan.nix ];", "inventory = { };")
    assert note(write({"flake.nix": flake, "clan.nix": CLAN})).endswith(" come from flake.nix; not read: clan.nix")


def test_the_note_names_a_clan_that_an_inventory_hides(write: Write) -> None:
    project = write({"flake.nix": FLAKE, "inventory.nix": "{ machines.m1 = { }; }"})
    assert note(project) == "note: flake.nix is not read, since the inventory is inventory.nix"
    assert note(project, load(project).sources) == note(project)


def test_no_note_without_a_clan(write: Write) -> None:
    assert note(write({"inventory.nix": "{ machines.m1 = { }; }"})) == ""


def test_the_digest_counts_every_file(write: Write) -> None:
    project = write({"flake.nix": FLAKE, "clan.nix": CLAN})
    before = digest(project)
    assert get(project, ("meta", "name")) == ("home", before)
    write({"clan.nix": CLAN.replace('"home"', '"away"')})
    assert digest(project) != before


def test_a_place_is_looked_up_again_when_a_part_changes(write: Write) -> None:
    project = write({"flake.nix": FLAKE, "clan.nix": '{ inventory.machines.m1.tags = [ "all" ]; }'})
    assert places(load(project))[0][1:] == ("clan.nix", 1)
    write({"clan.nix": '{\n\n inventory.machines.m1.tags = [ "all" ]; }'})
    assert places(load(project))[0][1:] == ("clan.nix", 3)


def test_a_clan_is_converted_with_all_its_files(write: Write) -> None:
    project = write({"flake.nix": FLAKE, "clan.nix": CLAN})
    text, lost = convert(project, "toml")
    assert 'name = "home"' in text
    assert "a.roles.server.machines.m1 = {}" in text
    assert [each.message for each in lost] == ["computed values are written as plain values"]


def test_a_conversion_leaves_out_what_rolecall_ignores(write: Write) -> None:
    text = """{ inputs, ... }: { imports = [ inputs.x.y ]; meta.tld = "ccc"; inventory = {
      machines.m1 = { name = "m1"; icon = "x"; };
      instances.i.roles.r = { tags.all = { }; extraModules = [ ../x.nix ]; }; };
    }"""
    text, lost = convert(write({"clan.nix": text}), "json")
    assert json.loads(text) == {
        "meta": {"domain": "ccc"},
        "machines": {"m1": {}},
        "instances": {"i": {"roles": {"r": {"tags": {"all": {}}}}}},
    }
    assert [each.message.split(":")[0] for each in lost] == [
        "modules of other flakes are not read",
        "`icon` is ignored",
        "`extraModules` is ignored",
        "`meta.tld` is Clan's old name for `meta.domain`",
        "computed values are written as plain values",
    ]
