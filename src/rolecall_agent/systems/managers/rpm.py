"""What package managers on top of rpm have in common."""
# ruff: noqa: ARG001, D103 - `managers.Manager` describes the functions

from __future__ import annotations

import re
from typing import Dict, Iterable, List, Optional, Sequence, Set, Tuple

from rolecall_agent.seam.packages import PackageState

FILES: Tuple[str, ...] = (".rpm",)
BESIDE: Tuple[str, ...] = (".rpmnew", ".rpmorig", ".rpmsave")
PURGED: Tuple[str, ...] = ()

_FIELDS = "%{NAME} %{ARCH} %{EPOCHNUM}:%{VERSION}-%{RELEASE}\n"
_FOREIGN = re.compile(r"i[3-6]86\Z")  # beside x86_64


def query(names: Iterable[str]) -> List[str]:
    return ["rpm", "--query", "--queryformat", _FIELDS, *(sorted(names) or ["--all"])]


def states(output: str) -> Dict[str, PackageState]:
    lines = re.findall(r"^(\S+) (\w+) (?:0:)?(\d\S*)$", output, re.MULTILINE)
    return {key(name, architecture): PackageState("installed", version) for name, architecture, version in lines}


def key(name: str, architecture: str) -> str:
    """Return the name under which a package is known."""
    return f"{name}.{architecture}" if _FOREIGN.match(architecture) else name


def query_lists(path: str) -> Optional[List[str]]:
    return None  # it verifies each package that it installs


def lists(output: str) -> Set[str]:
    return set()


def file_name(name: str, version: str) -> str:
    return f"{name}-{version.rpartition(':')[2]}."  # without the epoch


def query_conffiles(path: str) -> Optional[List[str]]:
    return ["rpm", "--query", "--package", "--configfiles", path]


def conffiles(output: str) -> List[str]:
    return re.findall(r"^(/.+)$", output, re.MULTILINE)


def data(output: str) -> List[str]:
    return []  # nothing is purged


def purge(names: Sequence[str]) -> Optional[List[str]]:
    return None  # of what was removed, only files stay that a person has changed, as *.rpmsave


def force_removal(names: Sequence[str], *, purge: bool) -> List[str]:
    return ["rpm", "--erase", "--nodeps", *names]


def install_files(paths: Sequence[str]) -> List[str]:
    return ["rpm", "--upgrade", "--oldpackage", "--replacepkgs", "--nodeps", *paths]


def configure(names: Sequence[str]) -> Optional[List[str]]:
    return None  # a package is installed, or not


def repair(output: str) -> Optional[List[str]]:
    return None


def is_locked(output: str) -> bool:
    return "can't create transaction lock" in output
