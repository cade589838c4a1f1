"""Packages of a real machine, by dpkg and apt."""
# ruff: noqa: D102 - `system.Packages` describes the methods

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Callable, Dict, Iterable, List, Sequence, Set

from rolecall_agent.errors import Failure
from rolecall_agent.systems import commands

if TYPE_CHECKING:
    from rolecall_agent.system import Ask

_APT = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120"]


class AptPackages:
    """The packages of Debian and its relatives.

    Args:
        ask: `System.ask`.
        release: Returns the assignments of os-release(5).
        changed: Called after packages were changed, which may bring or remove units.
    """

    def __init__(self, ask: Ask, release: Callable[[], Dict[str, str]], changed: Callable[[], None]) -> None:
        self._ask = ask
        self._release = release
        self._changed = changed
        self._known: Dict[str, bool] = {}
        self._prefetched: Set[str] = set()

    def prefetch(self, names: Iterable[str]) -> None:
        self._prefetched.update(names)

    def installed(self, name: str) -> bool:
        if name not in self._known:
            self._require_apt()
            names = sorted({name, *self._prefetched})
            query = ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *names]
            lines = self._ask(query)[1].splitlines()
            self._known.update(dict.fromkeys(names, False))
            self._known.update({line.split()[0]: True for line in lines if line.endswith(" installed")})
        return self._known[name]

    def install(self, names: Sequence[str]) -> None:
        if not names:
            return
        self._require_apt()
        self._known.clear()
        self._changed()
        argv = [
            *_APT,
            "install",
            "--yes",
            "--no-install-recommends",
            "-o",
            "Dpkg::Options::=--force-confold",
            *names,
        ]
        status, _ = commands.run(argv, 1800)
        if status:  # the package lists may be missing or outdated
            commands.run([*_APT, "update"], 600)
            commands.require(argv, f"cannot install packages: {' '.join(names)}", 1800)

    def uninstall(self, names: Sequence[str]) -> List[str]:
        notes = []
        for name in names:
            _, plan = commands.execute([*_APT, "--simulate", "remove", name])
            removed = set(re.findall(r"^Remv (\S+)", plan, re.MULTILINE)) - {name}
            manual = (
                set(commands.execute(["apt-mark", "showmanual", *sorted(removed)])[1].split()) if removed else set()
            )
            if manual:
                notes.append(f"package {name} was kept: {', '.join(manual)} would be removed with it")
                continue
            status, output = commands.run([*_APT, "remove", "--yes", "--no-auto-remove", name], 1800)
            if status:
                last_line = output.strip().rpartition("\n")[2]
                notes.append(f"package {name} was kept: {last_line}")
        self._known.clear()
        return notes

    def _require_apt(self) -> None:
        if not commands.is_installed("apt-get"):
            release = self._release()
            raise Failure(f"cannot manage packages on {release.get('ID', 'this system')}: only apt is supported")
