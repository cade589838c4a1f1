"""What a computer needs to run a lab."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

_PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "debootstrap": "debootstrap",
    "unshare": "util-linux",
    "ip": "iproute2",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}


def missing() -> str | None:
    """Return why a lab cannot run on this computer; None if it can."""
    if sys.platform != "linux":
        return "the lab needs Linux"
    if not Path("/etc/debian_version").exists():
        return "the lab needs Debian, because its machines are built from Debian packages"
    if os.geteuid() != 0:
        return "the lab needs root"
    if missing := {package for program, package in _PROGRAMS.items() if not shutil.which(program)}:
        return f"the lab needs: apt-get install {' '.join(sorted(missing))}"
    if "cgroup2" not in Path("/proc/filesystems").read_text():
        return "the lab needs a kernel with cgroup2"
    return None
