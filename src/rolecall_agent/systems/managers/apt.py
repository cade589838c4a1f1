"""apt and dpkg, of Debian and its relatives."""
# ruff: noqa: D103 - `managers.Manager` describes the functions

from __future__ import annotations

import re
from typing import Dict, Iterable, List, Optional, Sequence, Set, Tuple

from rolecall_agent.seam.packages import PackageState
from rolecall_agent.systems.managers import Changes

FILES: Tuple[str, ...] = (".deb",)
BESIDE: Tuple[str, ...] = (".dpkg-dist", ".dpkg-new", ".dpkg-old")
PURGED: Tuple[str, ...] = ("~", ".bak", "%")  # REMOVECONFFEXTS of lib/dpkg/dpkg.h

_APT = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120"]
_KEEP_FILES = "--force-confold"  # nobody can answer what to do about a configuration file that was changed
_INSTALL = ["install", "--yes", "--no-install-recommends", "--no-remove", "-o", f"Dpkg::Options::={_KEEP_FILES}"]
_SOURCE = re.compile(r"/etc/apt/sources\.list(\.d/[^/]+\.(list|sources))?\Z")
# Where data may be, but for folders that exist on any machine, since the scripts of many packages share them.
_DATA = re.compile(
    r"/(?:home|opt|srv|var/(?:backups|cache|lib|log|mail|spool|www))"
    r"/(?!(?:apt|dbus|debconf|dpkg|misc|pam|python3?|systemd|ucf)/)[\w.@+/-]*[\w@+]"
)
_REMOVALS = re.compile(r"\brm [^\n;&|]+")
_IN_ETC = re.compile(r"/etc/[\w.@+/-]*[\w@+]")
_FIELDS = "${Package} ${Architecture} ${db:Status-Status} ${db:Status-Eflag} ${Version}\n"


def query(names: Iterable[str]) -> List[str]:
    wanted = sorted(names)
    return ["dpkg-query", "--show", "--showformat", _FIELDS, *(["dpkg", *wanted] if wanted else [])]


def states(output: str) -> Dict[str, PackageState]:
    lines = [line.split(" ") for line in output.splitlines() if line.count(" ") == 4]  # noqa: PLR2004 - as `_FIELDS`
    native = {architecture for name, architecture, *_ in lines if name == "dpkg"} | {"all", ""}
    found = {}
    for name, architecture, status, flag, version in lines:
        key = name if architecture in native else f"{name}:{architecture}"
        whole = status == "installed" and flag == "ok"
        state = status if whole or status != "installed" else flag
        found[key] = PackageState(state, "" if status in {"not-installed", "config-files"} else version)
    return found


def query_manual(names: Iterable[str]) -> List[str]:
    return ["apt-mark", "showmanual", *sorted(names)]


def manual(names: Iterable[str], output: str) -> Set[str]:
    return {*names} & {*output.split()}


def preview(specs: Sequence[str]) -> List[str]:
    return [*_APT, "--simulate", "install", "--no-install-recommends", *specs]


def preview_removal(names: Sequence[str], *, unneeded: bool) -> List[str]:
    return [*_APT, "--simulate", "remove", "--auto-remove" if unneeded else "--no-auto-remove", *names]


def changes(output: str) -> Changes:
    after = re.findall(r"^(?:Inst|Conf) (\S+) (?:\[\S*\] )?\((\S+)", output, re.MULTILINE)
    return Changes(dict(after), frozenset(re.findall(r"^(?:Remv|Purg) (\S+)", output, re.MULTILINE)))


def exact(name: str, version: str) -> str:
    return f"{name}={version}"


def refresh() -> List[str]:
    return [*_APT, "update"]


def query_lists(path: str) -> Optional[List[str]]:
    if not _SOURCE.match(path):
        return None
    only = ["-o", f"Dir::Etc::sourcelist={path}", "-o", "Dir::Etc::sourceparts=-"]
    return [*_APT, *only, "indextargets", "--no-release-info", "--format", "$(FILENAME) $(METAKEY)"]


def lists(output: str) -> Set[str]:
    # What a repository has is in files of its own: its address, and then such as _InRelease or _main_…_Packages.
    files = [line.partition(" ")[::2] for line in output.splitlines()]
    return {path[: -len(key)] for path, key in files if key and path.endswith(key.replace("/", "_"))}


def download(specs: Sequence[str], folder: str) -> Optional[List[str]]:
    return [*_APT, "-o", f"Dir::Cache::archives={folder}", *_INSTALL, "--download-only", *specs]


def download_again(specs: Sequence[str], folder: str) -> Optional[List[str]]:
    return [*_APT, "-o", f"Dir::Cache::archives={folder}", *_INSTALL, "--download-only", "--reinstall", *specs]


def file_name(name: str, version: str) -> str:
    return f"{name.partition(':')[0]}_{version.replace(':', '%3a')}_"


def query_conffiles(path: str) -> Optional[List[str]]:
    return ["dpkg-deb", "--info", path, "conffiles", "postrm"]


def conffiles(output: str) -> List[str]:
    return re.findall(r"^(/.+?)\s*$", output.partition("#!")[0], re.MULTILINE)


def data(output: str) -> List[str]:
    script = re.sub(r"^\s*#.*", "", output.partition("#!")[2], flags=re.MULTILINE)
    return [*_DATA.findall(script), *(path for line in _REMOVALS.findall(script) for path in _IN_ETC.findall(line))]


def install(specs: Sequence[str], folder: str) -> List[str]:
    return [*_APT, "-o", f"Dir::Cache::archives={folder}", *_INSTALL, *specs]


def remove(names: Sequence[str]) -> List[str]:
    return [*_APT, "remove", "--yes", "--no-auto-remove", *names]


def purge(names: Sequence[str]) -> Optional[List[str]]:
    return ["dpkg", "--purge", *names]


def force_removal(names: Sequence[str], *, purge: bool) -> List[str]:
    return ["dpkg", "--force-remove-reinstreq", "--force-depends", "--purge" if purge else "--remove", *names]


def install_files(paths: Sequence[str]) -> List[str]:
    return ["dpkg", "--force-downgrade", _KEEP_FILES, "--install", *paths]


def configure(names: Sequence[str]) -> Optional[List[str]]:
    return ["dpkg", _KEEP_FILES, "--configure", *names]


def repair(output: str) -> Optional[List[str]]:
    # After dpkg was killed, apt wants `dpkg --configure -a`, which would also configure what a person has left broken.
    # Whatever else writes its database completes that first; this command, without input, does nothing more.
    return ["dpkg", "--set-selections"] if "dpkg was interrupted" in output else None


def mark(names: Sequence[str], *, manual: bool) -> Optional[List[str]]:
    return ["apt-mark", "manual" if manual else "auto", *names]


def succeeded(status: int, output: str) -> bool:  # noqa: ARG001 - its status says all
    return status == 0


def error(output: str) -> str:
    return next((line for line in output.splitlines() if line.startswith(("E: ", "dpkg: error"))), "")


def is_locked(output: str) -> bool:
    return bool(re.search(r"Could not get lock|locked by another process", output))
