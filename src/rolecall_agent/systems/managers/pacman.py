"""pacman, of Arch Linux."""
# ruff: noqa: ARG001, D103 - `managers.Manager` describes the functions

from __future__ import annotations

import re
from typing import Dict, Iterable, List, Optional, Sequence, Set, Tuple

from rolecall_agent.seam.packages import PackageState
from rolecall_agent.systems.managers import Changes

BESIDE: Tuple[str, ...] = (".pacnew", ".pacsave")
PURGED: Tuple[str, ...] = ()
FILES: Tuple[str, ...] = (".pkg.tar.zst", ".pkg.tar.xz", ".pkg.tar.gz")

_INSTALL = ["pacman", "--sync", "--noconfirm", "--needed"]
_REMOVE = ["pacman", "--remove", "--noconfirm"]


def query(names: Iterable[str]) -> List[str]:
    return ["pacman", "--query", *sorted(names)]


def states(output: str) -> Dict[str, PackageState]:
    lines = re.findall(r"^(\S+) (\S+)$", output, re.MULTILINE)
    return {name: PackageState("installed", version) for name, version in lines}


def query_manual(names: Iterable[str]) -> List[str]:
    return ["pacman", "--query", "--quiet", "--explicit", *sorted(names)]


def manual(names: Iterable[str], output: str) -> Set[str]:
    return {*names} & {*output.split()}


def preview(specs: Sequence[str]) -> List[str]:
    return [*_INSTALL, "--print", "--print-format", "install %n %v", *specs]


def preview_removal(names: Sequence[str], *, unneeded: bool) -> List[str]:
    recursive = ["--recursive"] if unneeded else []
    return [*_REMOVE, "--print", "--print-format", "remove %n %v", "--cascade", *recursive, *names]


def changes(output: str) -> Changes:
    versions = dict(re.findall(r"^install (\S+) (\S+)$", output, re.MULTILINE))
    return Changes(versions, frozenset(re.findall(r"^remove (\S+) \S+$", output, re.MULTILINE)))


def exact(name: str, version: str) -> str:
    return f"{name}={version}"


def refresh() -> List[str]:
    return ["pacman", "--sync", "--refresh", "--noconfirm"]


def query_lists(path: str) -> Optional[List[str]]:
    return None  # it verifies each package that it installs


def lists(output: str) -> Set[str]:
    return set()


def download(specs: Sequence[str], folder: str) -> Optional[List[str]]:
    return [*_INSTALL, "--downloadonly", "--cachedir", folder, *specs]


def download_again(specs: Sequence[str], folder: str) -> Optional[List[str]]:
    # Repositories have only the latest version, but pacman keeps what it has installed.
    names = [argument for spec in specs for argument in ("-o", "-name", f"{spec.replace('=', '-')}-*.pkg.tar.*")][1:]
    copy = ["-exec", "cp", "--target-directory", folder, "{}", "+"]
    return ["find", "/var/cache/pacman/pkg", "(", *names, ")", "!", "-name", "*.sig", *copy]


def file_name(name: str, version: str) -> str:
    return f"{name}-{version}-"


def query_conffiles(path: str) -> Optional[List[str]]:
    return ["bsdtar", "--extract", "--to-stdout", "--file", path, ".PKGINFO"]  # of libarchive, which pacman needs


def conffiles(output: str) -> List[str]:
    return [f"/{path}" for path in re.findall(r"^backup = (.+)$", output, re.MULTILINE)]


def data(output: str) -> List[str]:
    return []  # nothing is purged


def install(specs: Sequence[str], folder: str) -> List[str]:
    return [*_INSTALL, "--cachedir", folder, *specs]


def remove(names: Sequence[str]) -> List[str]:
    return [*_REMOVE, *names]


def purge(names: Sequence[str]) -> Optional[List[str]]:
    return None  # of what was removed, only files stay that a person has changed, as *.pacsave


def force_removal(names: Sequence[str], *, purge: bool) -> List[str]:
    return [*_REMOVE, "--nodeps", "--nodeps", *(["--nosave"] if purge else []), *names]


def install_files(paths: Sequence[str]) -> List[str]:
    return ["pacman", "--upgrade", "--noconfirm", "--nodeps", "--nodeps", *paths]


def configure(names: Sequence[str]) -> Optional[List[str]]:
    return None  # a package is installed, or not


def repair(output: str) -> Optional[List[str]]:
    return None


def mark(names: Sequence[str], *, manual: bool) -> Optional[List[str]]:
    return ["pacman", "--database", "--asexplicit" if manual else "--asdeps", *names]


def succeeded(status: int, output: str) -> bool:
    return status == 0 and "error: command failed to execute correctly" not in output  # a script of a package


def error(output: str) -> str:
    return next((line for line in output.splitlines() if line.startswith("error: ")), "")


def is_locked(output: str) -> bool:
    return "unable to lock database" in output
