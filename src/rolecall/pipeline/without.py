"""What a run may go on without."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rolecall.errors import Fault, Faults, nearest
from rolecall.pipeline.choosing import matcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rolecall.evaluate.configure import Configured
    from rolecall.model.plan import Skipped


@dataclass(frozen=True, slots=True)
class Without:
    """What a run may go on without.

    Attributes:
        checks: Names or patterns of checks that do not run.
        machines: Returns whether to go on without these machines, which are unreachable; None never to do so.
        wait: Seconds to wait for such machines first.
    """

    checks: tuple[str, ...] = ()
    machines: Callable[[Sequence[Skipped]], bool] | None = None
    wait: float = 0.0

    def checks_of(self, configured: Configured) -> tuple[str, ...]:
        """Return the names of the checks of a machine that do not run."""
        skipped = matcher(self.checks)
        return tuple(check.name for check in configured.configuration.checks if skipped(check.name))

    def require_checks(self, configured: Iterable[Configured]) -> None:
        """Require that there is a check for each name and pattern.

        Raises:
            Faults: For each that matches none.
        """
        known = {check.name for each in configured for check in each.configuration.checks} if self.checks else set()
        unknown = [name for name in self.checks if not any(map(matcher([name]), known))]
        if unknown:
            raise Faults(
                Fault(f"no check matches {name!r}", hint=nearest(name, known, what="checks")) for name in unknown
            )
