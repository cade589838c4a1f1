"""dnf 5, of Fedora since 41, where it is also called dnf: its marks have other names."""
# ruff: noqa: D103 - `managers.Manager` describes the functions

from __future__ import annotations

from typing import List, Optional, Sequence

from rolecall_agent.systems.managers.dnf import *  # noqa: F403 - what it does not define itself


def mark(names: Sequence[str], *, manual: bool) -> Optional[List[str]]:  # type: ignore[no-redef]  # others than dnf 4
    return ["dnf", "--assumeyes", "mark", "user" if manual else "dependency", *names]
