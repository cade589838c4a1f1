"""zypper, of SUSE."""
# ruff: noqa: ARG001, D103 - `managers.Manager` describes the functions

from __future__ import annotations

import re
from typing import Iterable, List, Optional, Sequence, Set

from rolecall_agent.systems.managers import Changes
from rolecall_agent.systems.managers.rpm import *  # noqa: F403 - what it does not define itself
from rolecall_agent.systems.managers.rpm import key

_ZYPPER = ["zypper", "--non-interactive", "--no-refresh"]
_INSTALL = ["install", "--no-recommends", "--auto-agree-with-licenses"]
_DONE = {0, 100, 101, 102, 103, 106}  # zypper(8): what also says that there are patches, or that a restart is due


def query_manual(names: Iterable[str]) -> List[str]:
    return ["cat", "/var/lib/zypp/AutoInstalled"]  # `zypper packages` shows it only in later versions


def manual(names: Iterable[str], output: str) -> Set[str]:
    return {*names} - {*output.splitlines()}


def preview(specs: Sequence[str]) -> List[str]:
    return [*_ZYPPER, "--xmlout", *_INSTALL, "--dry-run", *specs]


def preview_removal(names: Sequence[str], *, unneeded: bool) -> List[str]:
    return [*_ZYPPER, "--xmlout", "remove", "--dry-run", *(["--clean-deps"] if unneeded else []), *names]


def changes(output: str) -> Changes:
    versions, removed = {}, set()
    for what, text in re.findall(r"<to-([a-z-]+)>(.*?)</to-", output, re.DOTALL):
        for name, version, architecture in re.findall(
            r'<solvable type="package" name="([^"]+)" edition="([^"]+)" arch="([^"]+)"', text
        ):
            if what == "remove":
                removed.add(key(name, architecture))
            else:
                versions[key(name, architecture)] = version
    return Changes(versions, frozenset(removed))


def exact(name: str, version: str) -> str:
    return f"{name}={version}"


def refresh() -> List[str]:
    return ["zypper", "--non-interactive", "refresh"]


def download(specs: Sequence[str], folder: str) -> Optional[List[str]]:
    return [*_ZYPPER, *_cache(folder), *_INSTALL, "--download-only", *specs]


def download_again(specs: Sequence[str], folder: str) -> Optional[List[str]]:
    return [*_ZYPPER, *_cache(folder), *_INSTALL, "--download-only", "--force", *specs]


def _cache(folder: str) -> List[str]:
    return ["--pkg-cache-dir", f"{folder}/zypper"]  # where it deletes all that it does not know


def install(specs: Sequence[str], folder: str) -> List[str]:
    return [*_ZYPPER, *_cache(folder), *_INSTALL, *specs]


def remove(names: Sequence[str]) -> List[str]:
    return [*_ZYPPER, "remove", *names]


def mark(names: Sequence[str], *, manual: bool) -> Optional[List[str]]:
    return None  # only libzypp itself writes its list


def succeeded(status: int, output: str) -> bool:
    return status in _DONE


def error(output: str) -> str:
    found = re.search(
        r'^<message type="error">(.*)</message>|^(error: .*|warning: %.* scriptlet failed.*)|\b(Problem: .*)',
        output,
        re.MULTILINE,
    )
    message = found[1] or found[2] or found[3] if found else ""
    return message.replace("&apos;", "'").replace("&gt;", ">").replace("&lt;", "<")


def is_locked(output: str) -> bool:  # type: ignore[no-redef]  # not only rpm
    return "System management is locked" in output or "can't create transaction lock" in output
