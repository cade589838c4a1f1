"""apk, of Alpine Linux."""
# ruff: noqa: ARG001, D103 - `managers.Manager` describes the functions

from __future__ import annotations

import re
from typing import Dict, Iterable, List, Optional, Sequence, Set, Tuple

from rolecall_agent.seam.packages import PackageState
from rolecall_agent.systems.managers import Changes

FILES: Tuple[str, ...] = (".apk",)
BESIDE: Tuple[str, ...] = (".apk-new",)
PURGED: Tuple[str, ...] = ()

_STEP = re.compile(r"^\( *\d+/\d+\) (\w+) (\S+) \((?:\S+ -> )?([^)\s]+)\)", re.MULTILINE)


def query(names: Iterable[str]) -> List[str]:
    return ["apk", "info", "--verbose"]


def states(output: str) -> Dict[str, PackageState]:
    lines = re.findall(r"^(\S+)-(\d[^-\s]*-r\d+)$", output, re.MULTILINE)
    return {name: PackageState("installed", version) for name, version in lines}


def query_manual(names: Iterable[str]) -> List[str]:
    return ["cat", "/etc/apk/world"]


def manual(names: Iterable[str], output: str) -> Set[str]:
    return {*names} & {*re.findall(r"^([^\s=<>~@!]+)", output, re.MULTILINE)}


def preview(specs: Sequence[str]) -> List[str]:
    return ["apk", "add", "--simulate", *specs]


def preview_removal(names: Sequence[str], *, unneeded: bool) -> List[str]:
    return ["apk", "del", "--simulate", *names]  # it always removes what nothing needs any more


def changes(output: str) -> Changes:
    steps = _STEP.findall(output)
    versions = {name: version for verb, name, version in steps if verb != "Purging"}
    return Changes(versions, frozenset(name for verb, name, _ in steps if verb == "Purging"))


def exact(name: str, version: str) -> str:
    return name  # a version would stay in the list of wanted packages, and keep later ones out


def refresh() -> List[str]:
    return ["apk", "update"]


def query_lists(path: str) -> Optional[List[str]]:
    return None  # it verifies them whenever it reads them


def lists(output: str) -> Set[str]:
    return set()


def download(specs: Sequence[str], folder: str) -> Optional[List[str]]:
    return None


def download_again(specs: Sequence[str], folder: str) -> Optional[List[str]]:
    return None  # repositories have only the latest version


def file_name(name: str, version: str) -> str:
    return f"{name}-{version}."


def query_conffiles(path: str) -> Optional[List[str]]:
    return None


def conffiles(output: str) -> List[str]:
    return []


def data(output: str) -> List[str]:
    return []  # nothing is purged


def install(specs: Sequence[str], folder: str) -> List[str]:
    return ["apk", "add", *specs]


def remove(names: Sequence[str]) -> List[str]:
    return ["apk", "del", *names]


def purge(names: Sequence[str]) -> Optional[List[str]]:
    return None  # the files that a person has changed belong to no package any more


def force_removal(names: Sequence[str], *, purge: bool) -> List[str]:
    return ["apk", "del", *(["--purge"] if purge else []), *names]


def install_files(paths: Sequence[str]) -> List[str]:
    return ["apk", "add", *paths]


def configure(names: Sequence[str]) -> Optional[List[str]]:
    return None  # a package is installed, or not


def repair(output: str) -> Optional[List[str]]:
    return None


def mark(names: Sequence[str], *, manual: bool) -> Optional[List[str]]:
    return ["apk", "add" if manual else "del", *names]  # what another package needs stays


def succeeded(status: int, output: str) -> bool:
    return status == 0


def error(output: str) -> str:
    return next((line for line in output.splitlines() if line.startswith("ERROR: ")), "")


def is_locked(output: str) -> bool:
    return "Unable to lock database" in output
