"""Fields of Clan's inventory that Rolecall does not have: ignored, with one warning for each kind."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from rolecall.errors import Fault, Faults, Where, dotted, plural
from rolecall.inventory import files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from rolecall.inventory.data import Data, Keys
    from rolecall.model.source import Clan, Source
    from rolecall.project import Project

# By key path, where `*` is any key: why a field is left out, and what to do instead.
LEFT_OUT: Final[Mapping[tuple[str, ...], tuple[str, str]]] = {
    ("meta", "icon"): ("Rolecall shows no icons", "remove it"),
    ("machines", "*", "icon"): ("Rolecall shows no icons", "remove it"),
    ("machines", "*", "name"): ("a machine's name is its key", "rename the machine's table instead"),
    ("machines", "*", "deploy", "buildHost"): ("Rolecall builds nothing", "remove it"),
    ("machines", "*", "deploy", "forwardAgent"): (
        "OpenSSH decides this",
        "set `ForwardAgent` for this host in your SSH configuration",
    ),
    ("instances", "*", "roles", "*", "extraModules"): (
        "these are NixOS modules, which Rolecall does not install",
        "write a service of your own in modules/ that does what they do",
    ),
    ("modules",): ("Rolecall finds your services in modules/", "remove it"),
}
_LISTED: Final = 5  # files named in the note


def without(data: Data) -> tuple[Data, list[Fault]]:
    """Return a file's data without the fields that only Clan has, and a warning for each kind of these."""
    ignored: dict[tuple[str, ...], list[Keys]] = defaultdict(list)
    for field in LEFT_OUT:
        values = [*_values(data, field)]
        if values:
            data = _dropped(data, field)
        for keys, value in values:
            repeats_key = field[-1] == "name" and value == keys[1]
            if value is not None and not repeats_key:
                ignored[field].append(keys)
    warnings = [_warning(field, places) for field, places in ignored.items()]
    data, renamed = _with_domain(data)
    return data, [*warnings, *renamed]


def _with_domain(data: Data) -> tuple[Data, list[Fault]]:
    """Return a file's data with `meta.tld`, Clan's old name for `meta.domain`, renamed, and a warning about it."""
    meta = data.get("meta")
    if not isinstance(meta, dict) or "tld" not in meta:
        return data, []
    domain = {} if meta["tld"] is None else {"domain": meta["tld"]}
    where, hint = Where(keys=("meta", "tld")), "use `meta.domain`"
    others = {key: value for key, value in meta.items() if key != "tld"}
    warning = Fault("`meta.tld` is Clan's old name for `meta.domain`", where, hint, warning=True)
    return {**data, "meta": domain | others}, [warning]


def note(project: Project, sources: Sequence[Source] = ()) -> str:
    """Return a sentence that says which parts of a Clan were read, and which were not; "" if the project is none.

    Args:
        project: The project.
        sources: Those of its inventory; without them, the user's file is read.
    """
    user_file = sources[-1].file if sources else files.find(project)[-1]
    source = sources[-1] if sources else _read(project, user_file)
    beside = [
        name for name in ("flake.nix", "clan.nix") if name != user_file.name and files.is_clan(project.root / name)
    ]
    if beside:  # a source that Nix has evaluated does not list the other files that it read
        read = source.files if source and len(source.files) > 1 else files.parts(user_file)
        beside = [name for name in beside if project.root / name not in read]
    if source and source.clan:
        return _summary(project, source, source.clan, beside)
    verb = "are" if len(beside) > 1 else "is"
    return f"note: {' and '.join(beside)} {verb} not read, since the inventory is {user_file.name}" if beside else ""


def _read(project: Project, user_file: Path) -> Source | None:
    try:
        return files.read(user_file, nix=files.asks_for_nix(project)) if user_file.suffix == ".nix" else None
    except Faults:
        return None


def _summary(project: Project, source: Source, clan: Clan, beside: list[str]) -> str:
    names = [file.relative_to(project.root).as_posix() for file in source.files]
    more = f" and {len(names) - _LISTED} more files" if len(names) > _LISTED else ""
    more += ", and from what Nix imports there" if clan.imported else ""
    skipped = [*(["NixOS modules"] if clan.modules else []), *(f"`{name}`" for name in clan.skipped), *beside]
    read = f"its inventory, meta and machine names come from {', '.join(names[:_LISTED])}{more}"
    return f"note: this project is a Clan; {read}" + (f"; not read: {', '.join(skipped)}" if skipped else "")


def _warning(field: tuple[str, ...], places: list[Keys]) -> Fault:
    why, hint = LEFT_OUT[field]
    more = f", also in {plural(len(places) - 1, 'other place')}" if places[1:] else ""
    return Fault(f"`{dotted(field[-1:])}` is ignored{more}: {why}", Where(keys=places[0]), hint, warning=True)


def _values(data: Data, field: tuple[str, ...]) -> Iterator[tuple[Keys, Any]]:
    """Yield each key path of a field, with its value."""
    key, *rest = field
    for name in data if key == "*" else (key,) if key in data else ():
        value = data[name]
        if not rest:
            yield (name,), value
        elif isinstance(value, dict):
            for keys, inner in _values(value, tuple(rest)):
                yield (name, *keys), inner


def _dropped(data: Data, field: tuple[str, ...]) -> Data:
    """Return the data without a field; the tables around it are copied."""
    key, *rest = field
    return {
        name: _dropped(value, tuple(rest)) if key in {"*", name} and isinstance(value, dict) and rest else value
        for name, value in data.items()
        if rest or name != key
    }
