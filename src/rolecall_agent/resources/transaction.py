"""The packages of a switch, as one transaction: they depend on each other, so they come and go together.

A comparison says which versions would be there afterwards; the switch installs exactly these. What each package was
before is in the journal. Packages are removed after the commit, so that an undo needs no network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Iterable, List, Mapping, Sequence

from rolecall_agent.errors import Failure
from rolecall_agent.resources.base import difference
from rolecall_agent.resources.package import Package
from rolecall_agent.seam.packages import UNKNOWN, PackageState

if TYPE_CHECKING:
    from rolecall_agent.configuration import Configuration
    from rolecall_agent.journal import Journal
    from rolecall_agent.machine import Machine
    from rolecall_agent.resources.base import Captured, Resource
    from rolecall_agent.store import Store
    from rolecall_agent.system import System
    from rolecall_agent.work import Work

NAMED = 8
"""How many packages or files a sentence names."""


def preview(system: System, store: Store, work: Work, new: Configuration) -> None:
    """Add to the changes of packages which versions they are about, and which others come and go with them."""
    packages = system.packages
    details = {change["key"]: change for change in work.changes}
    declared = {item.key: item.name_on(system) for item in _packages(new)}
    due = {key: name for key, name in declared.items() if key in work.changed}
    if due:
        early = any(item.needed_early and item.key in work.changed for item in new.resources)
        work.install = sorted({*due.values()})
        work.packages = packages.preview(work.install, sources_change=early)
        packages.prefetch(work.packages)
        notes = {key: _change_of_version(system, name, work.packages) for key, name in due.items()}
        others = sorted(work.packages.keys() - {*work.install})
        notes[max(due)] += _more([f"{name} {_change_of_version(system, name, work.packages)}" for name in others])
        for key, note in notes.items():
            details[key]["detail"] = "; ".join(filter(None, (details[key]["detail"], note)))
    ended = {key: store.originals.get(key, {}) for key in work.remove if key.startswith("package:")}
    going = _ours(system, ended, declared.values())
    if going:
        removed, kept = packages.removable(sorted(going), _dependencies(store, declared.values()))
        for name, key in going.items():
            if name in kept:
                details[key]["detail"] = f"it is kept: {_needed(kept[name])}"
        details[max(going.values())]["detail"] += _more(sorted({*removed} - going.keys()))


def changed_version(shown: Work, work: Work) -> str:
    """Return which package would get another version than the one that was shown, or ""."""
    return _changed_version(shown.packages, work.packages)


def _changed_version(shown: Mapping[str, str], now: Mapping[str, str]) -> str:
    for name, version in sorted(now.items()):
        planned = shown.get(name)
        if planned != version:
            return f"package {name} changed since this was planned: version {version}, not {planned or 'none'}"
    return ""


def install(due: Sequence[Resource], machine: Machine, journal: Journal, work: Work) -> None:
    """Install packages, if these resources are some; before that, record what each package was."""
    packages = machine.system.packages
    if not work.install or not any(isinstance(item, Package) for item in due):
        return
    early = [item for item in machine.configuration(journal.target).resources if item.needed_early]
    renewed = packages.renew_sources(path for item in early for path in item.paths_on(machine.system))
    unknown = UNKNOWN in work.packages.values()
    if renewed or unknown:  # by now, the files that packages need are there
        versions = packages.preview(work.install, sources_change=False)
        changed = _changed_version(work.packages, versions)
        if changed and not unknown:
            raise Failure(changed)
        work.packages = versions
    machine.report("install", " ".join(work.install))
    in_the_way = packages.download(work.install, work.packages)
    names = {*work.install, *work.packages}
    journal.packages = {
        name: {
            **state._asdict(),
            "came_along": name in work.packages and name not in work.install and not state.present,
            "files": _captured(machine, journal, in_the_way.get(name, {})),
        }
        for name, state in packages.capture(names).items()
    }
    journal.save(machine.store)
    packages.install(work.install, work.packages)


def record(machine: Machine, journal: Journal, target: Configuration) -> None:
    """Record the packages of a generation: their versions, and whether they came along with others."""
    system, store = machine.system, machine.store
    came = {name for name, each in store.packages(journal.source).items() if each["came_along"]}
    came |= {name for name, before in journal.packages.items() if before["came_along"]}
    names = {*(item.name_on(system) for item in _packages(target)), *came}
    system.packages.prefetch(names)
    states = {name: system.packages.state(name) for name in sorted(names)}
    present = {name: state for name, state in states.items() if state.present}
    packages = {name: {"version": state.version, "came_along": name in came} for name, state in present.items()}
    store.set_packages(journal.target, packages)


def put_back(machine: Machine, journal: Journal) -> None:
    """Give packages the states that they had before a switch."""
    if differences(machine, journal):
        machine.report("restore", "packages")
        machine.system.packages.put_back(_before(journal))
    for path, captured in _files(journal).items():
        if difference(captured, machine.store.look(path), machine.system):
            machine.store.restore(path, captured)


def differences(machine: Machine, journal: Journal) -> Dict[str, str]:
    """Return how packages, and files in their way, differ from what they were before a switch, for a person."""
    before = _before(journal)
    if not before:
        return {}
    now = machine.system.packages.capture(before)
    was = {
        name: before.get(name, PackageState("installed", state.version, state.manual)) for name, state in now.items()
    }
    kept = {name for name, each in journal.packages.items() if each["files"]}
    files = {
        path: difference(captured, machine.store.look(path), machine.system)
        for path, captured in _files(journal).items()
    }
    return {
        **{path: f"{path}: {text}" for path, text in files.items() if text},
        **{
            name: f"it is {_text(state)}, not {_text(was[name])}"
            for name, state in now.items()
            if state != was[name] and not (name in kept and not state.present)
        },
    }


def remove(machine: Machine, journal: Journal, ended: Mapping[str, Captured]) -> List[str]:
    """Remove the packages among resources that are no longer declared; return notes on what stays.

    Args:
        machine: The machine.
        journal: The switch that is to be settled.
        ended: What was in the place of those resources, by key.
    """
    ended = {key: original for key, original in ended.items() if key.startswith("package:")}
    if not ended:
        return []
    packages, store = machine.system.packages, machine.store
    declared = [item.name_on(machine.system) for item in _packages(machine.configuration(store.current))]
    purged = {item.key for item in _packages(machine.configuration(journal.source)) if item.purge}
    due: List[str] = []
    notes: List[str] = []
    try:
        going = {*_left_by_a_removal(machine.system, journal), *_ours(machine.system, ended, declared)}
        if going:
            due, kept = packages.removable(sorted(going), _dependencies(store, declared))
            notes += [f"package {name} was kept: {_needed(others)}" for name, others in sorted(kept.items())]
        if due:
            journal.removed = sorted({*journal.removed, *due})
            journal.save(store)  # without it, nothing says what had come along with those that are gone
            machine.report("remove", " ".join(due))
            packages.remove(due)
        removed, own = journal.removed, {each["name"] for each in ended.values() if each}
        # Whose files: those of packages that came along go if those of all others do.
        ours = {key: original["name"] for key, original in ended.items() if _has_left_files(machine.system, original)}
        came = [name for name in removed if name not in own and packages.state(name).status == "config-files"]
        purge = [name for key, name in ours.items() if key in purged] + (came if purged.issuperset(ended) else [])
        if purge:
            packages.purge(sorted(purge))
        left = sorted({*ours.values()} - {*purge})
        notes += [f"package {name} was removed; its configuration files were kept" for name in left if name in removed]
    except Failure as failure:
        notes.append(f"packages were kept: {failure.message}")
    return notes


def _left_by_a_removal(system: System, journal: Journal) -> List[str]:
    """Return the packages that a removal should have removed before it was killed; none of them is halfway."""
    states = {name: system.packages.state(name) for name in journal.removed}
    halfway = [name for name, state in states.items() if state.present and state.status != "installed"]
    if halfway:  # package managers refuse to do anything else before
        system.packages.remove(halfway)
    return [name for name, state in states.items() if state.status == "installed"]


def tidy(machine: Machine, journal: Journal) -> List[str]:
    """Delete package files beyond what is kept, last those of kept generations; return a note on them."""
    if not journal.packages:
        return []
    kept = [machine.store.packages(number) for number in machine.store.numbers()]
    needed = {(name, each["version"]) for packages in kept for name, each in packages.items()}
    deleted = machine.system.packages.tidy(sorted(needed))
    return [f"too many package files were kept; deleted: {_list(deleted)}"] if deleted else []


def _ours(system: System, ended: Mapping[str, Captured], declared: Iterable[str]) -> Dict[str, str]:
    """Return the keys of packages that Rolecall has installed and nothing declares any more, by name."""
    needed = {*declared}  # two resources may name the same package
    ours = {each["name"]: key for key, each in ended.items() if each and not each["installed"]}
    return {name: key for name, key in ours.items() if name not in needed and system.packages.state(name).present}


def _has_left_files(system: System, original: Captured) -> bool:
    """Return whether a package has left configuration files that were not there before."""
    if original["installed"] or original.get("status") == "config-files":
        return False
    return system.packages.state(original["name"]).status == "config-files"


def _dependencies(store: Store, declared: Iterable[str]) -> List[str]:
    """Return the packages that came along with others, and are not declared themselves."""
    came = {name for name, each in store.packages(store.current).items() if each["came_along"]}
    return sorted(came - {*declared})


def _packages(configuration: Configuration) -> List[Package]:
    return [item for item in configuration.resources if isinstance(item, Package)]


def _captured(machine: Machine, journal: Journal, paths: Mapping[str, bool]) -> Dict[str, Captured]:
    """Capture files that may be written, except for those that resources restore: nothing is known of the others."""
    numbers = (journal.source, journal.target)
    resources = [item for number in numbers for item in machine.configuration(number).resources]
    declared = {path for item in resources for path in item.paths_on(machine.system)}
    return {path: machine.store.capture(path) if may and path not in declared else {} for path, may in paths.items()}


def _files(journal: Journal) -> Dict[str, Captured]:
    """Return what was captured of files that are in the way of packages, by path."""
    files = {path: captured for each in journal.packages.values() for path, captured in each["files"].items()}
    return {path: captured for path, captured in files.items() if captured}


def _before(journal: Journal) -> Dict[str, PackageState]:
    """Return the states of packages before a switch.

    A new package with files or data in its way counts as removed before: purging it would delete them.
    """
    states = {
        name: PackageState("config-files" if each["files"] else each["status"], each["version"], each["manual"])
        for name, each in journal.packages.items()
    }
    return dict(sorted(states.items()))


def _change_of_version(system: System, name: str, versions: Mapping[str, str]) -> str:
    before, after = system.packages.state(name).version, versions.get(name, "")
    if after == UNKNOWN:
        return "version not known before its source is added"
    return f"{before} → {after}" if before not in {"", after} else after


def _more(packages: List[str]) -> str:
    """Return which other packages come or go, for a person."""
    if not packages:
        return ""
    count = "1 other package" if len(packages) == 1 else f"{len(packages)} other packages"
    return f"; with {count}: {_list(packages)}"


def _list(names: List[str]) -> str:
    more = f", and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _needed(others: List[str]) -> str:
    return f"{', '.join(others)} would be removed with it"


def _text(state: PackageState) -> str:
    marked = (" (manual)" if state.manual else " (automatic)") if state.status == "installed" else ""
    return " ".join(filter(None, (state.status, state.version))) + marked
