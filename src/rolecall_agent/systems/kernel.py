"""What the kernel of a real machine has: its parameters, modules, tables of nftables and host name."""
# ruff: noqa: D102 - `seam.kernel.Kernel` describes the methods

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Dict, Iterable, Optional, Set

from rolecall_agent.errors import Failure
from rolecall_agent.systems import commands, nftables

if TYPE_CHECKING:
    from rolecall_agent.system import System

_BUILT_IN = "built in"  # not the name of a module


class RealKernel:
    """The kernel that this runs on.

    Args:
        system: The machine.
    """

    def __init__(self, system: System) -> None:
        self._system = system
        self._ask = system.ask
        self._announced: Dict[str, Set[str]] = {}
        self._known: Dict[str, Dict[str, str]] = {}

    def prefetch(self, kind: str, names: Iterable[str]) -> None:
        self._announced.setdefault(kind, set()).update(names)
        self._known.pop(kind, None)  # a comparison begins

    def value(self, kind: str, name: str) -> Optional[str]:
        names = self._announced.setdefault(kind, set())
        if name not in names:
            names.add(name)
            self._known.pop(kind, None)
        if kind not in self._known:
            look = {
                "sysctl": self._parameters,
                "kernel-module": self._modules,
                "hostname": self._hostname,
                "nftables-table": self._tables,
            }[kind]
            self._known[kind] = look(sorted(names))
        return self._known[kind].get(name)

    def change(self, kind: str, name: str, value: Optional[str]) -> None:
        self._known.pop(kind, None)
        if kind == "hostname":
            socket.sethostname(value or "localhost")
        elif kind == "nftables-table":
            nftables.write(self._system, name, value)
        elif kind == "kernel-module" and value:
            commands.require(["modprobe", "--", name], f"cannot load kernel module {name}")
        elif kind == "kernel-module":
            commands.run(["modprobe", "--remove", "--", name])  # it stays while something uses it
        elif value is not None:
            try:
                with open(_parameter(name), "w", encoding="utf-8") as file:
                    file.write(f"{value}\n")
            except FileNotFoundError:
                hint = "load the kernel module that brings it"
                raise Failure(f"kernel parameter {name} does not exist; {hint}") from None
            except OSError as error:
                raise Failure(f"cannot set kernel parameter {name} to {value}: {error.strerror}") from error

    # Each asks as few commands as it can. Their answers are part of the fingerprint.

    def _parameters(self, names: Iterable[str]) -> Dict[str, str]:
        by_path = {_parameter(name): name for name in names}
        found: Dict[str, str] = {}
        # A NUL ends the path, which may contain a colon. A value may have several lines.
        for line in self._ask(["grep", "-HsZ", "", "--", *by_path])[1].splitlines():
            path, _, value = line.partition("\0")
            if path in by_path:
                found[by_path[path]] = " ".join(f"{found.get(by_path[path], '')} {value}".split())
        return found

    def _modules(self, names: Iterable[str]) -> Dict[str, str]:
        names = set(names)
        loaded = self._loaded(names)
        others = {name: self._modules_of(name) for name in sorted(names - loaded)}
        loaded |= self._loaded({module for modules in others.values() for module in modules} - loaded - {_BUILT_IN})
        there = loaded | {_BUILT_IN}
        return {name: "loaded" for name in names if name in loaded or (others[name] and others[name] <= there)}

    def _loaded(self, names: Set[str]) -> Set[str]:
        """Return which of these modules sysfs(5) shows, where a name has no hyphen."""
        paths = {name: f"/sys/module/{name.replace('-', '_')}" for name in sorted(names)}
        there = self._ask(["ls", "-d", "--", *paths.values()])[1].splitlines() if paths else []
        return {name for name, path in paths.items() if path in there}

    def _modules_of(self, name: str) -> Set[str]:
        """Return the modules that a name or an alias stands for, and those that they need; none if it is not known.

        What is built into the kernel need not be in sysfs. Source: modprobe(8), ``--show-depends``.
        """
        found = set()
        for line in self._ask(["modprobe", "--show-depends", "--", name])[1].splitlines():
            verb, _, rest = line.partition(" ")
            file = os.path.basename(rest.partition(" ")[0])
            found.add(_BUILT_IN if verb == "builtin" else file.partition(".")[0])
        return found

    def _hostname(self, names: Iterable[str]) -> Dict[str, str]:
        return dict.fromkeys(names, self._ask(["uname", "-n"])[1].strip())

    def _tables(self, names: Iterable[str]) -> Dict[str, str]:
        return nftables.read(self._system, names)


def _parameter(name: str) -> str:
    """Return the path of a parameter. Source: sysctl.d(5), where a slash in a name stands for a dot in the path."""
    return "/proc/sys/" + name.translate(str.maketrans("./", "/."))
