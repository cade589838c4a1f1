"""The two forms of unit that nearly every service needs; `unit_text` writes any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolecall_agent.resources import Unit
from rolecall_agent.resources.unit import exec_line, unit_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rolecall_agent.resources import Resource


def service_unit(
    name: str,
    exec: Sequence[object],  # noqa: A002 - the name that systemd gives it
    *,
    description: str,
    oneshot: bool = False,
    settings: Mapping[str, str | Sequence[str]] | None = None,
    restart_on: Sequence[Resource] = (),
) -> Unit:
    """Return a service unit: a daemon that starts at boot, or with ``oneshot`` a job that something else starts.

    Args:
        name: Unit name ending in ``.service``.
        exec: Argument vector; every word is taken literally.
        description: One line.
        oneshot: Whether it is a job.
        settings: Further settings of the ``[Service]`` section (systemd.exec(5)).
        restart_on: Resources whose change restarts it.
    """
    sections: dict[str, Mapping[str, str | Sequence[str]]] = {
        "Unit": {"Description": description, "Wants": "network-online.target", "After": "network-online.target"},
        "Service": {"Type": "oneshot" if oneshot else "exec", "ExecStart": exec_line(exec), **(settings or {})},
    }
    if not oneshot:
        sections["Install"] = {"WantedBy": "multi-user.target"}
    return Unit(name, unit_text(sections), enabled=not oneshot, started=not oneshot, restart_on=restart_on)  # type: ignore[arg-type]  # Unit makes a tuple of it


def timer_unit(job: Unit, calendar: str, *, description: str, random_delay: int = 0) -> Unit:
    """Return a timer that starts a job, and catches up on a run missed while the machine was off.

    Args:
        job: The unit it starts; the timer has its name.
        calendar: Calendar event (systemd.time(7)).
        description: One line.
        random_delay: Seconds by which each run is put off at random, so that a fleet does not start at once.
    """
    timer: dict[str, str | Sequence[str]] = {"OnCalendar": calendar, "Persistent": "true", "Unit": job.name}
    if random_delay:
        timer["RandomizedDelaySec"] = str(random_delay)
    sections: dict[str, Mapping[str, str | Sequence[str]]] = {
        "Unit": {"Description": description},
        "Timer": timer,
        "Install": {"WantedBy": "timers.target"},
    }
    name = job.name.rpartition(".")[0] + ".timer"
    return Unit(name, unit_text(sections), enabled=True, started=True)
