"""Explanations of members: why a machine plays a role, and where each setting's value comes from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

from rolecall.errors import Where, dotted, fault, nearest
from rolecall.evaluate.kinds import kind_of
from rolecall.evaluate.layers import layers_of, tags_of
from rolecall.evaluate.merge import DEFAULT_ORDER, DEFAULT_PRIORITY, merge
from rolecall.model.inventory import Selection
from rolecall.service.settings import SHOWN, Merging, SecretRef

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from rolecall.evaluate.kinds import Kind
    from rolecall.evaluate.layers import Layer
    from rolecall.evaluate.membership import Membership
    from rolecall.evaluate.merge import Keys, Record, Resolution, Statement
    from rolecall.model.inventory import Loaded

    Locate = Callable[[Where], Where]

HIDDEN = "(hidden)"  # in place of what may be a secret


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a machine plays a role or has a tag.

    Attributes:
        by: Of a role, ``machine`` (the role names it) or ``tag`` (the role names a tag of it); of a tag, ``own`` (the
            machine lists it), ``list`` (the tag lists the machine), ``selection`` (its other tags match) or
            ``computed``.
        name: The machine or tag that a role names, else "".
        where: Where that stands.
    """

    by: str
    name: str
    where: Where


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """How other machines reach a machine.

    Attributes:
        value: The address.
        problem: Why they cannot be given it, or "".
        where: What says it.
    """

    value: str
    problem: str
    where: Where


@dataclass(frozen=True, slots=True)
class LayerValue:
    """The value that one place gives to a setting.

    Attributes:
        layer: ``default`` (of the service), ``role``, ``tag`` or ``machine``.
        name: The tag or machine, else "".
        value: The value, unwrapped; a secret as its reference.
        result: ``wins``; ``joined`` with others; ``loses`` to a more specific layer or a priority; ``hidden`` by
            another file of the inventory that sets the same layer again.
        priority: Its priority, unless it is the default.
        order: Likewise.
        where: Where it stands; None for a default.
    """

    layer: str
    name: str
    value: Any
    result: str
    priority: int | None = None
    order: int | None = None
    where: Where | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a member, or a table that another layer replaced.

    Attributes:
        keys: Key path in the settings; () for all of them.
        value: The final value.
        values: What each layer gives, from general to specific.
    """

    keys: Keys
    value: Any
    values: tuple[LayerValue, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a machine, an instance's roles, or a member are as they are.

    Attributes:
        subject: Its key path: ``("machines", M)``, or an instance, its role, a member, and a path in its settings.
        tags: Of a machine: each of its tags, and why it has it.
        roles: By ``INSTANCE.ROLE``, then machine: why it plays the role.
        settings: Of a member, in the order of the service's model.
        address: Of a machine.
    """

    subject: Keys
    tags: Mapping[str, tuple[Reason, ...]]
    roles: Mapping[str, Mapping[str, tuple[Reason, ...]]]
    settings: tuple[Setting, ...] = ()
    address: PeerAddress | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the documented form under ``--json`` (docs/reference/json.md)."""
        return {
            "subject": list(self.subject),
            "address": _json(self.address) if self.address else None,
            "tags": {tag: [_json(reason) for reason in reasons] for tag, reasons in self.tags.items()},
            "roles": {
                role: {machine: [_json(reason) for reason in reasons] for machine, reasons in members.items()}
                for role, members in self.roles.items()
            },
            "settings": [
                {
                    "path": list(setting.keys),
                    "value": setting.value,
                    "layers": [_json(value) for value in setting.values],
                }
                for setting in self.settings
            ],
        }


def _json(entry: Reason | LayerValue | PeerAddress) -> dict[str, Any]:
    where = entry.where or Where()
    place = {
        "file": str(where.file) if where.file else None,
        "line": where.line or None,
        "column": where.column or None,
        "path": list(where.keys),
    }
    return {key: value for key, value in asdict(entry).items() if key != "where"} | place


def explanation(loaded: Loaded, membership: Membership, subject: Keys, locate: Locate) -> Explanation:
    """Explain a machine, the roles of an instance, or a member's settings.

    Args:
        loaded: The inventory.
        membership: The members that it resolves to.
        subject: As in `Explanation`.
        locate: Adds file, line and column to a place.

    Raises:
        Faults: When the subject does not exist.
    """
    instance, *rest = subject or ("",)
    if (
        instance == "machines"
        and len(rest) == 1
        and (rest[0] in loaded.inventory.machines or instance not in membership.role_members)
    ):
        return _machine(loaded, membership, _one_of(rest[0], loaded.inventory.machines, "machine", "machines"), locate)
    name = _one_of(instance, membership.role_members, "instance", "instances")
    members_by_role = membership.role_members[name]
    if not rest:
        roles = {f"{name}.{role}": _members(loaded, membership, name, role, locate) for role in members_by_role}
        return Explanation(subject, {}, roles)
    role = _one_of(rest[0], members_by_role, f"role of {name}", f"roles of {name}")
    members = _members(loaded, membership, name, role, locate)
    if not rest[1:]:
        return Explanation(subject, {}, {f"{name}.{role}": members})
    machine = _one_of(rest[1], members_by_role[role].settings, f"member of {name}.{role}", "members")
    settings = _Settings(loaded, membership, (name, role, machine), locate).explain(tuple(rest[2:]))
    return Explanation(subject, {}, {f"{name}.{role}": {machine: members[machine]}}, tuple(settings))


def _one_of(key: str | int, known: Iterable[str], what: str, plural: str) -> str:
    """Return the key if it is a known name.

    Raises:
        Faults: When it is not.
    """
    name = str(key)
    if name not in known:
        raise fault(f"no {what} named {name!r}", hint=nearest(name, known, what=plural))
    return name


def _members(
    loaded: Loaded, membership: Membership, instance: str, role: str, locate: Locate
) -> Mapping[str, tuple[Reason, ...]]:
    """Return every member of a role with the entries that make it one: its own first, then tags by name."""
    reasons: dict[str, list[Reason]] = {machine: [] for machine in membership.role_members[instance][role].settings}
    declared = loaded.inventory.instances[instance].roles.get(role)
    at = ("instances", instance, "roles", role)
    for machine in declared.machines if declared else ():
        reasons[machine].append(Reason("machine", machine, locate(Where(keys=(*at, "machines", machine)))))
    for tag in sorted(declared.tags) if declared else ():
        reason = Reason("tag", tag, locate(Where(keys=(*at, "tags", tag))))
        for machine in loaded.tags.get(tag, ()):
            reasons[machine].append(reason)
    return {machine: tuple(found) for machine, found in reasons.items()}


def _machine(loaded: Loaded, membership: Membership, machine: str, locate: Locate) -> Explanation:
    roles = {
        f"{instance}.{role}": {machine: _members(loaded, membership, instance, role, locate)[machine]}
        for instance, members_by_role in membership.role_members.items()
        for role, members in members_by_role.items()
        if machine in members.settings
    }
    tags = {
        tag: tuple(Reason(by, "", locate(Where(keys=keys))) for by, keys in _tagged(loaded, machine, tag))
        for tag in tags_of(loaded, machine)
    }
    return Explanation(("machines", machine), tags, roles)


def _tagged(loaded: Loaded, machine: str, tag: str) -> Iterator[tuple[str, Keys]]:
    """Yield why a machine has a tag, each reason with its key path."""
    declared = loaded.inventory.machines[machine]
    tagged = loaded.inventory.tags.get(tag, [])
    if tag in declared.tags:
        yield "own", ("machines", machine, "tags", declared.tags.index(tag))
    if isinstance(tagged, Selection):
        if machine in tagged.machines:
            yield "list", ("tags", tag, "machines", tagged.machines.index(machine))
        elif tag not in declared.tags:
            yield "selection", ("tags", tag)
    elif machine in tagged:
        yield "list", ("tags", tag, tagged.index(machine))
    elif tag not in declared.tags:
        of_class = tag == declared.machine_class
        yield "computed", ("machines", machine, "machineClass") if of_class else ("machines", machine)


class _Settings:
    """The settings of one member, merged again to record where each value comes from."""

    def __init__(self, loaded: Loaded, membership: Membership, member: tuple[str, str, str], locate: Locate) -> None:
        instance, role, machine = member
        declared = loaded.inventory.instances[instance].roles[role]
        self.loaded = loaded
        self.locate = locate
        self.at: Keys = ("instances", instance, "roles", role)
        self.name = dotted(member)
        self.kind = kind_of(membership.services[instance].roles[role])
        self.final = (
            membership.role_members[instance][role]
            .settings[machine]
            .model_dump(mode="json", by_alias=True, context=SHOWN)
        )
        self.record: Record = {}
        merge(layers_of(declared, machine, tags_of(loaded, machine)), [], self.kind, self.record)

    def explain(self, wanted: Keys) -> Iterator[Setting]:
        """Yield the settings at and below a key path, and the tables around it that another layer replaced.

        Raises:
            Faults: When the settings have nothing there.
        """
        value: Any = self.final
        for depth, key in enumerate(wanted):
            if self._dropped(wanted[:depth]):
                yield self._setting(wanted[:depth], value)
            inside = value if isinstance(value, dict) else dict(enumerate(value)) if isinstance(value, list) else {}
            if key not in inside:
                hint = nearest(str(key), map(str, inside), what="settings")
                raise fault(f"{self.name} has no setting {dotted(wanted[: depth + 1])!r}", hint=hint)
            value = inside[key]
        yield from self._below(wanted, value)

    def _below(self, path: Keys, value: Any) -> Iterator[Setting]:  # noqa: ANN401 - any data
        if isinstance(value, dict) and value and SecretRef not in self.kind.at(path).options:
            if self._dropped(path):
                yield self._setting(path, value)
            for key, item in value.items():
                yield from self._below((*path, key), item)
        else:
            yield self._setting(path, value)

    def _dropped(self, path: Keys) -> bool:
        resolution = self.record.get(path)
        return resolution is not None and len(resolution.kept) < len(resolution.stated)

    def _setting(self, path: Keys, value: Any) -> Setting:  # noqa: ANN401 - as above
        resolution = self.record.get(path)
        if not resolution:
            return Setting(path, value, (LayerValue("default", "", value, "wins"),))
        values = [
            self._layer_value(path, statement, _result(statement, resolution, self.kind.at(path)))
            for statement in resolution.stated
        ]
        return Setting(path, value, (*self._default(path, "loses" if resolution.kept else "wins"), *values))

    def _default(self, path: Keys, result: str) -> Iterator[LayerValue]:
        """Yield the default of the service's model, if it has one."""
        field = self.kind.at(path[:-1]).fields.get(str(path[-1])) if path else None
        if field and not field.is_required() and field.default_factory is None:
            default = field.default
            yield LayerValue(
                "default", "", default.as_data() if isinstance(default, SecretRef) else _plain(default), result
            )

    def _layer_value(self, path: Keys, statement: Statement, result: str) -> LayerValue:
        layer, keys, value, priority, order, _ = statement
        return LayerValue(
            *_who(layer),
            _masked(value, self.kind.at(path)),
            result,
            priority if priority != DEFAULT_PRIORITY else None,
            order if order != DEFAULT_ORDER else None,
            self.locate(Where(layer.file, (*self.at, *layer.at, *keys))),
        )


def _who(layer: Layer) -> tuple[str, str]:
    words = {"settings": "role", "tags": "tag", "machines": "machine"}
    return words[layer.at[0]], layer.at[1] if len(layer.at) > 1 else ""


def _hides(one: Statement, other: Statement) -> bool:
    """Return whether a more specific file sets the same place again."""
    again = one.layer.at == other.layer.at and one.layer.part > other.layer.part and one.priority <= other.priority
    return again and not (isinstance(one.value, dict) and isinstance(other.value, dict))


def _result(statement: Statement, resolution: Resolution, kind: Kind) -> str:
    if not any(statement is kept for kept in resolution.kept):
        return "hidden" if any(_hides(each, statement) for each in resolution.stated) else "loses"
    joined = isinstance(statement.value, dict | list) or kind.merging is Merging.LINES
    return "joined" if len(resolution.kept) > 1 and joined else "wins"


def _masked(value: Any, kind: Kind) -> Any:  # noqa: ANN401 - any data
    """Return the value with anything hidden that stands in place of a reference to a secret."""
    if SecretRef in kind.options:
        return value if value is None or SecretRef.read(value) else HIDDEN
    if isinstance(value, dict):
        return {key: _masked(item, kind.below(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, kind.below(0)) for item in value]
    return value


def _plain(value: object) -> Any:  # noqa: ANN401 - any data
    return to_jsonable_python(value, by_alias=True, fallback=str)
