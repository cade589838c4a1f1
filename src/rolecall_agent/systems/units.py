"""Units of a real machine, by systemctl."""
# ruff: noqa: D102 - `system.Units` describes the methods

from __future__ import annotations

import os
import re
import time
from typing import Dict, Iterable, Mapping, Sequence, Set

from rolecall_agent.errors import Failure
from rolecall_agent.system import UnitState
from rolecall_agent.systems import commands


class SystemdUnits:
    """The units of the system's manager.

    Args:
        booting: Whether starting units must not wait for them: during a boot, they may wait for the boot unit.
    """

    def __init__(self, *, booting: bool) -> None:
        self._booting = booting
        self.settled = not booting
        self._known: Dict[str, UnitState] = {}
        self._prefetched: Set[str] = set()

    def forget(self) -> None:
        """Ask systemd again for every state that is needed from now on."""
        self._known.clear()

    def prefetch(self, names: Iterable[str]) -> None:
        self._prefetched.update(names)

    def state(self, name: str) -> UnitState:
        if name not in self._known:
            names = sorted({name, *self._prefetched})
            properties = (
                "Id,Names,LoadState,ActiveState,SubState,UnitFileState,Type,Result,ConditionResult,"
                "ExecMainStartTimestampMonotonic,ConditionTimestampMonotonic"
            )
            _, output = commands.execute(["systemctl", "show", "--property", properties, "--", *names])
            self._known.update(dict.fromkeys(names, UnitState()))
            for unit, block in zip(names, output.split("\n\n")):  # noqa: B905 - not in Python 3.9
                self._known[unit] = _unit_state(dict(line.partition("=")[::2] for line in block.splitlines()))
        return self._known[name]

    def run(self, verb: str, names: Sequence[str]) -> None:
        if not names and verb != "daemon-reload":
            return
        self._known.clear()
        # The switch reloads once, after all links are created or removed.
        option = ["--no-reload"] if verb in {"enable", "disable"} else ["--no-block"] if self._booting else []
        status, output = commands.run(["systemctl", verb, *option, *(["--", *names] if names else [])], 600)
        if status:
            failed = [name for name in names if self.state(name).failed] or list(names)
            raise Failure(f"systemctl {verb} failed for {', '.join(failed)}", self._log(failed) or output)

    def require_running(self, names: Sequence[str]) -> None:
        if not names or self._booting:
            return
        # systemd.service(5), Type=simple: the start job ends before the program is executed.
        deadline = time.monotonic() + 0.3
        while True:
            self._known.clear()
            failed = [name for name in names if self.state(name).failed]
            if failed:
                raise Failure(f"{', '.join(failed)} failed after starting", self._log(failed))
            if time.monotonic() > deadline:
                return
            time.sleep(0.1)

    def validate(self, texts: Mapping[str, bytes]) -> None:
        if not texts or not commands.is_installed("systemd-analyze"):
            return
        with commands.scratch(texts) as files:
            status, output = commands.run(["systemd-analyze", "verify", "--man=no", *files], 60)
        # Programs may be missing still: packages and files are installed later.
        lines = [line for line in output.splitlines() if not re.search(r"is not executable: No such file|^$", line)]
        named = [line for line in lines if any(os.path.basename(file) in line for file in files)]
        if status and named:
            raise Failure("systemd rejects a unit file", "\n".join(named))

    def _log(self, names: Sequence[str]) -> str:
        return commands.execute(["systemctl", "status", "--no-pager", "--full", "--lines=10", "--", *names])[1][-4000:]


def _unit_state(shown: Dict[str, str]) -> UnitState:
    """Return the state from properties of `systemctl show`; source: org.freedesktop.systemd1(5)."""
    active = shown.get("ActiveState", "")
    ran = shown.get("ExecMainStartTimestampMonotonic", "0") != "0"
    oneshot = shown.get("Type") == "oneshot" and shown.get("Result") == "success" and ran
    unmet = shown.get("ConditionResult") == "no" and shown.get("ConditionTimestampMonotonic", "0") != "0"
    return UnitState(
        known=shown.get("LoadState", "not-found") != "not-found",
        enabled=shown.get("UnitFileState", "").startswith("enabled"),
        active=active in {"active", "reloading", "activating"},
        done=active == "inactive" and (oneshot or unmet),
        failed=active == "failed" or shown.get("SubState") == "auto-restart",
    )
