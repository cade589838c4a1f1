"""The inventory in another notation: the same data, and its comments where the notation has any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolecall.errors import Fault, Faults, Where, dotted, fault, plural
from rolecall.inventory import clan, content, files, nulls
from rolecall.inventory.changes import has
from rolecall.inventory.comments import comments
from rolecall.inventory.locate import locate
from rolecall.inventory.notation import NOTATIONS, notation_of
from rolecall.inventory.printing import printed
from rolecall.model.equality import same
from rolecall.model.source import Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from rolecall.inventory.data import Keys
    from rolecall.project import Project


def convert(project: Project, to: str) -> tuple[str, tuple[Fault, ...]]:
    """Return the user's inventory file in another notation, and warnings about what is lost.

    Args:
        project: The project; its tool-written file stays as it is.
        to: A key of `NOTATIONS`.

    Raises:
        Faults: When the file cannot be read, or has data that the other notation cannot express.
    """
    file = files.find(project)[-1]
    source, warnings = _without_clan(files.read(file, nix=file.suffix == ".nix" and files.asks_for_nix(project)))
    remarks = comments(file, source.prefix)
    with_values, wrong = nulls.without(source)
    if faults := [locate(each, [source]) for each in wrong if not each.warning]:
        raise Faults(faults)
    data = with_values if to == "toml" else dict(source.data)
    if to == "nix":  # where Clan, too, reads a name only with its table
        data = nulls.declared(data)
    bare = {keys: None for keys in (*remarks.above, *remarks.behind) if has(source.data, keys) and not has(data, keys)}
    if source.inputs:
        data = {"inputs": {name: {"url": url} for name, url in source.inputs.items()}, "inventory": data}
        remarks = remarks.below("inventory")
    if to == "toml" and (null_paths := [*_nulls(data, ())]):
        hint = "remove the key; if null is to override another value, choose another notation"
        places = (keys[1:] if source.inputs else keys for keys in null_paths)
        raise Faults(locate(Fault("TOML has no null", Where(file, keys), hint), [source]) for keys in places)
    text = printed(to, data, remarks)
    _verify(text, to, source)
    return text, (*warnings, *_losses(file, to, len(remarks), bare))


def _without_clan(source: Source) -> tuple[Source, list[Fault]]:
    """Return a source without the fields of a Clan that Rolecall ignores, and warnings about these."""
    data, ignored = clan.without(dict(source.data))
    warnings = [locate(each, [source]) for each in (*source.notes, *ignored)]
    return Source(source.file, data, source.prefix, source.inputs, source.empty), warnings


def _verify(text: str, to: str, source: Source) -> None:
    """Read a printed text again, and raise Faults unless it has the data of the source."""
    try:
        again = NOTATIONS[to].reader.read(text, source.file)
    except Faults as error:
        reason = error.faults[0].message
    else:
        if same([nulls.without(again)[0], again.inputs], [nulls.without(source)[0], source.inputs]):
            return
        reason = "the text would not have the same data"
    where = Where(source.file)
    raise fault(f"this inventory cannot be written as {to}: {reason}", where=where, hint="choose another notation")


def _nulls(value: object, keys: Keys) -> Iterator[Keys]:
    if value is None:
        yield keys
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inside:
        yield from _nulls(each, (*keys, key))


def _losses(file: Path, to: str, remarks: int, bare: Iterable[Keys]) -> Iterator[Fault]:
    if to == "json" and remarks:
        hint = "choose TOML, YAML, Nix or Python to keep them"
        yield Fault(
            f"JSON has no comments: {plural(remarks, 'comment line')} left out", Where(file), hint, warning=True
        )
    for keys in bare:
        message = f"the comment at {dotted(keys)} is left out: TOML has no key without a value"
        yield Fault(message, Where(file), "move the comment, then remove the key", warning=True)
    notation = notation_of(file)
    if notation and notation.reader.computes(content.text(file)):
        message = "computed values are written as plain values"
        yield Fault(message, Where(file), "check the result: it has no names, references and functions", warning=True)
