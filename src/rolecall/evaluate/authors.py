"""Calls of service code: what it raises becomes a fault that names the service and the line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import contextmanager
from types import GeneratorType
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from rolecall.errors import Faults, Where, defined_at, fault, raised_at
from rolecall.service.packages import shown
from rolecall_agent.content import SecretTextError
from rolecall_agent.resources import Resource
from rolecall_agent.resources.checks import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rolecall.service.contract import Service

T = TypeVar("T")


class WrongResultError(Exception):
    """A service's function returned or yielded something wrong.

    Args:
        problem: What follows the function's name in the message.
        function: The function.
        line: ``FILE:LINE`` where it yields that, when known.

    Attributes:
        line: That line, or the function's first.
    """

    def __init__(self, problem: str, function: object, line: str = "") -> None:
        super().__init__(f"{getattr(function, '__name__', type(function).__name__)} {problem}")
        self.line = line or defined_at(function)


@contextmanager
def calling(service: Service, what: str, instance: str) -> Iterator[None]:
    """Turn an exception of service code into a fault.

    Args:
        service: Whose code runs.
        what: What the code does, e.g. ``"backup.client on jon"``.
        instance: The instance, for the fault's place.

    Raises:
        Faults: When the code raises anything else.
    """
    try:
        yield
    except Faults:
        raise
    except WrongResultError as error:
        hint = "this is a fault of the service, not of the inventory"
        raise _fault(service, what, instance, str(error), error.line, hint) from None
    except (Exception, SystemExit) as error:
        raised = _presentable(error)
        kind = "" if isinstance(raised, (DefinitionError, SecretTextError)) else f"{type(raised).__name__}: "
        problem = "; ".join(_problems(raised)) if isinstance(raised, ValidationError) else f"{kind}{raised}"
        hint = "a setting that the service cannot use, or a fault of the service itself"
        by_python = isinstance(raised, TypeError) and re.search(r"\bSecret(?:Ref)?\b", str(raised))
        if by_python or isinstance(raised, SecretTextError):
            hint = 'a secret has no text; write `File(path, parts("password = ", secret))`, or give `secret.path`'
        raise _fault(service, what, instance, problem, raised_at(error), hint) from error


def _problems(error: ValidationError) -> Iterator[str]:
    """Yield what is wrong with each field of a model that an author's code filled or changed."""
    for detail in error.errors(include_url=False, include_input=False):
        place = ".".join([error.title, *map(str, detail["loc"])])
        yield f"{place}: {'cannot be changed' if detail['type'] == 'frozen_instance' else detail['msg']}"


def _presentable(error: BaseException) -> BaseException:
    """Return the error, or what it raises when its text is asked for, as that of a secret does."""
    try:
        str(error)
    except Exception as instead:  # noqa: BLE001 - an author's class may raise anything
        return instead
    return error


def _fault(service: Service, what: str, instance: str, problem: str, line: str, hint: str) -> Faults:
    message = f"{service.name}, {what}: {shown(problem)}" + (f" ({line})" if line else "")
    return fault(message, where=Where(keys=("instances", instance)), hint=hint)


def results(function: Callable[[Any], Iterable[T]], argument: object, kind: type) -> Iterator[T]:
    """Yield what an author's function gives."""
    wanted = "resources such as File" if kind is Resource else kind.__name__
    found = function(argument)
    given: object = found
    if not isinstance(given, Iterable) or isinstance(given, (str, bytes, dict, kind)):
        raise WrongResultError(f"returns {_named(found)}; it must yield {wanted}, or return a list", function)
    for value in found:
        if not isinstance(value, kind):
            line = ""
            if isinstance(found, GeneratorType) and found.gi_frame:
                line = f"{found.gi_code.co_filename}:{found.gi_frame.f_lineno}"
            several = "; for a list write `yield from`" if isinstance(value, list | tuple | GeneratorType) else ""
            verb = "yields" if line else "returns a list with"
            raise WrongResultError(f"{verb} {_named(value)}; it must yield {wanted}{several}", function, line)
        yield value


def _named(value: object) -> str:
    return (
        "None" if value is None else f"{'an' if type(value).__name__[0] in 'aeiouAEIO' else 'a'} {type(value).__name__}"
    )
