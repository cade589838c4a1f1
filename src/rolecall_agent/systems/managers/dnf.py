"""dnf 4, of Fedora up to 40, RHEL and their relatives."""
# ruff: noqa: D103 - `managers.Manager` describes the functions

from __future__ import annotations

import re
from typing import Iterable, List, Optional, Sequence, Set

from rolecall_agent.systems.managers import Changes
from rolecall_agent.systems.managers.rpm import *  # noqa: F403 - what it does not define itself
from rolecall_agent.systems.managers.rpm import key

_DNF = ["dnf", "--assumeyes", "--setopt=install_weak_deps=False"]
_PREVIEW = ["dnf", "--assumeno", "--setopt=install_weak_deps=False"]
# A long name has its other columns in the next line.
_PACKAGE = re.compile(r"^ (\S+)\s+(\S+)\s+(\d\S*)\s+\S+", re.MULTILINE)
_REPLACED = re.compile(r"^ +replacing +(\S+?)(?:\.| +)(\w+) +\d", re.MULTILINE)  # also by a later version


def query_manual(names: Iterable[str]) -> List[str]:
    return ["dnf", "--quiet", "repoquery", "--userinstalled", "--queryformat", "%{name} ", *sorted(names)]


def manual(names: Iterable[str], output: str) -> Set[str]:
    return {*names} & {*output.split()}


def preview(specs: Sequence[str]) -> List[str]:
    return [*_PREVIEW, "install", *specs]


def preview_removal(names: Sequence[str], *, unneeded: bool) -> List[str]:
    return [*_PREVIEW, f"--setopt=clean_requirements_on_remove={unneeded}", "remove", *names]


def changes(output: str) -> Changes:
    _, *sections = re.split(r"^(\S[^\n]*):\n", output, flags=re.MULTILINE)
    versions, removed = {}, set()
    for heading, text in zip(sections[::2], sections[1::2]):  # noqa: B905 - not before Python 3.10
        packages = {key(name, architecture): version for name, architecture, version in _PACKAGE.findall(text)}
        if heading.startswith(("Installing", "Upgrading", "Downgrading", "Reinstalling")):
            versions.update(packages)
            removed |= {key(name, architecture) for name, architecture in _REPLACED.findall(text)}
        elif heading.startswith("Removing"):
            removed |= packages.keys()
    return Changes(versions, frozenset(removed - versions.keys()))


def exact(name: str, version: str) -> str:
    return f"{name}-{version}"


def refresh() -> List[str]:
    return [*_DNF, "makecache", "--refresh"]


def download(specs: Sequence[str], folder: str) -> Optional[List[str]]:
    return [*_DNF, "install", "--downloadonly", f"--downloaddir={folder}", *specs]


def download_again(specs: Sequence[str], folder: str) -> Optional[List[str]]:
    return [*_DNF, "reinstall", "--downloadonly", f"--downloaddir={folder}", *specs]


def install(specs: Sequence[str], folder: str) -> List[str]:  # noqa: ARG001 - dnf has a cache of its own
    return [*_DNF, "install", *specs]


def remove(names: Sequence[str]) -> List[str]:
    return [*_DNF, "--setopt=clean_requirements_on_remove=False", "remove", *names]


def mark(names: Sequence[str], *, manual: bool) -> Optional[List[str]]:
    return [*_DNF, "mark", "install" if manual else "remove", *names]


def succeeded(status: int, output: str) -> bool:
    if status == 0:
        return not re.search(r"[Ee]rror in \S+ scriptlet", output)  # after which the package is installed, though
    return bool(re.search(r"^Operation aborted(?: by the user)?\.$", output, re.MULTILINE))  # a preview


def error(output: str) -> str:
    found = re.search(
        r"^(?:Error in|>>>.*[Ee]rror).*|^(?:Error|Failed[^:\n]*|No match[^:\n]*): *\S.*", output, re.MULTILINE
    )
    problem = re.search(r"^ *Problem.*", output, re.MULTILINE)
    return (found or problem or [""])[0].strip()
