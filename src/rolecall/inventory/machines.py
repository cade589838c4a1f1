"""Add, remove and rename machines, wherever the inventory names them."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rolecall import files as writing
from rolecall.errors import Fault, Faults, fault
from rolecall.inventory import edit
from rolecall.inventory.changes import Set, Unset
from rolecall.inventory.drafts import drafted
from rolecall.inventory.elsewhere import fault_set_by, fault_set_elsewhere
from rolecall.inventory.load import check, read
from rolecall.inventory.renames import renamed, renamed_data
from rolecall.inventory.shape import NAMES
from rolecall.model.names import NAME_LENGTH, NAME_PATTERN
from rolecall.model.source import Source
from rolecall.project import TOOL_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rolecall.inventory.data import Data, Keys
    from rolecall.inventory.drafts import Draft
    from rolecall.inventory.edit import Edited, Judge
    from rolecall.model.inventory import Loaded
    from rolecall.project import Project


def add(project: Project, name: str, values: Mapping[str, Any], judge: Judge) -> Edited:
    """Declare a machine in `inventory.json`.

    Args:
        project: The project.
        name: The machine's name.
        values: Its table, in the inventory's own form.
        judge: As for `edit`.

    Raises:
        Faults: When the name is invalid or already declared, or as `edit`.
    """

    def changes(loaded: Loaded) -> list[Set]:
        require_name(name)
        if name in loaded.inventory.machines:
            raise fault(f"machine {name!r} already exists")
        return [Set(("machines", name), dict(values))]

    return edit.edit(project, changes, judge=judge)


def remove(project: Project, name: str, *, own: bool, judge: Judge) -> Edited:
    """Remove a machine from the inventory: its table, and its name in lists and roles.

    Args:
        project: The project.
        name: The machine's name.
        own: Whether the user's file may be written too.
        judge: As for `edit`.

    Raises:
        Faults: When the machine does not exist, or a file that names it cannot be written; or as `edit`. Nothing is
            written then.
    """
    with edit.locked(project):
        drafts, _, warnings = _removal(project, name, own=own, judge=judge)
        return edit.write(project, drafts, warnings)


def without(project: Project, name: str, *, own: bool, judge: Judge) -> list[Source]:
    """Return the sources of the inventory as `remove` would leave them; nothing is written.

    Raises:
        Faults: As `remove`.
    """
    return _removal(project, name, own=own, judge=judge)[1]


def _removal(project: Project, name: str, *, own: bool, judge: Judge) -> tuple[list[Draft], list[Source], list[Fault]]:
    """Return the files that the removal of a machine writes, the inventory's sources after it, and new warnings."""
    loaded, faults = check(read(project))
    naming = [(source, places) for source in loaded.sources if (places := list(_places(source.data, name)))]
    if not naming:
        raise Faults([loaded.unknown_machine(name)])
    tool_file = project.root / TOOL_FILE
    writable = {tool_file, loaded.sources[-1].file} if own else {tool_file}
    if refused := [
        fault_set_by(source, keys) for source, places in naming if source.file not in writable for keys in places
    ]:
        raise Faults(refused)
    # The last place in a list first, so that the positions of the others stay valid.
    drafts = [drafted(source, [Unset(keys) for keys in reversed(places)]) for source, places in naming]
    sources = edit.replaced(project, loaded, [draft.source for draft in drafts])
    _, warnings = edit.judged(loaded, faults, sources, judge)
    return drafts, sources, warnings


@contextmanager
def renaming(project: Project, old: str, new: str, judge: Judge, *, known: bool) -> Iterator[None]:
    """Rename a machine. The caller renames what else has its name inside of the `with` block.

    Everything is checked first. Then a record of the rename stays in the project until it is complete. Until then no
    inventory can be read, and the same rename completes what a crash interrupted.

    Args:
        project: The project.
        old: The machine's name until now. If no file has it any more, because the user has changed it by hand, only the
            rest is done.
        new: Its name from now on.
        judge: As for `edit`.
        known: Whether vars or pins have its old name.

    Raises:
        Faults: When the machine does not exist, the new name is invalid or taken, or a file that cannot be written
            names the machine; or as `edit`. Nothing is written then.
    """
    require_name(new)
    with edit.locked(project):
        loaded, faults = check(read(project, renaming=("machine", old, new)))
        machines = loaded.inventory.machines
        folder, moved = project.machines / old, project.machines / new
        resumed = project.renaming.exists()
        if old not in machines and (new not in machines or not (known or resumed)):
            raise Faults([loaded.unknown_machine(old)])
        if old in machines and (new in machines or moved.exists()) and not resumed:
            raise fault(f"machine {new!r} already exists")
        drafts = _rename_drafts(project, loaded, old, new)
        sources = [draft.source for draft in drafts]
        if folder.is_dir():
            sources.insert(0, Source(project.machines, _renamed_data(loaded.sources[0].data, old, new)))
        after, _ = edit.judged(loaded, faults, edit.replaced(project, loaded, sources), judge)
        if old not in after.inventory.machines[new].formerly:
            raise Faults([fault_set_elsewhere(loaded, project.root / TOOL_FILE, ("machines", new, "formerly"))])
        writing.replace(project.renaming, json.dumps(["machine", old, new]) + "\n")
        yield
        if folder.is_dir():
            folder.rename(moved)
        edit.write(project, drafts, ())
        project.renaming.unlink()


def _rename_drafts(project: Project, loaded: Loaded, old: str, new: str) -> list[Draft]:
    """Return drafts of the files that name a machine, with its new name; the tool-written file gets `formerly`.

    Raises:
        Faults: As `renamed`.
    """
    before = loaded.inventory.machines.get(old) or loaded.inventory.machines[new]
    formerly = Set(("machines", new, "formerly"), [old, *(name for name in before.formerly if name not in {old, new})])
    return renamed(project, loaded, lambda data: _places(data, old), old, new, [formerly])


def _places(data: Mapping[str, Any], name: str) -> Iterator[Keys]:
    """Yield the key paths at which a source names a machine, in order."""
    if name in _table(data.get("machines")):
        yield "machines", name
    for tag, value in _table(data.get("tags")).items():
        listed, above = (value.get("machines"), ("machines",)) if isinstance(value, dict) else (value, ())
        for index, each in enumerate(listed if isinstance(listed, list) else ()):
            if each == name:
                yield "tags", tag, *above, index
    for instance, value in _table(data.get("instances")).items():
        for role, parts in _table(_table(value).get("roles")).items():
            if name in _table(_table(parts).get("machines")):
                yield "instances", instance, "roles", role, "machines", name


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _renamed_data(data: Mapping[str, Any], old: str, new: str) -> Data:
    return renamed_data(data, _places(data, old), new)


def require_name(name: str, what: str = "machine") -> None:
    """Require that a name is one that a machine, or `what`, can have.

    Raises:
        Faults: When it is not.
    """
    if not re.fullmatch(NAME_PATTERN, name) or len(name) > NAME_LENGTH:
        raise fault(f"invalid {what} name {name[:80]!r}", hint=NAMES)
