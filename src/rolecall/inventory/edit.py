"""Edit the inventory: make the smallest change of one file's text, and write it only if the inventory stays valid.

Commands write the tool-written file, `inventory.json`, which the user's file overrides; with `own` they write the
user's file. A change of one file must have the same effect on the whole inventory, so values of other files cannot be
changed.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

from rolecall import files as writing
from rolecall.errors import Fault, Faults, Where, dotted, fault
from rolecall.inventory import files, nulls
from rolecall.inventory.changes import Set, Unset, apply, find, has, nested
from rolecall.inventory.data import merge
from rolecall.inventory.drafts import drafted
from rolecall.inventory.elsewhere import fault_set_elsewhere, fault_set_in_several
from rolecall.inventory.forms import Form
from rolecall.inventory.join import join, joined
from rolecall.inventory.load import check, read
from rolecall.inventory.locate import locate
from rolecall.model.equality import same
from rolecall.model.inventory import Inventory, PerFile
from rolecall.model.source import Source
from rolecall.project import TOOL_FILE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from rolecall.inventory.changes import Change
    from rolecall.inventory.data import Data, Keys
    from rolecall.inventory.drafts import Draft
    from rolecall.model.inventory import Loaded
    from rolecall.project import Project

    Judge = Callable[[Loaded, Sequence[Fault]], Sequence[Sequence[Fault]]]
    """Return faults and warnings, one list per stage, stopping at the first stage with faults."""
    Combine = Callable[[PerFile], Data]
    """Return what the settings that several files give at one place amount to."""


@dataclass(frozen=True, slots=True)
class Edited:
    """The result of an edit.

    Attributes:
        files: The files that were written.
        digest: The digest of the new inventory.
        warnings: Warnings that the inventory did not have before.
    """

    files: tuple[Path, ...]
    digest: str
    warnings: tuple[Fault, ...]


def plainly(settings: PerFile) -> Data:
    """Combine settings of several files as plain data, without priorities."""
    return reduce(merge, settings.values())


def get(project: Project, keys: Keys, combine: Combine = plainly) -> tuple[Any, str]:
    """Return the value at a key path, of all files together, and the digest of the inventory.

    Args:
        project: The project.
        keys: The key path.
        combine: As for `edit`.

    Raises:
        Faults: When a file cannot be read, or the path does not exist.
    """
    while True:
        before = digest(project)
        loaded, _ = check(read(project))
        if digest(project) == before:
            return find(merged_data(loaded.sources, combine), keys), before


def edit(
    project: Project,
    changes: Callable[[Loaded], Iterable[Change]],
    *,
    own: bool = False,
    expect: str = "",
    judge: Judge = lambda loaded, faults: [[*faults, *loaded.warnings]],
    combine: Combine = plainly,
) -> Edited:
    """Change the inventory.

    Args:
        project: The project.
        changes: Returns the changes for an inventory, which is locked meanwhile.
        own: Whether to write the user's file rather than the tool-written file.
        expect: The digest that the inventory must have; "" for any.
        judge: Returns what is wrong with an inventory.
        combine: Returns what settings that several files give amount to.

    Raises:
        Faults: When it has another digest, the change cannot be made there, or it would cause new faults. Nothing is
            written then.
    """
    with locked(project, expect):
        loaded, faults = check(read(project))
        wanted = list(changes(loaded))
        target = _target(project, loaded, own=own)
        refuse_nulls(wanted, [target, *reversed(loaded.sources)])
        before = merged_data(loaded.sources, combine)
        effective = [each for each in wanted if not _removes_nothing(each, loaded, target, before)]
        reduce(apply, effective, before)  # raises what is wrong with a path
        for change in wanted:
            if isinstance(change, Unset) and not has(target.data, change.keys):
                raise Faults([fault_set_elsewhere(loaded, target.file, change.keys)])
            if around := _list_elsewhere(change, target):
                raise Faults([fault_set_elsewhere(loaded, target.file, around)])
        draft = drafted(target, wanted)
        sources = replaced(project, loaded, [draft.source])
        whole = reduce(apply, effective, _unwrapped(before, sources, combine))
        if not same(merged_data(sources, combine), _unwrapped(whole, sources, combine)):
            if several := [each.keys for each in wanted if isinstance(each, Unset) and has(target.data, each.keys)]:
                raise Faults([fault_set_in_several(loaded, several[0])])
            raise Faults([fault_set_elsewhere(loaded, target.file, wanted[0].keys)])
        _, warnings = judged(loaded, faults, sources, judge)
        return write(project, [draft], warnings)


def _list_elsewhere(change: Change, target: Source) -> Keys:
    """Return the key path of the first list on a change's path, if the file does not have it; else ()."""
    lists = (change.keys[:depth] for depth, key in enumerate(change.keys) if isinstance(key, int))
    return next((keys for keys in lists if not has(target.data, keys)), ())


def _removes_nothing(change: Change, loaded: Loaded, target: Source, before: Data) -> bool:
    """Return whether a change removes a key without a value, which the inventory as a whole does not have."""
    if not isinstance(change, Unset):
        return False
    sources = [target] if has(before, change.keys) else loaded.sources
    return any(has(each.data, change.keys) and not has(nulls.without(each)[0], change.keys) for each in sources)


def refuse_nulls(changes: Iterable[Change], sources: Sequence[Source]) -> None:
    """Refuse to write a key that would be ignored.

    Raises:
        Faults: For each null outside of settings.
    """

    def hint(keys: Keys) -> str:
        source = next((each for each in sources if has(each.data, keys)), None)
        if source is None:
            return "write a value"
        own = "" if source.file.name == TOOL_FILE else "--own "
        return f"write a value, or remove the key: `rolecall inventory unset {own}{dotted(keys)}`"

    faults = [
        Fault(f"{dotted(keys)} cannot be null", hint=hint(keys))
        for change in changes
        if isinstance(change, Set)
        for keys in nulls.ignored(nested(change.keys, change.value))
    ]
    if faults:
        raise Faults(faults)


@contextmanager
def locked(project: Project, expect: str = "") -> Iterator[None]:
    """Lock the inventory against other writers inside of the `with` block.

    Raises:
        Faults: When it does not have the expected digest.
    """
    with writing.locked(project.local / "inventory.lock"):
        if expect and digest(project) != expect:
            raise fault("the inventory has changed since it was read", hint="read it again, then repeat the change")
        yield


def judged(
    loaded: Loaded, faults: Sequence[Fault], sources: Sequence[Source], judge: Judge
) -> tuple[Loaded, list[Fault]]:
    """Return the inventory that new sources make, and its new warnings.

    Args:
        loaded: The present inventory.
        faults: The faults of its shape.
        sources: The new sources, from general to specific.
        judge: Returns what is wrong with an inventory.

    Raises:
        Faults: When it has faults that the present inventory does not have.
    """
    after, wrong = join(sources)
    new = [
        each
        for old, now in zip(judge(loaded, faults), judge(after, wrong), strict=False)  # the stages that both reach
        for each in _new(old, now)
    ]
    if any(not each.warning for each in new):
        summary = Fault("nothing written: the change would cause these faults")
        raise Faults([summary, *(_unplaced(each, loaded) for each in new if not each.warning)])
    return after, [_unplaced(each, loaded) for each in new]


def write(project: Project, drafts: Sequence[Draft], warnings: Iterable[Fault]) -> Edited:
    """Write files one after the other, each atomically."""
    for draft in drafts:
        writing.replace(draft.source.file, draft.text)
    located = tuple(locate(warning, [draft.source for draft in drafts]) for warning in warnings)
    return Edited(tuple(draft.source.file for draft in drafts), digest(project), located)


def digest(project: Project) -> str:
    """Return the inventory's digest: SHA-256 in hexadecimal digits, over its files and the names in `machines/`.

    Raises:
        Faults: When there is none.
    """
    digests = hashlib.sha256()
    names = sorted(path.name for path in project.machines.iterdir()) if project.machines.is_dir() else []
    parts = [(name, b"") for name in names]
    parts += [
        (each.relative_to(project.root).as_posix(), each.read_bytes())
        for file in files.find(project)
        for each in files.parts(file)
    ]
    for name, content in parts:
        digests.update(f"{name}\0{len(content)}\0".encode() + content)
    return digests.hexdigest()


def merged_data(sources: Iterable[Source], combine: Combine) -> Data:
    """Return the data of all sources together, without keys that have no value."""
    whole, _ = joined([(source.file, nulls.without(source)[0]) for source in sources])
    return _combined(whole, Form(model=Inventory), combine)


def _unwrapped(whole: Data, sources: Iterable[Source], combine: Combine) -> Data:
    """Return data with the priorities resolved of settings that several of these sources give."""

    def unwrapped(data: Data, by_file: Data) -> Data:
        if isinstance(by_file, PerFile):
            return combine(PerFile({"": data}))
        return {
            key: unwrapped(value, at) if isinstance(value, dict) and isinstance(at := by_file.get(key), dict) else value
            for key, value in data.items()
        }

    return unwrapped(whole, joined([(source.file, nulls.without(source)[0]) for source in sources])[0])


def _combined(data: Data, form: Form, combine: Combine) -> Data:
    """Return data in which settings that several files give are combined."""
    if isinstance(data, PerFile):
        return combine(data)
    if not (form.model or form.named):
        return data
    return {
        key: _combined(value, form.below(key), combine) if isinstance(value, dict) else value
        for key, value in data.items()
    }


def replaced(project: Project, loaded: Loaded, others: Iterable[Source]) -> list[Source]:
    """Return an inventory's sources, with those of the given files replaced."""
    changed = {source.file: source for source in others}
    sources = [changed.pop(source.file, source) for source in loaded.sources]
    folders = sum(source.file == project.machines for source in sources)  # more general than the tool-written file
    return [*sources[:folders], *changed.values(), *sources[folders:]]


def _target(project: Project, loaded: Loaded, *, own: bool) -> Source:
    """Return the source that is to be written."""
    if own:
        return loaded.sources[-1]
    return tool_written(project, loaded)


def tool_written(project: Project, loaded: Loaded) -> Source:
    """Return the source of the tool-written file, an empty one if it does not exist yet."""
    file = project.root / TOOL_FILE
    return next((source for source in loaded.sources if source.file == file), Source(file, {}))


def _new(before: Iterable[Fault], after: Iterable[Fault]) -> list[Fault]:
    """Return the faults in `after` but not in `before`, ignoring line numbers."""
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
    """Return the fault without the line number of a text that was not written."""
    where = fault.where
    if where is None or (where.file and where.file not in {source.file for source in loaded.sources}):
        return fault
    return fault.at(Where(keys=where.keys))
