"""Fields that Clan's inventory has and Rolecall's has not: left out, with one warning for each kind."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from rolecall.errors import Fault, Faults, Where, dotted
from rolecall.inventory import files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from rolecall.inventory.data import Data, Keys
    from rolecall.model.inventory import Clan, Source
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
_NAMED: Final = 5  # files in a sentence


def without(data: Data) -> tuple[Data, list[Fault]]:
    """One file's data without what Clan alone has, and the warnings that say so."""
    found: dict[tuple[str, ...], list[Keys]] = defaultdict(list)
    for field in LEFT_OUT:
        data, said = _taken(data, field)
        for keys, value in said:
            is_own_name = field[-1] == "name" and value == keys[1]
            if value is not None and not is_own_name:
                found[field].append(keys)
    warnings = [_warning(field, places) for field, places in found.items()]
    data, renamed = _with_domain(data)
    return data, [*warnings, *renamed]


def _with_domain(data: Data) -> tuple[Data, list[Fault]]:
    """One file's data with `meta.tld`, Clan's old name of `meta.domain`, under the new name; and a warning."""
    meta = data.get("meta")
    if not isinstance(meta, dict) or "tld" not in meta:
        return data, []
    domain = {} if meta["tld"] is None else {"domain": meta["tld"]}
    where, hint = Where(keys=("meta", "tld")), "use `meta.domain`"
    others = {key: value for key, value in meta.items() if key != "tld"}
    warning = Fault("`meta.tld` is Clan's old name for `meta.domain`", where, hint, warning=True)
    return {**data, "meta": domain | others}, [warning]


def note(project: Project, sources: Iterable[Source] = ()) -> str:
    """What was taken from the Clan that a project is, and what was not; "" where it is none.

    Args:
        project: The project.
        sources: Those of its inventory; without them, its file is read.
    """
    own = files.find(project)[-1]
    source = next((each for each in sources if each.file == own), None) or _read(project, own)
    beside = [name for name in ("flake.nix", "clan.nix") if name != own.name and files.is_clan(project.root / name)]
    if beside:
        read = files.parts(own)
        beside = [name for name in beside if project.root / name not in read]
    if source and source.clan:
        return _told(project, source, source.clan, beside)
    verb = "are" if len(beside) > 1 else "is"
    return f"note: {' and '.join(beside)} {verb} not read, since the inventory is {own.name}" if beside else ""


def _read(project: Project, own: Path) -> Source | None:
    try:
        return files.read(own, nix=files.asks_for_nix(project)) if own.suffix == ".nix" else None
    except Faults:
        return None


def _told(project: Project, source: Source, clan: Clan, beside: list[str]) -> str:
    names = [file.relative_to(project.root).as_posix() for file in source.files]
    read = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more files" if len(names) > _NAMED else "")
    left = [*(["NixOS modules"] if clan.modules else []), *(f"`{name}`" for name in clan.skipped), *beside]
    return f"note: this project is a Clan; its inventory, meta and machine names come from {read}" + (
        f"; not read: {', '.join(left)}" if left else ""
    )


def _warning(field: tuple[str, ...], places: list[Keys]) -> Fault:
    why, hint = LEFT_OUT[field]
    others = len(places) - 1
    more = f", also in {others} other place{'s' if others > 1 else ''}" if others else ""
    return Fault(f"`{dotted(field[-1:])}` is ignored{more}: {why}", Where(keys=places[0]), hint, warning=True)


def _taken(data: Data, field: tuple[str, ...]) -> tuple[Data, list[tuple[Keys, Any]]]:
    """The data without a field; its places, and what was said there."""
    found = [*_places(data, field)]
    return _dropped(data, field) if found else data, found


def _places(data: Data, field: tuple[str, ...]) -> Iterator[tuple[Keys, Any]]:
    """The key paths of a field, and what is said there."""
    key, *rest = field
    for name in data if key == "*" else (key,) if key in data else ():
        value = data[name]
        if not rest:
            yield (name,), value
        elif isinstance(value, dict):
            for keys, said in _places(value, tuple(rest)):
                yield (name, *keys), said


def _dropped(data: Data, field: tuple[str, ...]) -> Data:
    """The data without a field; the tables around it are copies."""
    key, *rest = field
    return {
        name: _dropped(value, tuple(rest)) if key in {"*", name} and isinstance(value, dict) and rest else value
        for name, value in data.items()
        if rest or name != key
    }
