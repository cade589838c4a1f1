"""Rename instances, wherever the inventory names them."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rolecall import files as writing
from rolecall.errors import Fault, Faults, Where, dotted, fault, nearest
from rolecall.inventory import edit
from rolecall.inventory.changes import Set, Unset, has
from rolecall.inventory.elsewhere import fault_set_elsewhere
from rolecall.inventory.load import check, read
from rolecall.inventory.locate import locate
from rolecall.inventory.machines import require_name
from rolecall.inventory.renames import renamed
from rolecall.project import TOOL_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rolecall.inventory.changes import Change
    from rolecall.inventory.data import Keys
    from rolecall.inventory.edit import Judge
    from rolecall.model.inventory import Loaded
    from rolecall.project import Project


@contextmanager
def renaming(
    project: Project, old: str, new: str, judge: Judge, *, known: bool, spared: Sequence[str]
) -> Iterator[tuple[Fault, ...]]:
    """Rename an instance. The caller renames its vars inside of the `with` block.

    As for machines, a record of the rename stays in the project until it is complete.

    Args:
        project: The project.
        old: The instance's name until now. If no file has it any more, because the user has changed it by hand, only
            the rest is done.
        new: Its name from now on.
        judge: As for `edit`.
        known: Whether vars have its old name.
        spared: Names of vars that are not its own; they are recorded, see `spared_by`.

    Returns:
        A warning for each setting `network` that has the old name as its value.

    Raises:
        Faults: When the instance does not exist, the new name is invalid or taken, or a file that cannot be written
            names it; or as `edit`. Nothing is written then.
    """
    require_name(new, "instance")
    with edit.locked(project):
        loaded, faults = check(read(project, renaming=("instance", old, new)))
        instances, resumed = loaded.inventory.instances, project.renaming.exists()
        if old not in instances and (new not in instances or not (known or resumed)):
            hint = nearest(old, instances, what="instances")
            raise fault(f"instance {old!r} does not exist", hint=hint)
        if old in instances and new in instances and not resumed:
            raise fault(f"instance {new!r} already exists")
        before = instances.get(old) or instances[new]
        keeps = before.data_name or old
        drafts = renamed(
            project, loaded, lambda data: _places(data, old), old, new, _further(project, loaded, old, new)
        )
        sources = edit.replaced(project, loaded, [draft.source for draft in drafts])
        after, _ = edit.judged(loaded, faults, sources, judge)
        if (after.inventory.instances[new].data_name or new) != keeps:
            raise Faults([fault_set_elsewhere(loaded, project.root / TOOL_FILE, ("instances", new, "dataName"))])
        writing.replace(project.renaming, json.dumps(["instance", old, new, *spared]) + "\n")
        yield tuple(_naming(after, old, new))
        edit.write(project, drafts, ())
        project.renaming.unlink()


def spared_by(project: Project) -> list[str] | None:
    """Return the names of vars that an interrupted rename leaves as they are; None when none was interrupted."""
    try:
        record: list[str] = json.loads(project.renaming.read_text())
    except FileNotFoundError:
        return None
    return record[3:]


def _places(data: Mapping[str, Any], name: str) -> Iterator[Keys]:
    """Yield the key path at which a source names an instance, if it does."""
    if has(data, ("instances", name)):
        yield "instances", name


def _further(project: Project, loaded: Loaded, old: str, new: str) -> list[Change]:
    """Return the changes of the tool-written file that keep the instance's service and the place of its data."""
    instance = loaded.inventory.instances.get(old) or loaded.inventory.instances[new]
    changes: list[Change] = []
    if instance.module.name is None:  # the name was that of the service
        changes.append(Set(("instances", new, "module", "name"), old))
    keeps = instance.data_name or old
    tool_file = edit.tool_written(project, loaded)
    if keeps != new:
        changes.append(Set(("instances", new, "dataName"), keeps))
    elif any(has(tool_file.data, ("instances", name, "dataName")) for name in (old, new)):
        changes.append(Unset(("instances", new, "dataName")))
    return changes


def _naming(loaded: Loaded, old: str, new: str) -> Iterator[Fault]:
    """Yield a warning for each setting `network` whose value is the old name."""
    for source in loaded.sources:
        for keys in _networks(source.data.get("instances"), ("instances",), old):
            hint = f"change it to {new!r} if it means the instance"
            where = Where(source.file, keys)
            yield locate(Fault(f"{dotted(keys)} is {old!r}", where, hint, warning=True), [source])


def _networks(value: object, keys: Keys, old: str) -> Iterator[Keys]:
    if isinstance(value, dict):
        for key, below in value.items():
            yield from [(*keys, key)] if key == "network" and below == old else _networks(below, (*keys, key), old)
