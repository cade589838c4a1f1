"""Writing the inventory: the smallest change of one file's text, kept only when all that follows from it is right.

Tools write `inventory.json`, a layer below what a person's own file says; `own` writes that file itself. A change of a
file has to be that change of the inventory: what another file sets cannot be changed here.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import reduce
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rolecall import files as writing
from rolecall.errors import Fault, Faults, Where, dotted, fault
from rolecall.inventory import files
from rolecall.inventory.changes import Unset, apply, find, has, same
from rolecall.inventory.data import merge
from rolecall.inventory.load import join, read
from rolecall.inventory.locate import locate
from rolecall.model.inventory import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from rolecall.inventory.changes import Change
    from rolecall.inventory.data import Data, Keys
    from rolecall.model.inventory import Loaded
    from rolecall.project import Project

    Judge = Callable[[Loaded, Sequence[Fault]], Sequence[Sequence[Fault]]]
    """Gives all faults and warnings of an inventory, its faults of shape given; stage by stage, as far as it comes."""

_WRITERS = {".toml": "toml", ".yaml": "yaml", ".yml": "yaml", ".json": "json_text"}


@dataclass(frozen=True, slots=True)
class Draft:
    """A file as it is to be written.

    Attributes:
        source: What it says then.
        text: Its text then.
    """

    source: Source
    text: str


@dataclass(frozen=True, slots=True)
class Edited:
    """What an edit has done.

    Attributes:
        files: The files that were written.
        digest: Of the inventory now.
        warnings: What is odd about it and was not before.
    """

    files: tuple[Path, ...]
    digest: str
    warnings: tuple[Fault, ...]


def get(project: Project, keys: Keys) -> tuple[Any, str]:
    """What the files together say at a key path, and the digest of the inventory that says it.

    Raises:
        Faults: When a file cannot be read, or there is no such path.
    """
    while True:
        before = digest(project)
        loaded, _ = read(project)
        if digest(project) == before:
            return find(said(loaded.sources), keys), before


def edit(
    project: Project,
    changes: Callable[[Loaded], Iterable[Change]],
    *,
    own: bool = False,
    expect: str = "",
    judge: Judge = lambda loaded, faults: [[*faults, *loaded.warnings]],
) -> Edited:
    """Changes the inventory.

    Args:
        project: The project.
        changes: What to change, given the inventory as it is while nobody else writes.
        own: Whether to write the person's own file rather than `inventory.json`.
        expect: The digest that the inventory must have; "" for any.
        judge: Tells what is wrong with an inventory.

    Raises:
        Faults: When it has another digest, the change cannot be made there, or the inventory would have faults that it
            has not now. Nothing is written then.
    """
    with locked(project, expect):
        loaded, faults = read(project)
        wanted = list(changes(loaded))
        target = _target(project, loaded, own=own)
        whole = reduce(apply, wanted, said(loaded.sources))
        for change in wanted:
            if isinstance(change, Unset) and not has(target.data, change.keys):
                raise set_elsewhere(loaded, target.file, change.keys)
        draft = drafted(target, wanted)
        sources = replaced(project, loaded, [draft.source])
        if not same(said(sources), whole):
            raise set_elsewhere(loaded, target.file, wanted[0].keys)
        _, warnings = judged(loaded, faults, sources, judge)
        return write(project, [draft], warnings)


@contextmanager
def locked(project: Project, expect: str = "") -> Iterator[None]:
    """Nobody else writes the inventory inside of the `with` block.

    Raises:
        Faults: When it has not the digest that is expected.
    """
    with writing.locked(project.local / "inventory.lock"):
        if expect and digest(project) != expect:
            raise fault("the inventory has changed since it was read", hint="read it again, and decide anew")
        yield


def drafted(source: Source, changes: Sequence[Change]) -> Draft:
    """A file with changes made, by key paths from the inventory's top.

    Raises:
        Faults: When its text cannot be changed so.
    """
    if source.file.suffix not in _WRITERS:
        hint = "change it by hand; what tools may write stands in inventory.json"
        raise fault(f"{source.file.name} is a program, which only people write", hint=hint)
    data = reduce(apply, changes, dict(source.data))
    return redrafted(source, lambda text: changed(source, text, changes), data)


def changed(source: Source, text: str, changes: Iterable[Change]) -> str:
    """A source's text with changes made, by a writer of its notation."""
    writer = import_module(f"rolecall.inventory.writers.{_WRITERS[source.file.suffix]}")
    seen = (replace(change, keys=(*source.prefix, *change.keys)) for change in changes)
    return reduce(writer.change, seen, text)


def redrafted(source: Source, write: Callable[[str], str], data: Data) -> Draft:
    """A file with another text, when that says what it should.

    Args:
        source: The file as it is, or as it would be when there is none.
        write: Gives the new text, from the old one with plain line breaks.
        data: What the new one is to say.

    Raises:
        Faults: When it does not.
    """
    raw = source.file.read_bytes().decode() if source.file.exists() else ""
    mark = "\ufeff" if raw.startswith("\ufeff") else ""
    old = raw.removeprefix(mark)
    windows = old.count("\r\n") == old.count("\n") > 0
    text, again = "", None
    try:
        text = write(old.replace("\r\n", "\n"))
        notation = files.notation(source.file)
        again = notation.read(text, source.file) if notation else None
    except (Faults, ArithmeticError, AssertionError, LookupError, StopIteration, ValueError):
        pass  # whatever a writer makes of a text that it does not understand
    if again is None or again.prefix != source.prefix or not same(again.data, data):
        hint = f"it is written in a way that only people understand; open {source.file.name}, and change it there"
        raise fault("this change has to be made by hand", where=Where(source.file), hint=hint)
    return Draft(again, mark + (text.replace("\n", "\r\n") if windows else text))


def judged(
    loaded: Loaded, faults: Sequence[Fault], sources: Sequence[Source], judge: Judge
) -> tuple[Loaded, list[Fault]]:
    """The inventory that other sources make, and the warnings that the inventory as it is has not.

    Args:
        loaded: The inventory as it is.
        faults: Those of its shape.
        sources: From general to specific.
        judge: Tells what is wrong with an inventory.

    Raises:
        Faults: When it has faults that the inventory as it is has not.
    """
    after, wrong = join(sources)
    new = [
        each
        for old, now in zip(judge(loaded, faults), judge(after, wrong), strict=False)  # the stages that both reach
        for each in _new(old, now)
    ]
    if any(not each.warning for each in new):
        told = "nothing is written: the inventory would have faults that it has not now"
        raise Faults([Fault(told), *(_unplaced(each, loaded) for each in new if not each.warning)])
    return after, [_unplaced(each, loaded) for each in new]


def write(project: Project, drafts: Sequence[Draft], warnings: Iterable[Fault]) -> Edited:
    """Writes files, one after the other and each whole."""
    for draft in drafts:
        writing.replace(draft.source.file, draft.text)
    located = tuple(locate(warning, [draft.source for draft in drafts]) for warning in warnings)
    return Edited(tuple(draft.source.file for draft in drafts), digest(project), located)


def digest(project: Project) -> str:
    """What an inventory's digest is: SHA-256, in hexadecimal digits, over its files and the names of machines' folders.

    Raises:
        Faults: When there is none.
    """
    found = hashlib.sha256()
    names = sorted(path.name for path in project.machines.iterdir()) if project.machines.is_dir() else []
    parts = [(name, b"") for name in names]
    parts += [
        (each.relative_to(project.root).as_posix(), each.read_bytes())
        for file in files.find(project)
        for each in files.parts(file)
    ]
    for name, content in parts:
        found.update(f"{name}\0{len(content)}\0".encode() + content)
    return found.hexdigest()


def said(sources: Iterable[Source]) -> Data:
    """What files say together, as they write it."""
    return reduce(merge, (dict(source.data) for source in sources), {})


def replaced(project: Project, loaded: Loaded, others: Iterable[Source]) -> list[Source]:
    """An inventory's sources with others in the places of those of the same file."""
    changed = {source.file: source for source in others}
    sources = [changed.pop(source.file, source) for source in loaded.sources]
    folders = sum(source.file == project.machines for source in sources)  # more general than what tools write
    return [*sources[:folders], *changed.values(), *sources[folders:]]


def _target(project: Project, loaded: Loaded, *, own: bool) -> Source:
    """The file that is to be written."""
    if own:
        return loaded.sources[-1]
    return tools(project, loaded)


def tools(project: Project, loaded: Loaded) -> Source:
    """The source that tools write, also when there is none yet."""
    file = project.root / files.TOOLS
    return next((source for source in loaded.sources if source.file == file), Source(file, {}))


def set_elsewhere(loaded: Loaded, target: Path, keys: Keys) -> Faults:
    """A fault for what another file than the one to be written says at or around a key path."""
    others = [source for source in loaded.sources if source.file != target]
    speaking = [source for source in others if has(source.data, keys)]
    return said_by((speaking or others)[-1], keys)


def said_by(source: Source, keys: Keys) -> Faults:
    """A fault for what a file says that is not to be written."""
    if source.file.is_dir():
        hint = f"a folder declares it: remove or move {source.file.name}/{keys[1]} yourself" if keys[1:] else ""
    elif source.file.name == files.TOOLS:
        hint = "change it there, without `--own`"
    else:
        hint = "change it there by hand, or let Rolecall do it with `--own`"
    where = place(source, keys)
    name = ((where and where.file) or source.file).name
    return fault(f"{name} sets {dotted(keys)}", where=where, hint=hint)


def place(source: Source, keys: Keys) -> Where | None:
    """Where a source says something."""
    return locate(Fault("", Where(source.file, keys)), [source]).where


def _new(before: Iterable[Fault], after: Iterable[Fault]) -> list[Fault]:
    """The faults that came; the same one in another line is none."""
    known = Counter(_essence(each) for each in before)
    new = []
    for each in after:
        known[_essence(each)] -= 1
        if known[_essence(each)] < 0:
            new.append(each)
    return new


def _essence(fault: Fault) -> tuple[object, ...]:
    return fault.message, fault.where and fault.where.keys


def _unplaced(fault: Fault, loaded: Loaded) -> Fault:
    """A fault without a line where that is one of a text that was not written."""
    where = fault.where
    if where is None or (where.file and where.file not in {source.file for source in loaded.sources}):
        return fault
    return fault.at(Where(keys=where.keys))
