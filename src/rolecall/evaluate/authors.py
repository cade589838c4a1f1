"""Running code of service authors: whatever it raises becomes a fault that names the service and its line."""

from __future__ import annotations

import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rolecall.errors import Fault, Faults, Where
from rolecall_agent.resources.checks import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolecall.service.contract import Service


@contextmanager
def calling(service: Service, what: str, instance: str) -> Iterator[None]:
    """Turns an exception of service code into a fault.

    Args:
        service: Whose code runs.
        what: What is being done, e.g. ``"backup.client on jon"``.
        instance: The instance, for the fault's place.

    Raises:
        Faults: When the code raises anything else.
    """
    try:
        yield
    except Faults:
        raise
    except Exception as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if __package__ not in frame.filename]
        own = [
            frame for frame in frames if "/rolecall/" not in frame.filename and "rolecall_agent" not in frame.filename
        ]
        place = f" ({own[-1].filename}:{own[-1].lineno})" if own else ""
        kind = "" if isinstance(error, DefinitionError) else f"{type(error).__name__}: "
        raise Faults(
            [
                Fault(
                    f"{service.name}, {what}: {kind}{error}{place}",
                    Where(keys=("instances", instance)),
                    "a setting that the service cannot use, or a fault of the service itself",
                )
            ]
        ) from error
