"""Typed data that members publish for others: interfaces and exports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict


class Interface(BaseModel):
    """Base of what members publish for others: typed data, from declarations and public vars only.

    Interfaces are identified by their class, not by their name.
    """

    model_config = ConfigDict(allow_inf_nan=False, extra="forbid", frozen=True, strict=True)


InterfaceT = TypeVar("InterfaceT", bound=Interface)


@dataclass(frozen=True, slots=True)
class Exported(Generic[InterfaceT]):
    """Data that a member published. Whose it is follows from the step that ran: no member can publish for another.

    Attributes:
        value: The data.
        machine: The machine whose member published it.
        instance: The instance, or "" when the machine itself declares it in the inventory.
        role: The role, or "" likewise.
        service: The service's name, or "" likewise.
        reads: What the code that published it read of the world, each as a `rolecall.model.world.Read`.
    """

    value: InterfaceT
    machine: str
    instance: str = ""
    role: str = ""
    service: str = ""
    reads: frozenset[tuple[Any, ...]] = field(default=frozenset(), compare=False, repr=False)  # how, not what
