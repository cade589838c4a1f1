"""Nix, evaluated by Nix itself: only where the project or its user asks for it, since such a file is a program.

`nix-instantiate(1)` evaluates it without a store to write to, so nothing is built and nothing fetched. The file may be
all that `nix.py` reads, also with what lies beyond data, and a function of `lib` and the like.
"""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Final

from rolecall.inventory import wrapping
from rolecall.inventory.data import BYTES, shown, syntax_fault
from rolecall.model.inventory import Source

if TYPE_CHECKING:
    from pathlib import Path

    from rolecall.errors import Faults

SECONDS: Final = 60

# What is around the inventory can be anything, so Nix picks it out. Paths become texts, in the project counted from it:
# without a store they have no other form, and a project is the same in every checkout. `lib` is that of nixpkgs where
# NIX_PATH has one, else the part of it that marks priorities.
_PICK: Final = """
{ file }:
let
  inherit (builtins) functionArgs intersectAttrs isAttrs isFunction isList isPath mapAttrs;
  inherit (builtins) stringLength substring tryEval;
  override = priority: content: { _type = "override"; inherit priority content; };
  order = priority: content: { _type = "order"; inherit priority content; };
  marks = {
    mkOverride = override; mkForce = override 50; mkVMOverride = override 10; mkImageMediaOverride = override 60;
    mkDefault = override 1000; mkOptionDefault = override 1500;
    mkOrder = order; mkBefore = order 500; mkAfter = order 1500;
    mkIf = condition: content: { _type = "if"; inherit condition content; };
    mkMerge = contents: { _type = "merge"; inherit contents; };
  };
  found = tryEval <nixpkgs/lib>;
  lib = if found.success then import found.value else marks;
  given = { inherit lib inputs; config = { }; self = { }; };
  give = values: function:
    function (if functionArgs function == { } then values else intersectAttrs (functionArgs function) values);
  called = value: if isFunction value then called (give given value) else value;
  # Nothing is fetched: of any input there are the functions that an inventory stands in.
  input.lib = lib // { mkFlake = _: called; clan = clan; buildClan = clan; };
  # A module with those that it imports. What Clan makes of it gives it back as `config`.
  clan = value: let whole = module value; in whole // { config = whole; };
  module = value:
    let own = called (if isPath value then import value else value);
    in builtins.foldl' joined (removeAttrs own [ "imports" ]) (map module (own.imports or [ ]));
  joined = one: other:
    one // mapAttrs (name: value:
      if isAttrs value && isAttrs (one.${name} or null) then joined one.${name} value else one.${name} or value) other;
  # As in the document that this follows: a flake may name flake-parts without saying that it is given it.
  flake = called (builtins.scopedImport { flake-parts = input; } (/. + file));
  named = flake.inputs or { };
  inputs = mapAttrs (_: _: input) named // { self = { }; };
  top = if flake ? outputs then called (give inputs flake.outputs) else flake;
  picked =
    if top ? instances || top ? tags then top
    else if top ? clan then { clan.inventory = (called top.clan).inventory; }
    else if top ? inventory then { inherit (top) inventory; }
    else if flake ? outputs && !(top ? machines) then
      throw "no output of this flake is an inventory; `clan = clan.config;` makes that of Clan one"
    else top;
  folder = toString (dirOf (/. + file));
  inside = "${folder}/";
  relative = path:
    if path == folder then "."
    else if substring 0 (stringLength inside) path == inside then "./" + substring (stringLength inside) (-1) path
    else path;
  plain = value:
    if isAttrs value then mapAttrs (_: plain) value
    else if isList value then map plain value
    else if isPath value then relative (toString value)
    else value;
  urls = mapAttrs (_: input: if isAttrs input then input.url or "" else input) named;
in
{ whole = plain picked; inherit urls; }
"""


def read(file: Path) -> Source:
    """The inventory that a Nix file evaluates to.

    Raises:
        Faults: What Nix says, with line and column; when there is no Nix, or it takes longer than `SECONDS`.
    """
    command = ["nix-instantiate", "--eval", "--strict", "--json", "--read-write-mode", "--store", "dummy://"]
    # Of files, Nix may read those of the project and of NIX_PATH.
    command += ["--option", "restrict-eval", "true", "-I", str(file.resolve().parent)]
    command += ["--option", "allow-import-from-derivation", "false", "--argstr", "file", str(file.resolve())]
    try:
        done = subprocess.run(
            [*command, "-E", _PICK], stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False
        )
    except FileNotFoundError:
        hint = "install Nix (on Debian: apt-get install nix-bin), or go without `--nix` if the file is plain data"
        raise syntax_fault("there is no `nix-instantiate` here", hint=hint) from None
    except subprocess.TimeoutExpired:
        raise syntax_fault(f"Nix has not evaluated this in {SECONDS} seconds") from None
    if done.returncode:
        raise _told(done.stderr.decode(errors="replace"), file)
    if len(done.stdout) > BYTES:
        raise syntax_fault(f"evaluates to more than {BYTES // 1024**2} MiB")
    outcome = json.loads(done.stdout)
    source = wrapping.source(file, outcome["whole"])
    return Source(file, source.data, source.prefix, {name: url for name, url in outcome["urls"].items() if url})


def _told(said: str, file: Path) -> Faults:
    """What Nix says is wrong, with the line and column in the file that it names."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said)
    message = re.search(r"^error: (.*?)(?:\n\s*\n|\n\s+at |\n\s*[«(]|\Z)", plain, re.MULTILINE | re.DOTALL)
    place = re.search(rf"at {re.escape(str(file.resolve()))}:(\d+):(\d+)", plain)
    words = " ".join(message[1].split()) if message else "it failed without a word"
    missing = re.fullmatch(r"attribute '.*' missing", words)
    hint = (
        "inputs of a flake are not fetched; what the inventory needs of them must stand in the project"
        if missing
        else ""
    )
    line, column = (int(place[1]), int(place[2])) if place else (0, 0)
    return syntax_fault(f"Nix: {shown(words, quote='', limit=300)}", line, column, hint=hint)
