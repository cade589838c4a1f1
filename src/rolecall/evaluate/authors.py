"""Running code of service authors: whatever it raises becomes a fault that names the service and its line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from rolecall.errors import Faults, Where, fault, raised_at
from rolecall_agent.content import SecretTextError
from rolecall_agent.resources.checks import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rolecall.service.contract import Service

T = TypeVar("T")


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
        line = raised_at(error)
        place = f" ({line})" if line else ""
        kind = "" if isinstance(error, (DefinitionError, SecretTextError)) else f"{type(error).__name__}: "
        hint = "a setting that the service cannot use, or a fault of the service itself"
        if isinstance(error, SecretTextError) or re.search(r"\bSecret(?:Ref)?\b", str(error)):
            hint = 'a secret has no text; write `File(path, parts("password = ", secret))`, or give `secret.path`'
        raise fault(
            f"{service.name}, {what}: {kind}{error}{place}", where=Where(keys=("instances", instance)), hint=hint
        ) from error


def results(function: Callable[[Any], Iterable[T]], argument: object, kinds: tuple[type, ...]) -> list[T]:
    """What an author's function yields.

    Raises:
        TypeError: When it is something else than it should be.
    """
    found = function(argument)
    if not isinstance(found, Iterable):
        raise TypeError(f"{function.__name__} gives {type(found).__name__}; it must yield, or return a list")
    values = list(found)
    for value in values:
        if not isinstance(value, kinds):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise TypeError(f"{function.__name__} gives {type(value).__name__}; it must give {wanted}")
    return values
