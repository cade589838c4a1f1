"""Whether the machine must reboot to use what is installed."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, List, Optional, Sequence

if TYPE_CHECKING:
    from rolecall_agent.system import System

_REQUIRED = "/run/reboot-required"  # of packages of Debian and Ubuntu, which name themselves in the second file
_PACKAGES = "/run/reboot-required.pkgs"
_MODULES = "/lib/modules"
_CONTAINER = "/run/systemd/container"  # systemd(1): it has the kernel of its host


def reasons_to_reboot(system: System) -> Optional[List[str]]:
    """Return why the machine must reboot; None if this cannot be known.

    Raises:
        OSError: When a file cannot be read.
    """
    if system.stat(_REQUIRED):
        packages = system.read(_PACKAGES).decode(errors="replace").split() if system.stat(_PACKAGES) else []
        named = ", ".join(dict.fromkeys(packages))
        return [f"packages were updated: {named}" if named else f"{_REQUIRED} exists"]
    kernels = installed_kernels() if system.root is None else []
    return newer_kernels(os.uname().release, kernels) if kernels else None


def installed_kernels() -> List[str]:
    """Return the releases of the installed kernels; none in a container."""
    if os.path.exists(_CONTAINER) or not os.path.isdir(_MODULES):
        return []
    images = (("/boot/vmlinuz-{}", f"{_MODULES}/{{}}/vmlinuz"), os.listdir(_MODULES))
    return [name for name in images[1] if any(os.path.exists(path.format(name)) for path in images[0])]


def newer_kernels(running: str, installed: Sequence[str]) -> List[str]:
    """Return in one sentence why another kernel than the running one must be started, or nothing.

    Args:
        running: The release of the running kernel (uname(2)).
        installed: Those of the installed kernels, of which kernels of another flavour do not count.
    """
    same = [release for release in installed if _flavour(release) == _flavour(running)]
    newest = max(same, key=_numbers, default=running)
    if _numbers(newest) > _numbers(running):
        return [f"kernel {newest} is installed, and {running} runs"]
    return [] if running in installed else [f"kernel {running} runs, and is not installed any more"]


def _flavour(release: str) -> List[str]:
    """Return the words of a release, such as ``["cloud", "amd"]``."""
    return re.findall(r"[a-z]+", release)


def _numbers(release: str) -> List[int]:
    return [int(number) for number in re.findall(r"\d+", release)]
