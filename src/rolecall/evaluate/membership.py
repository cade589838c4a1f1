"""The members of every instance, with their final settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolecall.errors import Fault
    from rolecall.service.contract import Service


@dataclass(frozen=True, slots=True)
class RoleMembers:
    """All members of one role of one instance.

    Attributes:
        settings: Validated settings by machine, sorted; members with the same layers share one object.
        via: The entry that makes each machine a member: its key path below the role, ``("machines", M)`` or
            ``("tags", T)``.
    """

    settings: Mapping[str, Any]
    via: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Membership:
    """The members of every instance.

    Attributes:
        services: The service of every instance.
        role_members: By instance, then role, in the order of the service's roles.
        warnings: Problems that stop nothing.
        unfit: Faults of limits, such as a role with too many machines: `show` tolerates them, a plan does not.
        data_names: The names under which instances keep data, where these are not their own.
    """

    services: Mapping[str, Service]
    role_members: Mapping[str, Mapping[str, RoleMembers]]
    warnings: tuple[Fault, ...] = ()
    unfit: tuple[Fault, ...] = ()
    data_names: Mapping[str, str] = field(default_factory=dict)
