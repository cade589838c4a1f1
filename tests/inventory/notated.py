"""Random inventories, and how a test writes them in each notation: independent of what is tested."""

from __future__ import annotations

import json
import re
import textwrap
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from ruamel.yaml import YAML

from rolecall.inventory.comments import Comments

if TYPE_CHECKING:
    from rolecall.inventory.data import Keys

Data = dict[str, Any]

DOCUMENTS = Path(__file__).parent.parent / "documents"
FENCE = re.compile(r"^( *)```\{?\.?nix([^\n]*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)


STARTS = [
    *(part for path in sorted(DOCUMENTS.glob("*.md")) for part in path.read_text().split("```") if "inventory" in part),
    "[machines.jon]\ntags = ['a', \"b\"]\n[[x.y]]\nz = {a.b = 1}\n",
    'machines: &m\n  jon: {tags: [a, "b"]}\n  sara:\n  - |\n    x\n  - *m\n<<: *m\n',
    '{"machines": {"jon": {"tags": ["a", 1.5, null]}}}',
    """{ lib, x ? 1, ... }@all: with lib; {
  inventory.machines = genAttrs ([ "a" ] ++ optional (!(x == 1) || true && x != 2) "b") (n:
    { tags = if n == "a" then [ n ] else all.t or [ ]; } // { description = n + "x"; });
}""",
    "let a = { b = 1; }; in rec { inherit (a) b; c = ''\n  x${d}''$y\n''; d = \"\\n\"; e = lib.mkForce [ (-1) ]; }",
]


FLAKES = [
    """\
{
  inputs.clan-core.url = "https://git.example.org/clan-core.tar.gz";
  inputs.nixpkgs.follows = "clan-core/nixpkgs";
  outputs = { self, clan-core, nixpkgs, ... }@inputs: let
    clan = clan-core.lib.clan {
      inventory.machines.jon = { };
      inherit self;
      specialArgs = { inherit inputs; };
      machines.jon = { pkgs, ... }: { environment.systemPackages = [ pkgs.hello ]; };
    };
  in {
    inherit (clan.config) nixosConfigurations nixosModules clanInternals;
    clan = clan.config;
    devShells = nixpkgs.lib.genAttrs [ "x86_64-linux" ] (system: { });
  };
}
""",
    """\
{
  inputs.clan-core = { url = "https://git.example.org/clan-core.tar.gz"; inputs.nixpkgs.follows = "nixpkgs"; };
  outputs = { self, clan-core, ... }:
    let clan = clan-core.lib.buildClan { inherit self; inventory = { machines.jon = { }; }; };
    in { inherit (clan) nixosConfigurations clanInternals; };
}
""",
]


def snippets(document: str) -> list[str]:
    return [textwrap.dedent(match[3]) for match in FENCE.finditer((DOCUMENTS / document).read_text())]


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0\x85\u2028\u2029\ufeff"), max_size=12)
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,6}", fullmatch=True)
scalars = (
    st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
    | texts
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | texts, inner, max_size=3),
    max_leaves=8,
)


words = st.from_regex(r"[A-Za-z\"'{}=][A-Za-z0-9 \"'{}\[\]=:,;$#*/\\é-]{0,18}[A-Za-z0-9]", fullmatch=True)


@st.composite
def inventories(draw: st.DrawFn) -> Data:
    machines = draw(st.lists(names, unique=True, max_size=3))
    role = st.fixed_dictionaries(
        {},
        optional={
            "machines": st.dictionaries(st.sampled_from(machines or ["none"]), st.just({}), max_size=2),
            "tags": st.lists(names, max_size=2),
            "settings": st.dictionaries(texts, values, max_size=3),
        },
    )
    instance = st.fixed_dictionaries({"roles": st.dictionaries(names, role, max_size=2)})
    return {
        "machines": {name: {"description": draw(texts)} for name in machines},
        "instances": draw(st.dictionaries(names, instance, max_size=2)),
    }


def paths(data: object, above: Keys = ()) -> list[Keys]:
    if isinstance(data, dict):
        return [path for key, each in data.items() for path in ((*above, key), *paths(each, (*above, key)))]
    if isinstance(data, list):
        return [path for key, each in enumerate(data) for path in ((*above, key), *paths(each, (*above, key)))]
    return []


@st.composite
def commented(draw: st.DrawFn) -> tuple[Data, Comments]:
    data = draw(inventories())
    places = st.sampled_from(paths(data))
    found = Comments()
    for keys in draw(st.lists(places, max_size=4)):
        found.above[keys] += draw(st.lists(words, min_size=1, max_size=2))
    for keys in draw(st.lists(places, max_size=3)):
        found.behind[keys] = [draw(words)]
    found.end = draw(st.lists(words, max_size=2))
    return data, found


def as_nix(value: object) -> str:
    match value:
        case dict():
            return "{ " + "".join(f"{nix_text(key)} = {as_nix(each)}; " for key, each in value.items()) + "}"
        case list():
            return "[ " + "".join(f"({as_nix(each)}) " for each in value) + "]"
        case str():
            return nix_text(value)
        case float():
            # Nix wants a dot in every float, and digits before it are no zero with more digits behind
            return f"{value:.400f}".rstrip("0") + "0"
        case _:
            return json.dumps(value)


def nix_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${").replace("\n", "\\n")
    return f'"{escaped}"'


def as_toml(value: object) -> str:
    match value:
        case dict():
            return "{" + ", ".join(f"{toml_text(key)} = {as_toml(each)}" for key, each in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(as_toml, value)) + "]"
        case str():
            return toml_text(value)
        case float():
            return f"{value:.400f}".rstrip("0") + "0"
        case _:
            return json.dumps(value)


def toml_text(text: str) -> str:
    return '"' + "".join(f"\\U{ord(c):08x}" if ord(c) < 32 or c in '"\\\x7f' else c for c in text) + '"'


def as_yaml(value: Data) -> str:
    stream = StringIO()
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False  # between brackets it writes `?0`, which it cannot read there
    writer.representer.ignore_aliases = lambda *_: True
    # After a list that is not indented, tree-sitter-yaml 0.7 takes a key that begins with `-` for an item.
    writer.indent(mapping=2, sequence=4, offset=2)
    writer.dump(value, stream)
    return stream.getvalue()


def top(printer: Any, value: Data) -> str:  # noqa: ANN401 - either printer
    return "".join(f"{key} = {printer(each)}\n" for key, each in value.items())
