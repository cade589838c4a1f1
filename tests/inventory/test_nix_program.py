"""Nix itself: as the judge of our own reader of its data, and where a project asks for it."""

from __future__ import annotations

import math
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from notated import as_nix, inventories, snippets

from rolecall.inventory.notations import nix, nix_program

if TYPE_CHECKING:
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
        return nix.read(text, file), nix_program.read(text, file)

    return read


SNIPPETS = [*snippets("instances.md"), *snippets("inventory.md")[1:]]  # the first one lacks a sign


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
