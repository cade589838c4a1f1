"""Packages of a real machine, by the package manager of its distribution."""
# ruff: noqa: D102 - `seam.packages.Packages` describes the methods

from __future__ import annotations

import os
import time
from importlib import import_module
from typing import TYPE_CHECKING, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Set, Tuple, cast

from rolecall_agent.errors import Failure
from rolecall_agent.seam.packages import UNKNOWN, PackageState
from rolecall_agent.systems import commands, package_files

if TYPE_CHECKING:
    from rolecall_agent.system import Ask
    from rolecall_agent.systems.managers import Manager

MANAGERS = {"apt-get": "apt", "dnf5": "dnf5", "dnf": "dnf", "zypper": "zypper", "pacman": "pacman", "apk": "apk"}
"""The module of each package manager that is supported, by program; the first that is installed is used."""
PATIENCE = 120.0
"""Seconds to wait for another command that is at work on packages."""
_SECONDS = 1800  # for an installation
_PAUSE = 1.0  # seconds


class DistributionPackages:
    """The packages of the distribution.

    Args:
        ask: `System.ask`.
        release: Returns the assignments of os-release(5).
        changed: Called after packages were changed, which may bring or remove units.
    """

    def __init__(self, ask: Ask, release: Callable[[], Dict[str, str]], changed: Callable[[], None]) -> None:
        self._ask = ask
        self._release = release
        self._changed = changed
        self._known: Dict[str, PackageState] = {}
        self._prefetched: Set[str] = set()
        self._found: Optional[Manager] = None

    def prefetch(self, names: Iterable[str]) -> None:
        self._prefetched.update(names)

    def state(self, name: str) -> PackageState:
        if name not in self._known:
            self._known.update(self._states({name, *self._prefetched}, self._ask))
        return self._known[name]

    def preview(self, names: Sequence[str], *, sources_change: bool) -> Dict[str, str]:
        status, output = self._preview(names)
        problems = ""
        if status and sources_change:
            return dict.fromkeys(names, UNKNOWN)
        if status:  # the lists may be missing or outdated
            problems = self._patiently(self._manager.refresh())[1]
            status, output = self._preview(names)
        if status:
            raise self._failure(f"cannot install packages: {' '.join(names)}", problems + output)
        changes = self._manager.changes(output)
        if changes.removed:
            others = ", ".join(sorted(changes.removed))
            raise Failure(f"cannot install packages: {' '.join(names)}: {others} would be removed; remove them first")
        return dict(changes.versions)

    def renew_sources(self, paths: Iterable[str]) -> bool:
        there = list(filter(os.path.exists, paths))
        commands_of = filter(None, map(self._manager.query_lists, there))
        starts = {start for argv in commands_of for start in self._manager.lists(commands.execute(argv)[1])}
        lists = {path for start in starts for path in _beginning_with(start)}
        newest = max((os.stat(path).st_ctime_ns for path in there), default=0)
        outdated = [path for path in lists if os.lstat(path).st_ctime_ns < newest]
        for path in outdated:
            os.remove(path)  # or apt would use it even if the new key does not fit
        if outdated:
            self._patiently(self._manager.refresh())
        return bool(outdated)

    def capture(self, names: Iterable[str]) -> Dict[str, PackageState]:
        wanted = set(names)
        everything = self._states(())
        states = {name: everything.get(name, PackageState()) for name in wanted}
        states.update({name: state for name, state in everything.items() if state.present and _is_broken(state)})
        present = [name for name, state in states.items() if state.present]
        manual: Set[str] = set()
        if present:
            manual = self._manual(present)
        return {
            name: PackageState(state.status, state.version, name in manual) for name, state in sorted(states.items())
        }

    def download(self, names: Sequence[str], versions: Mapping[str, str]) -> Dict[str, Dict[str, bool]]:
        manager, states = self._manager, self._states(versions)
        earlier = {name: state.version for name, state in states.items() if state.present}
        starts = [manager.file_name(*each) for each in (*versions.items(), *earlier.items())]
        package_files.prepare(starts)
        specs = self._specs(names, versions)
        download = manager.download(specs, package_files.FOLDER)
        if download and self._patiently(download)[0]:  # the lists may be outdated
            problems = self._patiently(manager.refresh())[1]
            _require_same(versions, self.preview(names, sources_change=False), "is available by now")
            status, output = self._patiently(download)
            if status:
                raise self._failure(f"cannot download packages: {' '.join(names)}", problems + output)
        self._keep_installed({name: version for name, version in earlier.items() if version != versions[name]})
        package_files.record(manager.FILES, starts)
        found = {name: self._in_the_way(name, versions[name]) for name, state in states.items() if not state.present}
        return {name: paths for name, paths in found.items() if paths}

    def install(self, names: Sequence[str], versions: Mapping[str, str]) -> None:
        self._forget()
        argv = self._manager.install(self._specs(names, versions), package_files.FOLDER)
        status, output = self._patiently(argv)
        if status:
            raise self._failure(f"cannot install packages: {' '.join(names)}", output)
        self._configure(name for name, state in self._states(names).items() if _is_broken(state))
        now = {name: state.version for name, state in self._states(versions).items() if not _is_broken(state)}
        _require_same(versions, now, "was installed")

    def put_back(self, before: Mapping[str, PackageState]) -> None:
        manager, now = self._manager, self.capture(before)
        came = [name for name, state in now.items() if state.present and not _before(before, name).present]
        problems = []
        self._forget()
        for purge in (True, False):
            names = [name for name in came if (_before(before, name).status != "config-files") is purge]
            if names:
                problems.append(self._patiently(manager.force_removal(names, purge=purge)))
        earlier = [
            name
            for name, state in before.items()
            if state.present and (now[name].version, now[name].status == "half-installed") != (state.version, False)
        ]
        files, missing = self._files({name: before[name].version for name in earlier})
        if files:
            problems.append(self._patiently(manager.install_files(files)))
        problems.append(self._configure(self._broken_since(before)))
        now = self.capture(before)
        for manual in (True, False):
            wrong = [
                name
                for name, state in before.items()
                if state.present and now[name].present and state.manual is manual is not now[name].manual
            ]
            mark = manager.mark(wrong, manual=manual) if wrong else None
            if mark:
                problems.append(self._patiently(mark))
        failed = "\n".join(output for status, output in problems if status)
        if failed or missing:
            raise self._failure("; ".join(["cannot put packages back", *missing]), failed)

    def removable(self, names: Sequence[str], dependencies: Iterable[str]) -> Tuple[List[str], Dict[str, List[str]]]:
        came = set(dependencies)
        if came:
            came -= self._manual(came)
        kept: Dict[str, List[str]] = {}
        going = sorted(names)
        while going:
            needing = self._removed_with(going) - {*going, *came}
            if not needing:
                break
            alone = {name: self._removed_with([name]) & needing for name in going}
            blamed = {name: others for name, others in alone.items() if others} or dict.fromkeys(going, needing)
            kept.update({name: sorted(others) for name, others in blamed.items()})
            going = [name for name in going if name not in blamed]
        unneeded = self._removed_with(going, unneeded=True) & came if came else set()
        together = sorted({*going, *unneeded})
        if self._removed_with(together) <= set(together):
            return together, kept
        return sorted({*going, *self._removed_with(going)}), kept

    def remove(self, names: Sequence[str]) -> None:
        broken = sorted(name for name, state in self._states(names).items() if _is_broken(state))
        whole = sorted({*names} - {*broken})
        commands_of = ((broken, self._manager.force_removal(broken, purge=False)), (whole, self._manager.remove(whole)))
        for some, argv in commands_of:
            if some:
                self._run(argv, f"cannot remove packages: {' '.join(some)}")

    def purge(self, names: Sequence[str]) -> None:
        argv = self._manager.purge(names)
        if argv:
            self._run(argv, f"cannot purge packages: {' '.join(names)}")

    def tidy(self, needed: Iterable[Tuple[str, str]]) -> List[str]:
        return package_files.tidy(self._manager.FILES, [self._manager.file_name(*each) for each in needed])

    @property
    def _manager(self) -> Manager:
        if self._found is None:
            program = next(filter(commands.is_installed, MANAGERS), None)
            if program is None:
                system = self._release().get("ID", "this system")
                raise Failure(f"cannot manage packages on {system}: none of {', '.join(MANAGERS)}")
            module = import_module(f"rolecall_agent.systems.managers.{MANAGERS[program]}")
            self._found = cast("Manager", module)
        return self._found

    def _states(self, names: Iterable[str], ask: Optional[Ask] = None) -> Dict[str, PackageState]:
        """Return the states of packages now; of all that are known to the package manager, for no names."""
        wanted = set(names)
        found = self._manager.states((ask or commands.execute)(self._manager.query(wanted))[1])
        return {name: found.get(name, PackageState()) for name in wanted} if wanted else found

    def _manual(self, names: Iterable[str]) -> Set[str]:
        return self._manager.manual(names, commands.execute(self._manager.query_manual(names))[1])

    def _preview(self, names: Sequence[str]) -> Tuple[int, str]:
        return self._judged(*commands.execute(self._manager.preview(names), errors=True))

    def _judged(self, status: int, output: str) -> Tuple[int, str]:
        """Return an exit status that is 0 if a command did all that it should."""
        return 0 if self._manager.succeeded(status, output) else status or 1, output

    def _removed_with(self, names: Sequence[str], *, unneeded: bool = False) -> Set[str]:
        if not names:
            return set()
        argv = self._manager.preview_removal(names, unneeded=unneeded)
        status, output = self._judged(*commands.execute(argv, errors=True))
        if status:
            raise self._failure(f"cannot remove packages: {' '.join(names)}", output)
        return set(self._manager.changes(output).removed)

    def _specs(self, names: Sequence[str], versions: Mapping[str, str]) -> List[str]:
        return [self._manager.exact(name, versions[name]) if versions.get(name) else name for name in names]

    def _keep_installed(self, versions: Mapping[str, str]) -> None:
        """Get the files of packages that are about to be replaced, as far as their versions are still available."""
        for name, version in versions.items():
            if not package_files.path_of(self._manager.file_name(name, version)):
                argv = self._manager.download_again([self._manager.exact(name, version)], package_files.FOLDER)
                if argv:
                    self._patiently(argv)

    def _in_the_way(self, name: str, version: str) -> Dict[str, bool]:
        """Return what is where a package has configuration files or data, as `Packages.download` does."""
        file = package_files.path_of(self._manager.file_name(name, version))
        argv = self._manager.query_conffiles(file) if file else None
        if not argv:
            return {}
        output = commands.execute(argv)[1]
        files = self._manager.conffiles(output)
        data = {path: False for path in self._manager.data(output) if os.path.lexists(path)}
        written = [path + end for path in files for end in ("", *self._manager.BESIDE)]
        others = [path + end for path in files for end in self._manager.PURGED]
        spared = data or any(map(os.path.lexists, (*written, *others)))
        return {**data, **dict.fromkeys(written, True)} if spared else {}

    def _files(self, versions: Mapping[str, str]) -> Tuple[List[str], List[str]]:
        """Return the kept files of packages, and why those of the others cannot be used."""
        files, problems = [], []
        for name, version in versions.items():
            path = package_files.path_of(self._manager.file_name(name, version))
            if not path:
                problems.append(f"version {version} of package {name} is not available any more")
            elif package_files.is_intact(path):
                files.append(path)
            else:
                problems.append(f"version {version} of package {name} cannot be installed: {path} is damaged")
        return files, problems

    def _broken_since(self, before: Mapping[str, PackageState]) -> List[str]:
        return [name for name, now in self.capture(before).items() if _is_broken(now) and now != before.get(name)]

    def _configure(self, names: Iterable[str]) -> Tuple[int, str]:
        broken = sorted(names)
        argv = self._manager.configure(broken) if broken else None
        return self._patiently(argv) if argv else (0, "")

    def _run(self, argv: Sequence[str], message: str) -> None:
        self._forget()
        status, output = self._patiently(argv)
        if status:
            raise self._failure(message, output)

    def _patiently(self, argv: Sequence[str]) -> Tuple[int, str]:
        """Run a command, again while another one is at work on packages; return its exit status and output."""
        end = time.monotonic() + PATIENCE
        while True:
            status, output = self._judged(*commands.run(argv, _SECONDS))
            repair = self._manager.repair(output)
            if not status or time.monotonic() > end or not (repair or self._manager.is_locked(output)):
                return status, output
            if repair:
                commands.run(repair)
            time.sleep(_PAUSE)

    def _failure(self, message: str, output: str) -> Failure:
        """Return the failure of a command, with the first error that it printed, if it marks them."""
        error = self._manager.error(output)
        return Failure(f"{message}: {error}" if error else message, output)

    def _forget(self) -> None:
        self._known.clear()
        self._changed()


def _beginning_with(start: str) -> List[str]:
    """Return the paths that begin like this."""
    folder, name = os.path.split(start)
    names = os.listdir(folder) if os.path.isdir(folder) else ()
    return [os.path.join(folder, each) for each in names if each.startswith(name)]


def _require_same(versions: Mapping[str, str], now: Mapping[str, str], what: str) -> None:
    for name, version in sorted(versions.items()):
        if now.get(name) != version:
            raise Failure(f"package {name}: version {now.get(name) or 'none'} {what}, not {version}")


def _before(before: Mapping[str, PackageState], name: str) -> PackageState:
    return before.get(name, PackageState("installed"))  # one that was whole, and is not any more


def _is_broken(state: PackageState) -> bool:
    return state.present and state.status != "installed"
