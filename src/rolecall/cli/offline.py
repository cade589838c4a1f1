"""The option that says what to do about machines that are unreachable."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

import click

from rolecall.errors import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolecall.cli.progress import Progress
    from rolecall.model.plan import Skipped
    from rolecall.pipeline import Without

_SECONDS = {"s": 1, "m": 60, "h": 3600}


class Offline(NamedTuple):
    """Whether machines that are unreachable are skipped, or else, for how many seconds they are waited for."""

    skips: bool = False
    seconds: float = 0.0


def _read(_: click.Context, __: click.Parameter, value: str | None) -> Offline | None:
    if value is None:
        return None
    if value in {"fail", "skip"}:
        return Offline(value == "skip")
    if found := re.fullmatch(r"wait(?:=([0-9]{1,6})([smh]))?", value):
        return Offline(seconds=int(found[1]) * _SECONDS[found[2]] if found[1] else math.inf)
    raise click.BadParameter(f"{value!r} is neither `fail`, `skip`, `wait` nor `wait=10m` (s, m or h)")


offline_option = click.option(
    "--offline",
    callback=_read,
    metavar="fail|skip|wait[=10m]",
    help="What to do about unreachable machines.",
)


def without(offline: Offline | None, checks: tuple[str, ...] = ()) -> Without:
    """Return what a run may go on without.

    Args:
        offline: The value of the option, if it is given.
        checks: Names or patterns of checks.
    """
    from rolecall.pipeline import Without

    skips, seconds = offline or Offline()
    return Without(checks, (lambda _: True) if skips else None, seconds)


def ask_to_skip(progress: Progress, skipped: Sequence[Skipped]) -> bool:
    """Ask whether to go on without unreachable machines."""
    progress.pause()
    for each in skipped:
        click.echo(f"{each.machine} ({each.plan.target}) is unreachable: {each.plan.failure}", err=True)
        if each.dependents:
            click.echo(f"  these depend on it: {each.dependents}", err=True)
    return click.confirm(f"go on without {listed([each.machine for each in skipped])}?", err=True)
