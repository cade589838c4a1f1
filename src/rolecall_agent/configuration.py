"""All resources of one machine in canonical order, with a digest that is the same on controller and machine."""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, dataclass, fields
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple, TypeVar, Union

from rolecall_agent.content import Blob, Secret
from rolecall_agent.resources import KINDS, File, Resource, class_of
from rolecall_agent.resources.checks import account, require, single_line, words

SCHEMA = 1
LEVELS = ("ok", "warning", "error")
"""The levels of what a service reports about itself."""


@dataclass(frozen=True)
class Check:
    """A command that shows whether a service works.

    Attributes:
        name: Its name in reports.
        argv: Program and arguments; exit status 0 means that the service works.
        peers: Whether it needs other machines. It must then succeed before the commit, else during the switch.
        timeout: Seconds after which it fails.
        retry: Seconds during which it is tried again if it fails; None for as long as units settle.
    """

    name: str
    argv: Tuple[str, ...]
    peers: bool = False
    timeout: int = 30
    retry: Optional[int] = None

    def __post_init__(self) -> None:
        single_line(self.name, "check")
        object.__setattr__(self, "argv", words(self.argv, f"check {self.name}"))
        require(self.argv, f"check {self.name}: empty command")
        seconds = type(self.timeout) is int and self.timeout > 0
        require(seconds, f"check {self.name}: timeout must be a whole number of seconds, at least 1")
        seconds = self.retry is None or (type(self.retry) is int and self.retry >= 0)
        require(seconds, f"check {self.name}: retry must be a whole number of seconds, at least 0")


@dataclass(frozen=True)
class Health:
    """A command with which a service reports about itself, as JSON: ``{"level": …, "text": …, "at": …}``.

    Attributes:
        name: Its name in reports.
        argv: Program and arguments.
        user: Who runs it.
        max_age: Seconds after ``at`` from which a report is an error; 0 for none.
        timeout: Seconds after which it fails.
    """

    name: str
    argv: Tuple[str, ...]
    user: str = "root"
    max_age: int = 0
    timeout: int = 30

    def __post_init__(self) -> None:
        single_line(self.name, "health")
        object.__setattr__(self, "argv", words(self.argv, f"health {self.name}"))
        require(self.argv, f"health {self.name}: empty command")
        account(self.user, f"health {self.name}: user")
        for name, least in (("max_age", 0), ("timeout", 1)):
            seconds = getattr(self, name)
            fits = type(seconds) is int and seconds >= least
            require(fits, f"health {self.name}: {name} must be a whole number of seconds, at least {least}")


Named = TypeVar("Named", Check, Health)


@dataclass(frozen=True)
class Configuration:
    """What one machine must have. Create it with `Configuration.of`.

    Attributes:
        machine: The machine's name.
        resources: Those needed early first, then by kind and key; no key twice.
        checks: Sorted by name.
        health: Sorted by name.
    """

    machine: str
    resources: Tuple[Resource, ...] = ()
    checks: Tuple[Check, ...] = ()
    health: Tuple[Health, ...] = ()

    @staticmethod
    def of(
        machine: str, resources: Iterable[Resource], checks: Iterable[Check] = (), health: Iterable[Health] = ()
    ) -> Configuration:
        """Return a configuration in canonical order."""
        ranks = {kind: rank for rank, kind in enumerate(KINDS)}
        ordered = sorted(resources, key=lambda item: (not item.needed_early, ranks[item.kind], item.key))
        return Configuration(machine, tuple(ordered), _by_name(checks), _by_name(health))

    @property
    def digest(self) -> str:
        """Lower-case hex SHA-256 of `encode`."""
        return hashlib.sha256(self.encode()).hexdigest()

    def encode(self) -> bytes:
        """Return canonical JSON: sorted keys, no spaces, blobs by digest only, secrets by name and version."""
        data = {
            "schema": SCHEMA,
            "machine": self.machine,
            "resources": [{"kind": resource.kind, **_set_values(resource)} for resource in self.resources],
            "checks": [_set_values(check) for check in self.checks],
            **({"health": [vars(each) for each in self.health]} if self.health else {}),  # else, no digest changes
        }
        return json.dumps(data, sort_keys=True, separators=(",", ":"), default=_encode).encode()

    def as_json(self) -> Dict[str, Any]:
        """Return it as JSON-compatible data."""
        data: Dict[str, Any] = json.loads(self.encode())
        return data

    @staticmethod
    def decode(text: bytes) -> Configuration:
        """Return an installed configuration, as `encode` of this or an earlier version encoded it.

        The rules of definitions do not apply: what an earlier version allowed must load, or nothing could change it.

        Raises:
            ValueError: When it has another schema, or a resource of an unknown kind.
        """
        return _decode_whole(json.loads(text), _as_installed)

    @staticmethod
    def decode_json(data: Dict[str, Any]) -> Configuration:
        """Return the configuration that a controller sent, as `as_json` returned it.

        Raises:
            ValueError: As `decode`; also when it breaks a rule of a definition.
        """
        return _decode_whole(data, _as_declared)

    @property
    def blobs(self) -> List[Blob]:
        """Every blob that it needs, with its data if known here."""
        return [part for resource in self.resources for part in resource.parts if isinstance(part, Blob)]

    @property
    def secrets(self) -> List[Secret]:
        """Every secret that it needs."""
        return [secret for resource in self.resources for secret in resource.secrets]


def _decode_whole(data: Dict[str, Any], make: Callable[[Any, Dict[str, Any]], Any]) -> Configuration:
    """Return a configuration whose resources and checks `make` builds from a class and the values of its fields."""
    if data["schema"] != SCHEMA:
        raise ValueError(f"unsupported schema {data['schema']} of the configuration: this agent supports {SCHEMA}")
    resources = []
    for item in data["resources"]:
        if item.get("kind") not in KINDS:
            raise ValueError(f"unknown kind of resource {item.get('kind')!r}")
        values = {name: _decode(value) for name, value in item.items() if name != "kind"}
        resources.append(make(class_of(item["kind"]), values))
    checks, health = (
        tuple(make(kind, {name: _decode(value) for name, value in item.items()}) for item in items)
        for kind, items in ((Check, data["checks"]), (Health, data.get("health", ())))
    )
    return Configuration(data["machine"], tuple(resources), checks, health)


def _by_name(items: Iterable[Named]) -> Tuple[Named, ...]:
    return tuple(sorted(items, key=lambda item: item.name))


def _as_declared(kind: Any, values: Dict[str, Any]) -> Any:  # noqa: ANN401 - any kind, or Check
    """Return a resource or check under the rules of definitions."""
    # Who can read a secret in a file is the concern of the author, whose controller has looked at it.
    return kind(**values, readable_by=None) if kind is File else kind(**values)


def _as_installed(kind: Any, values: Dict[str, Any]) -> Any:  # noqa: ANN401 - as above
    """Return a resource or check without the rules of `__post_init__`, which may be newer.

    A field that is missing has its default. One that is unknown here stays in the encoded text, and means nothing.
    """
    made = object.__new__(kind)
    defaults = {field.name: field.default_factory() for field in fields(kind) if field.default_factory is not MISSING}
    vars(made).update({**defaults, **values})  # other defaults are attributes of the class
    return made


def _set_values(item: Union[Resource, Check]) -> Dict[str, Any]:
    """Return the fields of a resource or check, without those that may be None and are: a new one changes no digest."""
    kind, values = type(item), vars(item)
    return {name: value for name, value in values.items() if not (value is None and getattr(kind, name, "") is None)}


def _encode(value: object) -> object:
    """Return JSON-compatible data for what `json` cannot encode."""
    if isinstance(value, Blob):
        return {"sha256": value.sha256}
    if isinstance(value, Secret):
        return {"secret": value.name, "file": value.file, "version": value.version}
    raise TypeError(f"a configuration cannot contain {type(value).__name__}")


def _decode(value: object) -> object:
    if isinstance(value, dict) and "sha256" in value:
        return Blob(value["sha256"])
    if isinstance(value, dict) and "secret" in value:
        return Secret(value["secret"], value["file"], value["version"])
    return tuple(_decode(item) for item in value) if isinstance(value, list) else value
