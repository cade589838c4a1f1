"""Let Nix itself evaluate a Nix file, if the project or an option says so, since such a file is a program.

`nix-instantiate(1)` evaluates it without a store to write to, so nothing is built and nothing is fetched. The file may
be anything that `nix.py` reads, with computed values too, or a function of `lib` and the like.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rolecall.inventory import content
from rolecall.inventory.data import BYTES, shown, syntax_fault
from rolecall.inventory.notations.nix_modules import joined
from rolecall.model.source import Clan, Source

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rolecall.errors import Faults
    from rolecall.inventory.data import Data

SECONDS: Final = 60

# Anything can be around the inventory, so Nix picks out its parts, module by module; `nix_joining.py` joins them. Paths
# become texts, relative to the project: without a store they have no other form, and a project is the same in every
# checkout. `lib` is that of nixpkgs if NIX_PATH has one, else the functions that inventories use.
_PICK: Final = """
{ file, fraction }:
let
  inherit (builtins)
    attrNames concatLists concatMap elem filter foldl' functionArgs intersectAttrs isAttrs isFloat isFunction isList
    isPath isString listToAttrs map mapAttrs pathExists readDir stringLength substring tryEval;
  override = priority: content: { _type = "override"; inherit priority content; };
  order = priority: content: { _type = "order"; inherit priority content; };
  ours = builtins // rec {
    mkOverride = override; mkForce = override 50; mkVMOverride = override 10; mkImageMediaOverride = override 60;
    mkDefault = override 1000; mkOptionDefault = override 1500;
    mkOrder = order; mkBefore = order 500; mkAfter = order 1500;
    mkIf = condition: content: { _type = "if"; inherit condition content; };
    mkMerge = contents: { _type = "merge"; inherit contents; };
    nameValuePair = name: value: { inherit name value; };
    genAttrs = names: function: listToAttrs (map (name: nameValuePair name (function name)) names);
    mapAttrsToList = function: set: map (name: function name set.${name}) (attrNames set);
    mapAttrs' = function: set: listToAttrs (mapAttrsToList function set);
    filterAttrs = keep: set: listToAttrs (map (name: nameValuePair name set.${name})
      (filter (name: keep name set.${name}) (attrNames set)));
    optional = condition: value: if condition then [ value ] else [ ];
    optionals = condition: values: if condition then values else [ ];
    optionalAttrs = condition: set: if condition then set else { };
    optionalString = condition: text: if condition then text else "";
    recursiveUpdate = one: other: one // mapAttrs (name: value:
      if isAttrs value && isAttrs (one.${name} or null) then recursiveUpdate one.${name} value else value) other;
    foldr = function: start: list:
      let at = n: if n == builtins.length list then start else function (builtins.elemAt list n) (at (n + 1)); in at 0;
    foldl = foldl';
    hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;
    hasSuffix = suffix: text:
      stringLength text >= stringLength suffix
      && substring (stringLength text - stringLength suffix) (stringLength suffix) text == suffix;
    removeSuffix = suffix: text:
      if hasSuffix suffix text then substring 0 (stringLength text - stringLength suffix) text else text;
    flatten = value: if isList value then concatMap flatten value else [ value ];
    unique = foldl' (known: value: if builtins.elem value known then known else known ++ [ value ]) [ ];
    range = first: last: if first > last then [ ] else builtins.genList (n: first + n) (last - first + 1);
    fileContents = path: removeSuffix "\n" (builtins.readFile path);
  };
  found = tryEval <nixpkgs/lib>;
  lib = if found.success then import found.value else ours;
  folder = dirOf (/. + file);
  self = { inherit inputs; outPath = toString folder; };
  given = { inherit lib inputs self; config = { }; };
  # An argument that a function takes and that is missing is an error only where it is used.
  missing = function: values: removeAttrs (mapAttrs
    (name: _: throw "the function argument `${name}` is not available") (functionArgs function)) (attrNames values);
  give = values: function:
    let takes = functionArgs function; in
    function (if takes == { } then values else intersectAttrs takes values // needed function values);
  needed = function: values:
    let takes = functionArgs function; in
    removeAttrs (missing function values) (filter (name: takes.${name}) (attrNames takes));
  called = value: if isFunction value then called (give given value) else value;
  # Nothing is fetched: an input has the functions that can be around an inventory, and empty modules.
  empty = { default = { }; clan = { }; modules = { }; home-manager = { }; easyOverlay = { }; partitions = { }; };
  input = {
    lib = lib // { mkFlake = first:
      if first ? flake then { flake-parts = first; } else value: { flake-parts = value; };
      inherit clan; buildClan = clan; };
    flakeModules = empty; flakeModule = { }; nixosModules = empty; clanModules = empty;
  };
  # The result of Clan's function has the module as `config`.
  clan = value: let whole = { clan-module = value; config = whole; }; in whole;

  raw = builtins.scopedImport { flake-parts = input; } (/. + file);
  beside = folder + "/flake.nix";
  named = if isAttrs raw then raw.inputs or { } else if pathExists beside then (import beside).inputs or { } else { };
  tree = folder: concatMap (name:
    let path = folder + "/${name}"; in
    if substring 0 1 name == "_" then [ ]
    else if (readDir folder).${name} == "directory" then tree path
    else if ours.hasSuffix ".nix" name then [ path ]
    else [ ]) (attrNames (readDir folder));
  inputs = mapAttrs (name: _: if name == "import-tree" then path: { imports = tree path; } else input)
    ({ clan-core = { }; nixpkgs = { }; flake-parts = { }; } // named) // { inherit self; };
  flake = called raw;
  is-flake = flake ? outputs;
  given-to-flake = intersectAttrs named inputs // { inherit self; };
  top = if is-flake then called (flake.outputs (given-to-flake // needed flake.outputs given-to-flake)) else flake;

  wrapped = value: isAttrs value && elem (value._type or null) [ "merge" "if" "override" "order" ];
  unwrapped = value:
    if !(wrapped value) then [ value ]
    else if value._type == "merge" then concatMap unwrapped value.contents
    else if value._type != "if" then throw "a priority around a whole module is not supported; put it around the values"
    else if value.condition then unwrapped value.content
    else [ ];
  # A module and those that it imports, each with a key, so that a file counts once.
  flat = key: value:
    let
      is-file = isPath value || isString value;
      name = if is-file then toString value else key;
      own = called (if is-file then import value else value);
      imports = concatLists (numbered (n: flat "${name}:${toString n}") (own.imports or [ ]));
    in
    if own ? clan-module then flat "${name}:clan" own.clan-module
    else if wrapped own then concatLists (numbered (n: flat "${name}:${toString n}") (unwrapped own))
    else if own ? config && removeAttrs own [ "config" "imports" "options" ] == { } then
      flat "${name}:config" own.config ++ imports
    else [ { key = name; value = removeAttrs own [ "imports" ]; } ] ++ imports;
  numbered = function: list: builtins.genList (n: function n (builtins.elemAt list n)) (builtins.length list);
  once = entries: (foldl' (all: entry:
    if all.seen ? ${entry.key} then all
    else { seen = all.seen // { ${entry.key} = true; }; kept = all.kept ++ [ entry ]; })
    { seen = { }; kept = [ ]; } entries).kept;
  inside-of = name: concatMap ({ key, value }: if value ? ${name} then flat "${key}:${name}" value.${name} else [ ]);
  clans = value: once (concatMap (entry:
    inside-of "clan" [ entry ]
    ++ inside-of "clan" [ { key = "${entry.key}:flake"; value = called (entry.value.flake or { }); } ])
    (once (flat "" value)));
  # A function of a set, below the priorities and conditions around the set.
  within = function: value:
    if !(wrapped value) then (if isAttrs value then function value else value)
    else if value._type == "merge" then value // { contents = map (within function) value.contents; }
    else if value._type == "if" && !value.condition then value // { content = { }; }
    else value // { content = within function value.content; };
  each-within = function: within (mapAttrs (_: within function));
  of-clan = entries: {
    prefix = [ "inventory" ];
    parts = values (inside-of "inventory" entries)
      ++ concatMap ({ value, ... }: if value ? meta then [ { inherit (value) meta; } ] else [ ]) entries;
    machines = concatMap ({ value, ... }:
      if value ? machines then [ (within (mapAttrs (_: _: { })) value.machines) ] else [ ]) entries;
    modules = map (entry: entry.key) (entries ++ inside-of "inventory" entries);
  };
  values = entries: map (entry: entry.value) (once entries);
  plainly = { prefix = [ ]; is-clan = false; parts = values (flat "" top); machines = [ ]; modules = [ ]; };

  picked =
    if top ? clan-module then of-clan (once (flat "" top)) // { is-clan = true; }
    else if top ? flake-parts then clan-parts top.flake-parts
    else if top ? instances || top ? tags then plainly
    else if top ? clan || top ? flake then clan-parts top
    else if top ? inventory || baseNameOf file == "clan.nix" then
      of-clan (once (flat "" top)) // { is-clan = removeAttrs top [ "inventory" ] != { }; }
    else if is-flake && !(top ? machines) then
      throw "no output of this flake is an inventory; add it with `clan = clan.config;`"
    else plainly;
  clan-parts = value:
    let found = of-clan (clans value); in
    if found.parts == [ ] && found.machines == [ ] then throw "this flake has no inventory"
    else found // { prefix = [ "clan" "inventory" ]; is-clan = true; };

  # Clan's `tags` may be a function of all tags; machines can be declared by folders and in inventory.json too.
  tool-written = if pathExists (folder + "/inventory.json")
    then (builtins.fromJSON (builtins.readFile (folder + "/inventory.json"))).machines or { } else { };
  folders = if pathExists (folder + "/machines") then readDir (folder + "/machines") else { };
  named-folders = listToAttrs (map (name: { inherit name; value = { }; })
    (filter (name: folders.${name} == "directory" && substring 0 1 name != ".") (attrNames folders)));
  opened = value:
    if !(wrapped value) then value
    else if value._type == "merge" then foldl' (all: each: all // opened each) { } value.contents
    else if value._type == "if" && !value.condition then { }
    else opened value.content;
  machines = foldl' (all: part: all // mapAttrs (name: machine: (all.${name} or { }) // opened machine) (opened part))
    { } ([ named-folders tool-written ] ++ map (part: part.machines or { }) picked.parts ++ picked.machines);
  of-class = class: filter (name: (machines.${name}.machineClass or "nixos") == class) (attrNames machines);
  linux = of-class "nixos" ++ of-class "linux";
  computed = { all = attrNames machines; nixos = linux; inherit linux; darwin = of-class "darwin"; };
  tags-of = value:
    let all = computed // own; own = called' value; called' = value:
      if isFunction value then called' (give { inherit lib machines; config = all; } value) else value;
    in own;
  cleaned = part:
    part
    // (if part ? tags then { tags = tags-of part.tags; } else { })
    // (if part ? instances then { instances = each-within (instance: instance
      // (if instance ? roles then { roles = each-within (role:
        role // (if role ? extraModules then { extraModules = [ ]; } else { })) instance.roles; } else { }))
      part.instances; } else { });

  inside = "${toString folder}/";
  relative = path:
    if path == toString folder then "."
    else if substring 0 (stringLength inside) path == inside then "./" + substring (stringLength inside) (-1) path
    else path;
  plain = value:
    if isAttrs value then mapAttrs (_: plain) value
    else if isList value then map plain value
    else if isPath value then relative (toString value)
    else if isFloat value then { ${fraction} = value; }
    else value;
  urls = mapAttrs (_: input: if isAttrs input then input.url or "" else input) (if isAttrs raw then named else { });
in
{
  inherit (picked) prefix is-clan machines modules;
  inherit urls;
  parts = map (part: plain (cleaned part)) picked.parts;
}
"""
_FRACTION: Final = "a fraction, which Nix may print as a whole number"
_CUT: Final = "cut at the end of a character: `builtins.substring` counts bytes"
_LIB: Final = "set NIX_PATH=nixpkgs=FOLDER, where FOLDER/lib is that of nixpkgs"
_INPUTS: Final = "copy what the inventory needs into the project: inputs of a flake are not fetched"


def read(file: Path) -> Source:
    """Return the inventory that a Nix file evaluates to.

    Raises:
        Faults: An error of Nix, with line and column; or Nix is not installed, or takes longer than `SECONDS`.
    """
    command = ["nix-instantiate", "--eval", "--strict", "--json", "--read-write-mode", "--store", "dummy://"]
    # Nix may read files of the project and of NIX_PATH only.
    command += ["--option", "restrict-eval", "true", "-I", str(file.resolve().parent)]
    command += ["--option", "allow-import-from-derivation", "false", "--argstr", "file", str(file.resolve())]
    command += ["--argstr", "fraction", _FRACTION]
    try:
        done = subprocess.run(
            [*command, "-E", _PICK], stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False
        )
    except FileNotFoundError:
        hint = "install Nix (on Debian: apt-get install nix-bin), or omit `--nix` if the file is plain data"
        raise syntax_fault("`nix-instantiate` is not installed", hint=hint) from None
    except subprocess.TimeoutExpired:
        raise syntax_fault(f"Nix did not finish within {SECONDS} seconds") from None
    if done.returncode:
        raise _nix_fault(done.stderr.decode(errors="replace"), file)
    if len(done.stdout) > BYTES:
        raise syntax_fault(f"the inventory is larger than {BYTES // 1024**2} MiB")
    try:
        outcome = json.loads(done.stdout.decode(), object_hook=_fraction)
    except UnicodeDecodeError:
        raise syntax_fault("Nix: a string is not valid UTF-8", hint=_CUT) from None
    data = joined(outcome["parts"], outcome["machines"], file)
    read_ = _modules(file, outcome["modules"])
    has_modules = bool(outcome["machines"]) or _has_modules(data)
    clan = Clan(read_, has_modules, skipped=(), imported=True) if outcome["is-clan"] else None
    inputs = {name: url for name, url in outcome["urls"].items() if url}
    return Source(file, data, tuple(outcome["prefix"]), inputs, files=read_, clan=clan)


def _modules(file: Path, keys: Iterable[str]) -> tuple[Path, ...]:
    """Return the file, and those of its folder that are modules: what else they import, only Nix knows."""
    paths = (Path(key.partition(":")[0]) for key in keys if key.startswith("/"))
    named = dict.fromkeys(path / "default.nix" if path.is_dir() else path for path in paths)
    root = file.resolve().parent
    inside = [file.parent / path.relative_to(root) for path in named if path.is_relative_to(root) and path.is_file()]
    return tuple(dict.fromkeys([file, *inside]))


def _has_modules(data: Data) -> bool:
    """Return whether a role has modules of NixOS."""
    instances = data.get("instances")
    tables = [each for each in instances.values() if isinstance(each, dict)] if isinstance(instances, dict) else []
    roles = [each.get("roles") for each in tables]
    return any("extraModules" in role for each in roles if isinstance(each, dict) for role in each.values() if role)


def _fraction(data: dict[str, Any]) -> Any:  # noqa: ANN401 - any data
    return float(data[_FRACTION]) if data.keys() == {_FRACTION} else data


def _nix_fault(output: str, file: Path) -> Faults:
    """Return the error that Nix reports, with its line and column in the file."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output)
    message = re.search(r"^error: (.*?)(?:\n\s*\n|\n\s+at |\n\s*[«(]|\Z)", plain, re.MULTILINE | re.DOTALL)
    place = re.search(rf"at {re.escape(str(file.resolve()))}:(\d+):(\d+)", plain)
    words = " ".join(message[1].split()) if message else "failed without a message"
    line, column = (int(place[1]), int(place[2])) if place else (0, 0)
    hint = ""
    if missing := re.fullmatch(r"attribute '(.*)' missing", words):
        written = content.text(file).splitlines()[line - 1 : line]
        of_lib = any(re.search(rf"\blib\.{re.escape(missing[1])}", each) for each in written)
        hint = _LIB if of_lib else _INPUTS
    if "is not supported by store 'dummy'" in words:
        words = "a path inside a string would be copied to the Nix store, which Rolecall does not use"
        hint = 'write the path without `${…}`: `./folder + "/file"`'
    return syntax_fault(f"Nix: {shown(words, quote='', limit=300)}", line, column, hint=hint)
