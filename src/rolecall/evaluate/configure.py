"""Members, vars and exports → the configuration of each machine, with the origin of every resource."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from rolecall.errors import Fault, Faults, Where
from rolecall.evaluate.addresses import missing_addresses
from rolecall.evaluate.authors import calling, results
from rolecall.evaluate.differences import difference
from rolecall.model.world import NotMadeError
from rolecall.service.interfaces import Health, Network
from rolecall.service.member import member_of
from rolecall_agent.configuration import Check, Configuration
from rolecall_agent.configuration import Health as HealthCommand
from rolecall_agent.resources import Block, Directory, File, Resource, Symlink, Unit, User
from rolecall_agent.resources.live import Live

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rolecall.evaluate.membership import Membership
    from rolecall.evaluate.memory import Memory
    from rolecall.model.world import Read, View, World
    from rolecall.service.contract import Role, Service
    from rolecall.service.member import Member
    from rolecall_agent.configuration import Named

_HINT = "change the settings of one of the instances, or remove one of the roles from the machine"


@dataclass(frozen=True, slots=True)
class Configured:
    """One machine's configuration, with the origins of its resources.

    Attributes:
        configuration: What the machine must have.
        origins: By resource key: the ``INSTANCE.ROLE`` that declare it, sorted.
        incomplete: Those of which parts are missing, because vars that they read do not exist yet.
        addresses: By ``INSTANCE.ROLE``, or service: the other machines whose addresses it read.
        networks: The same for addresses in networks: each machine with the network.
        reads: By ``INSTANCE.ROLE``, or service: what its code read of the world, with the answers.
        members: By ``INSTANCE.ROLE``, or service: the members behind it, each by instance and role.
    """

    configuration: Configuration
    origins: Mapping[str, tuple[str, ...]]
    incomplete: tuple[str, ...] = ()
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    networks: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    reads: Mapping[str, Mapping[Read, object]] = field(default_factory=dict, compare=False)  # how, not what
    members: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)


def configure(membership: Membership, world: World, machines: Iterable[str], memory: Memory) -> dict[str, Configured]:
    """Return the configurations of some machines, in the order given.

    Raises:
        Faults: Conflicting definitions, failures of service code and missing addresses, for all machines together.
    """
    calls = _calls_by_machine(membership)
    faults: list[Fault] = []
    readers: list[tuple[str, Iterable[str]]] = []
    configured = {}
    for machine in machines:
        parts = []
        for call in calls.get(machine, ()):
            try:
                parts.append(memory.call(world, call[:4], call.readable, partial(_part, call)))
            except Faults as error:
                faults += error.faults
        readers += [(f"{part.origin} on {machine}", part.addresses) for part in parts]
        try:
            configured[machine] = memory.call(world, machine, parts, partial(_joined, machine, parts))
        except Faults as error:
            faults += error.faults
    if faults := [*faults, *missing_addresses(world.hosts, readers)]:
        raise Faults(faults)
    return configured


class _Call(NamedTuple):
    """One membership of a machine; or, with role "", all its members of one service together."""

    machine: str
    service: Service
    instance: str
    role: str
    readable: object  # settings that the code can read: those of the members' instances
    members: tuple[tuple[str, str], ...]  # each by instance and role

    @property
    def origin(self) -> str:
        """The role, or the service, whose code it is; for origins of resources."""
        return f"{self.instance}.{self.role}" if self.role else self.service.name

    @property
    def who(self) -> str:
        """The same, with the members behind it, for messages."""
        members = " and ".join(f"{instance}.{role}" for instance, role in self.members)
        return self.origin if self.role else f"{self.origin} (for {members})"


class _Part(NamedTuple):
    """The resources, checks and reports of one call; incomplete where its code reads a var that does not exist yet.

    It also names the other machines whose addresses the code read, and those whose addresses in networks it read.
    """

    origin: str
    who: str
    instance: str
    resources: list[Resource]
    checks: list[Check]
    health: list[HealthCommand]
    whole: bool = True
    addresses: tuple[str, ...] = ()
    networks: tuple[tuple[str, str], ...] = ()
    reads: Mapping[Read, object] = {}
    members: tuple[tuple[str, str], ...] = ()


def _calls_by_machine(membership: Membership) -> dict[str, list[_Call]]:
    calls: dict[str, list[_Call]] = {}
    together: dict[tuple[str, Service], list[tuple[str, str]]] = {}
    for instance, service in membership.services.items():
        members_by_role = membership.role_members[instance]
        for role in service.roles:
            for machine in members_by_role[role].settings:
                call = _Call(machine, service, instance, role, members_by_role, ((instance, role),))
                calls.setdefault(machine, []).append(call)
                if service.machine_configurers:
                    together.setdefault((machine, service), []).append((instance, role))
    for (machine, service), members in together.items():
        readable = [(role, membership.role_members[instance]) for instance, role in members]
        calls[machine].append(_Call(machine, service, members[0][0], "", readable, tuple(members)))
    return calls


def _part(call: _Call, view: View) -> _Part:
    """Run the service's code of a call and return what it yields."""
    part = _Part(call.origin, call.who, call.instance, [], [], [])
    try:
        with calling(call.service, f"{call.origin} on {call.machine}", call.instance):
            members = [member_of(view, instance, role, call.machine) for instance, role in call.members]
            _fill(part, call, members, view)
    except NotMadeError:
        part = part._replace(whole=False)
    networks = (read[2:4] for read in view.reads if read[:2] == ("published", Network) and None not in read[2:4])
    return part._replace(
        addresses=tuple(peer for peer in view.addresses if peer != call.machine),
        networks=tuple((peer, network) for peer, network in networks if peer != call.machine),
        reads=view.reads,
        members=call.members,
    )


def _fill(part: _Part, call: _Call, members: list[Member[Any]], view: View) -> None:
    """Fill a part one by one: what is yielded before a var that does not exist yet counts."""
    if not call.role:
        for function in call.service.machine_configurers:
            for resource in results(function, tuple(members), Resource):
                part.resources.append(resource)
        return
    role, member = call.service.roles[call.role], members[0]
    for function in role.configurers:
        for resource in results(function, member, Resource):
            part.resources.append(resource)
    for resource in _delivered(role, member):
        part.resources.append(resource)
    for checker in role.checkers:
        for check in results(checker.function, member, Check):
            part.checks.append(replace(check, peers=True) if checker.peers else check)
    for export in view.published(Health, call.machine, call.instance, call.role, None):
        part.health.append(_command_of(export.value))


def _command_of(health: Health) -> HealthCommand:
    """Return what a member reports about itself as its machine runs it."""
    values = health.model_dump()
    return HealthCommand(argv=values.pop("command"), **values)


def _joined(machine: str, parts: Sequence[_Part], _view: View) -> Configured:
    return _Draft(machine).add(parts)


def _delivered(role: Role[Any], member: Member[Any]) -> Iterator[File]:
    """Yield the files that the role's vars deliver."""
    for var in role.vars.values():
        if var.deliver:
            files = member.files(var)
            for name, delivery in var.deliver.items():
                yield File(member.var_path(var, name), files[name], **asdict(delivery))


class _Draft:
    """One machine's resources while they are being collected."""

    def __init__(self, machine: str) -> None:
        self.machine = machine
        self.faults: list[Fault] = []
        self.resources: dict[str, Resource] = {}
        self.origins: dict[str, set[str]] = {}
        self.who: dict[str, str] = {}  # by origin, in words
        self.instances: dict[str, str] = {}  # the first that asks for each resource
        self.checks: dict[str, Check] = {}
        self.health: dict[str, HealthCommand] = {}

    def add(self, parts: Sequence[_Part]) -> Configured:
        """Join all parts to one configuration, in canonical order.

        Raises:
            Faults: When definitions conflict.
        """
        for part in parts:
            self.who[part.origin] = part.who
            for resource in part.resources:
                self._put(resource, part.origin, part.instance)
            self._name(part.checks, self.checks, part, "checks")
            self._name(part.health, self.health, part, "reports")
        self._check_paths()
        if self.faults:
            raise Faults(self.faults)
        commands = (self.checks.values(), self.health.values())
        configuration = Configuration.of(self.machine, self.resources.values(), *commands)
        origins = {key: tuple(sorted(names)) for key, names in self.origins.items()}
        incomplete = tuple(part.origin for part in parts if not part.whole)
        addresses = {part.origin: part.addresses for part in parts if part.addresses}
        networks = {part.origin: part.networks for part in parts if part.networks}
        reads = {part.origin: part.reads for part in parts}
        members = {part.origin: part.members for part in parts}
        return Configured(configuration, origins, incomplete, addresses, networks, reads, members)

    def _name(self, commands: Iterable[Named], named: dict[str, Named], part: _Part, kind: str) -> None:
        """Collect the checks or reports of a part by name; the names of a role's are its own."""
        for command in commands:
            one = replace(command, name=f"{part.origin}: {command.name}")
            if (present := named.setdefault(one.name, one)) != one:
                what = f"{part.origin} yields two {kind} named {command.name!r} on {self.machine}"
                self._fault(f"{what}: {difference(present, one)}", part.instance, "give each its own name")

    def _put(self, resource: Resource, origin: str, instance: str) -> None:
        present = self.resources.get(resource.key)
        merged = resource if present is None else _united(present, resource)
        if present is not None and merged is None:
            origins = sorted(self.origins[resource.key] - {origin})
            if origins:
                names = " and ".join(self.who[each] for each in [*origins, origin])
                who = f"conflicting definitions of {resource.key} on {self.machine} from {names}"
                hint = _HINT
            else:
                who = f"two conflicting definitions of {resource.key} on {self.machine} from {self.who[origin]}"
                hint = (
                    "give each machine a key, a name and settings of its own; if they have these, "
                    "it is a fault of the service"
                )
            if isinstance(resource, File) and any(part.path == resource.path for part in resource.secrets):
                hint = (
                    "the path of a secret is the same for all members: a service that installs those of several "
                    "must put each into a file of its own, `File(me.path(peer.machine), secret)`"
                )
            self._fault(f"{who}: {difference(present, resource)}", instance, hint)
            return
        self.resources[resource.key] = merged or resource
        self.origins.setdefault(resource.key, set()).add(origin)
        self.instances.setdefault(resource.key, instance)

    def _fault(self, message: str, instance: str, hint: str) -> None:
        self.faults.append(Fault(message, Where(keys=("instances", instance)), hint))

    def _check_paths(self) -> None:
        """Check that each path belongs to one resource, and that no file stands where another needs a directory."""
        placed = [
            (resource.file.path if isinstance(resource, Live) else resource.path, resource)
            for resource in self.resources.values()
            if isinstance(resource, (Directory, File, Live, Symlink))
            or (isinstance(resource, Unit) and resource.has_file)
        ]
        taken: dict[str, str] = {}
        for path, resource in placed:
            if taken.setdefault(path, resource.key) != resource.key:
                self._clash(taken[path], resource, "and {} on {} have the same path")
        for block in (resource for resource in self.resources.values() if isinstance(resource, Block)):
            if block.path in taken:
                self._clash(taken[block.path], block, "and {} on {} have the same path")
        files = {path for path, resource in placed if not isinstance(resource, Directory)}
        folders: set[str] = set()
        for path, resource in placed:
            folder = path.rpartition("/")[0]
            while folder and folder not in folders:
                folders.add(folder)
                if folder in files:
                    self._clash(taken[folder], resource, "is where {} on {} needs a directory")
                folder = folder.rpartition("/")[0]

    def _clash(self, key: str, other: Resource, what: str) -> None:
        names = (" and ".join(self.who[origin] for origin in sorted(self.origins[each])) for each in (key, other.key))
        one, another = (f"{each} of {name}" for each, name in zip((key, other.key), names, strict=True))
        alone = self.origins[key] | self.origins[other.key]
        hint = _HINT if len(alone) > 1 else "this is a fault of the service, not of the inventory"
        self._fault(f"{one} {what.format(another, self.machine)}", self.instances[other.key], hint)


def _united(one: Resource, other: Resource) -> Resource | None:
    """Return one resource that satisfies both definitions, or None when they conflict."""
    if one == other:
        return one
    if isinstance(one, User) and isinstance(other, User):
        groups = tuple({*one.groups, *other.groups})
        return replace(one, groups=groups) if replace(other, groups=one.groups) == one else None
    return None
