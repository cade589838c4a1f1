"""Units of a real machine, by systemctl."""
# ruff: noqa: D102 - `seam.units.Units` describes the methods

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, AbstractSet, Dict, Iterable, List, Mapping, Optional, Sequence, Set, Tuple

from rolecall_agent.errors import Failure
from rolecall_agent.seam.units import UnitState
from rolecall_agent.systems import commands, mounts
from rolecall_agent.unit_types import mount_point

if TYPE_CHECKING:
    from rolecall_agent.fingerprint import Answer
    from rolecall_agent.system import Ask

_BOUND = ("RequiredBy", "RequisiteOf", "BoundBy", "ConsistsOf")
_STOPPED_ALONG = "PropagatesStopTo"
_FAILED = "d9b373ed55a64feb8242e02dbe79a49c"  # SD_MESSAGE_UNIT_FAILURE_RESULT, sd-messages.h
PROPERTIES = (
    "Id",
    "Names",
    "LoadState",
    "ActiveState",
    "SubState",
    "UnitFileState",
    "Type",
    "Result",
    "ConditionResult",
    "ConditionTimestampMonotonic",
    "ExecMainStartTimestampMonotonic",
    "InvocationID",
    "NeedDaemonReload",
    "CanReload",
    "Restart",
    "Transient",
    "Triggers",
    "TriggeredBy",
    *_BOUND,
    _STOPPED_ALONG,
)


FRESH = 1.0
"""Seconds for which a state counts as the present one. Within a second, nobody could tell a change from a later one."""


class SystemdUnits:
    """The units of the system's manager.

    Args:
        ask: `System.ask`.
        booting: Whether starting units must not wait for them: during a boot, they may wait for the boot unit.
    """

    def __init__(self, ask: Ask, *, booting: bool) -> None:
        self._ask = ask
        self._booting = booting
        self.settled = not booting
        self._known: Dict[str, UnitState] = {}
        self._answers: List[Answer] = []  # from which these come
        self._asked = 0.0  # when it asked for the oldest of them
        self._prefetched: Set[str] = set()

    def forget(self) -> None:
        self._known.clear()
        self._answers.clear()

    def renew(self) -> List[Answer]:
        if time.monotonic() - self._asked > FRESH:
            self.forget()
        return list(self._answers)

    def prefetch(self, names: Iterable[str]) -> None:
        self._prefetched.update(names)

    def state(self, name: str) -> UnitState:
        if name not in self._known:
            wanted = {name, *self._prefetched} - self._known.keys()
            templates = {unit for unit in wanted if "@." in unit}
            self._show(sorted(wanted - templates))
            for unit in sorted(templates):
                argv = ["systemctl", "is-enabled", "--", unit]
                status, output = self._ask(argv)
                self._answers.append((argv, False, status, output))
                self._known[unit] = _template_state(output.strip())
        return self._known[name]

    def _show(self, names: Sequence[str]) -> None:
        """Ask for the states of units. None may be a template: systemctl refuses these, and all others with them."""
        if not names:
            return
        argv = ["systemctl", "show", "--property", ",".join(PROPERTIES), "--", *names]
        self._asked = self._asked if self._known else time.monotonic()
        status, output = self._ask(argv, errors=True)
        self._answers.append((argv, True, status, output))
        shown: Dict[str, UnitState] = {}
        for properties in _blocks(output):
            state, own = _unit_state(properties), properties.get("Id", "")
            for name in _names(properties, "Names"):
                shown[name] = state if name == own else state._replace(alias=own)
        missing = [name for name in names if name not in shown]
        if status or missing:
            raise Failure(f"systemctl does not show the state of {', '.join(missing or names)}", output[-2000:])
        self._known.update(shown)

    def instances(self, template: str) -> List[str]:
        stem, suffix = template.split("@.")
        escaped = stem.replace("\\", "\\\\")
        shown = self._ask(["systemctl", "show", "--property", "Id", "--", f"{escaped}@*.{suffix}"])[1]
        return sorted(properties["Id"] for properties in _blocks(shown) if "Id" in properties)

    def failed(self) -> List[str]:
        argv = ["systemctl", "list-units", "--all", "--state=failed", "--plain", "--no-legend", "--no-pager"]
        status, output = self._ask(argv, errors=True)
        if status:
            raise Failure(f"systemctl does not list failed units: {output.strip()[-500:]}")
        return sorted(line.lstrip("●* ").split()[0] for line in output.splitlines() if line.strip("●* "))

    def run(self, verb: str, names: Sequence[str]) -> None:
        if not names and verb != "daemon-reload":
            return
        self.forget()
        # The switch reloads once, after all links are created or removed.
        option = (
            ["--no-reload"] if verb in {"enable", "disable", "reenable"} else ["--no-block"] if self._booting else []
        )
        status, output = commands.run(["systemctl", verb, *option, *(["--", *names] if names else [])], 600)
        if status and verb != "reset-failed":  # which fails for a unit that systemd has not loaded
            failed = [name for name in names if self.state(name).failed] or list(names)
            users = [user for name in failed if (where := mount_point(name)) for user in mounts.users(where)]
            busy = f": in use by {', '.join(users)}" if users else ""
            raise Failure(f"systemctl {verb} failed for {', '.join(failed)}{busy}", self.log(failed) or output)

    def validate(self, texts: Mapping[str, bytes], coming: Optional[AbstractSet[str]]) -> None:
        if not texts or not commands.is_installed("systemd-analyze"):
            return
        with commands.scratch(texts) as files:
            status, output = commands.run(["systemd-analyze", "verify", "--man=no", *files], 60)
        # Programs may be missing still: packages and files are installed later.
        lines = [line for line in output.splitlines() if not re.search(r"is not executable: No such file|^$", line)]
        missing = {line: match[1] for line in lines if (match := re.search(r" Unit (\S+) not found\.$", line))}
        lines = [line for line in lines if line not in missing or not (coming is None or missing[line] in coming)]
        named = [line for line in lines if any(os.path.basename(file) in line for file in files)]
        if status and named:
            raise Failure("systemd rejects a unit file", "\n".join(named))

    def has_failed(self, name: str, since: float) -> bool:
        fields = [f"MESSAGE_ID={_FAILED}", f"UNIT={name}", f"--since=@{since:.6f}"]
        status, output = commands.execute(["journalctl", "--quiet", "--no-pager", "--lines=1", "--output=cat", *fields])
        return bool(status or output)

    def log(self, names: Sequence[str]) -> str:
        return commands.execute(["systemctl", "status", "--no-pager", "--full", "--lines=10", "--", *names])[1][-4000:]


def _unit_state(shown: Mapping[str, str]) -> UnitState:
    """Return the state from properties of `systemctl show`; source: org.freedesktop.systemd1(5)."""
    active, result = shown.get("ActiveState", ""), shown.get("Result", "success")
    ran = shown.get("ExecMainStartTimestampMonotonic", "0") != "0"
    oneshot = shown.get("Type") == "oneshot"
    unmet = shown.get("ConditionResult") == "no" and shown.get("ConditionTimestampMonotonic", "0") != "0"
    # `Restart=always` also restarts what has ended well.
    failing = shown.get("SubState") == "auto-restart" and result != "success"
    return UnitState(
        known=shown.get("LoadState", "not-found") != "not-found",
        enabled=shown.get("UnitFileState") == "enabled",
        indirect=shown.get("UnitFileState") == "indirect",
        active=active in {"active", "reloading", "activating"},
        job=oneshot and active == "activating",
        done=active == "inactive" and ((oneshot and result == "success" and ran) or unmet),
        failed=active == "failed" or failing,
        daemon=shown.get("Id", "").endswith(".service") and not oneshot,
        simple=shown.get("Type") in {"simple", "exec", "idle"},
        invocation=shown.get("InvocationID", ""),
        stale=shown.get("NeedDaemonReload") == "yes",
        elapsed=shown.get("SubState") == "elapsed",
        reloads=shown.get("CanReload") == "yes",
        repeats=shown.get("Restart") in {"always", "on-success"},
        transient=shown.get("Transient") == "yes",
        triggers=_names(shown, "Triggers"),
        triggered=bool(shown.get("TriggeredBy")),
        bound=tuple(name for kind in _BOUND for name in _names(shown, kind)),
        stopped_along=_names(shown, _STOPPED_ALONG),
    )


def _blocks(output: str) -> List[Dict[str, str]]:
    """Return the properties of each unit that `systemctl show` has printed."""
    return [dict(line.partition("=")[::2] for line in block.splitlines()) for block in output.split("\n\n")]


def _names(shown: Mapping[str, str], name: str) -> Tuple[str, ...]:
    """Return the names of units in a property. Those with a backslash are in double quotes, with two of them."""
    words = shown.get(name, "").split()
    return tuple(word[1:-1].replace("\\\\", "\\") if word.startswith('"') else word for word in words)


def _template_state(enablement: str) -> UnitState:
    """Return the state of a template, which never runs itself."""
    return UnitState(known=enablement not in {"", "not-found"}, enabled=enablement == "enabled")
