"""Refuse declarations of a service that break the contract, in the line that makes them.

In each function, `what` names the declaration, for the message.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

from rolecall.model.exports import Interface
from rolecall.model.generators import Prompt
from rolecall.model.names import NAME_PATTERN
from rolecall.model.recipes import Delivery
from rolecall.model.vars import VarFile
from rolecall.service.handles import Need, RoleHandle, ServiceHandle, Var
from rolecall.service.settings import Settings
from rolecall_agent.content import Secret
from rolecall_agent.resources import File

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# By scope of a var: the scopes of the vars of its own role that it can need.
_WIDER = {"instance": ("instance", "machine", "shared"), "machine": ("machine",), "shared": ("shared",)}
FunctionT = TypeVar("FunctionT", bound="Callable[..., Any]")
NOTHING: Any = object()  # in place of the function, when a decorator is written with parentheses


class ContractError(Exception):
    """A service breaks the contract; the message says how. It is raised in the line that breaks it."""


def readable(needs: Iterable[Need], service: ServiceHandle, what: str) -> tuple[Need, ...]:
    """Return the needs of a step, which are interfaces and vars of its own service."""
    needed = tuple(needs)
    names = [need.name for need in needed if isinstance(need, Var)]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ContractError(f"{what} cannot need two vars named {twice[0]!r}")
    for need in needed:
        if isinstance(need, Var) and need.role.service is service:
            continue
        if not (isinstance(need, type) and issubclass(need, Interface)):
            raise ContractError(
                f"{what} cannot need {named(need)}: a step can read interfaces and vars of its own service"
            )
        require_interface(need, what)
    return needed


def require_scope(var: Var[Any], what: str) -> None:
    """Require a scope in which the var can have its validation and needs."""
    if var.scope not in _WIDER:
        raise ContractError(f"{what} has an invalid scope {var.scope!r}; valid are: {', '.join(_WIDER)}")
    if var.scope != "instance" and var.validation:
        raise ContractError(
            f"{what} is shared by several members, so it cannot have a validation of one member's settings; "
            "for a shared var, use instance_validation"
        )
    if var.scope != "shared" and var.instance_validation:
        raise ContractError(f"{what} has an instance_validation, which only a var with scope='shared' can have")
    for need in var.needs:
        if isinstance(need, Var) and need.role is var.role and need.scope not in _WIDER[var.scope]:
            raise ContractError(f"{what} is shared by several members, so it cannot need {named(need)}, which each has")


def require_deliveries(var: Var[Any], what: str) -> None:
    """Require that each delivery installs a file of the var, as a service could."""
    secrets = {file.name: file.secret for file in var.generator.files}
    for name, delivery in var.deliver.items():
        if name not in secrets:
            raise ContractError(f"{what} delivers an unknown file {name!r}; its files are: {', '.join(secrets)}")
        if not isinstance(delivery, Delivery):
            raise ContractError(f"{what} delivers {name!r} with {named(delivery)}, which is not a Delivery")
        try:  # the same checks as for a file that a service yields
            secret = Secret("x", name, "")
            File(secret.path, secret if secrets[name] else "", **asdict(delivery))
        except ValueError as error:
            raise ContractError(f"{what} delivers {name!r}: {error}") from None


def require_settings(settings: object, what: str) -> None:
    """Require a class below `Settings`."""
    if not (isinstance(settings, type) and issubclass(settings, Settings)):
        raise ContractError(f"{what}: its settings are {named(settings)}, which is not a class below Settings")


def require_interface(interface: object, what: str) -> None:
    """Require a class below `Interface` that keeps its rules for data."""
    if inspect.isfunction(interface):
        raise ContractError(
            f"{what}: write `@role.exports(INTERFACE)`, with the interface of what {named(interface)} yields"
        )
    if not (isinstance(interface, type) and issubclass(interface, Interface)) or interface is Interface:
        raise ContractError(f"{what}: {named(interface)} is not an interface, which is a class below Interface")
    for key, value in Interface.model_config.items():
        if interface.model_config.get(key) != value:
            raise ContractError(f"{what}: the interface {interface.__name__} must keep {key}={value!r}")


def require_generator(generator: object, what: str) -> None:
    """Require what every generator has: files and prompts with names of their own, and two methods."""
    files = getattr(generator, "files", None)
    if (
        isinstance(generator, type)
        or not (isinstance(files, tuple) and files and all(isinstance(file, VarFile) for file in files))
        or not all(callable(getattr(generator, method, None)) for method in ("generate", "view"))
    ):
        raise ContractError(f"{what}: {named(generator)} is not a generator, which has files, generate and view")
    require_function(generator.generate, f"{what}: generate of {named(generator)}")  # type: ignore[attr-defined]
    if len({file.name.casefold() for file in files}) < len(files):
        raise ContractError(f"{what} has two files with the same name")
    prompts = getattr(generator, "prompts", ())
    if not (isinstance(prompts, tuple) and all(isinstance(prompt, Prompt) for prompt in prompts)):
        raise ContractError(f"{what}: prompts must be a tuple of Prompt")
    for prompt in prompts:
        require_name(prompt.name, f"{what}: prompt")
    if len({prompt.name for prompt in prompts}) < len(prompts):
        raise ContractError(f"{what} has two prompts with the same name")


def require_function(function: FunctionT, what: str, decorator: str = "") -> FunctionT:
    """Return the function if it is a plain one that can be called with one argument."""
    if function is NOTHING:
        raise ContractError(f"{what}: write `{decorator}` without parentheses")
    try:
        inspect.signature(function).bind(None)
    except (TypeError, ValueError):
        raise ContractError(f"{what} takes a function of one argument, not {named(function)}") from None
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise ContractError(f"{what} takes a plain function, but {named(function)} is async")
    return function


def named(thing: object) -> str:
    """Return what a message calls something that an author has passed."""
    match thing:
        case Var():
            return f"the var {thing.name!r} of {thing.role.service.name}.{thing.role.name}"
        case RoleHandle():
            return f"the role {thing.service.name}.{thing.name}"
        case _:
            return str(getattr(thing, "__name__", None) or repr(thing))


def require_name(name: object, what: str) -> None:
    """Require a name that paths and units can have."""
    if not (isinstance(name, str) and re.fullmatch(NAME_PATTERN, name)):
        raise ContractError(f"{what}: invalid name {name!r} (use letters, digits, _ and -)")
