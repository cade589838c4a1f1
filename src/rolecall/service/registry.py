"""A registry of services: shipped ones, the project's own, and those of installed distributions."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic.errors import PydanticUndefinedAnnotation

from rolecall.errors import Fault, Faults, Where, fault, nearest, raised_at
from rolecall.model.names import NAME_PATTERN
from rolecall.service.contract import Service
from rolecall.service.declarations import ContractError
from rolecall.service.handles import Var
from rolecall.service.inputs import entry_points, installed, is_shipped, offering, refer
from rolecall.service.models import declared_at, mistakes
from rolecall.service.packages import OwnPackage, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from pydantic import BaseModel

OWN = "self"
_STRICT = "see 'What settings can be' in docs/reference/services.md: everything in settings must be checked"
_NAME_IT = (
    "write the name of the Python distribution that provides it; if it is Clan's own input, write `clan-core`, "
    "or leave `module.input` out"
)
_FOREIGN = re.compile(r"@([^/@]+)/([^/@]+)")  # `@me/svc`, as Clan's users name their own services


@dataclass(frozen=True, slots=True)
class Found:
    """A service with its origin.

    Attributes:
        service: The service.
        distribution: Name and version of its distribution, e.g. ``"rolecall 0.1.0"``; ``"self"`` for the project's own.
        source: The input, as an instance would name it.
    """

    service: Service
    distribution: str
    source: str | None


class Registry:
    """Loads the services that an inventory names, each once, and no others.

    Args:
        modules: The project's folder of own services; it may be missing.
        urls: The origins of inputs that the inventory declares.

    Attributes:
        stamp: Equal for two registries that find the same services.
    """

    def __init__(self, modules: Path, urls: Mapping[str, str] | None = None) -> None:
        self._modules = modules
        self._urls = urls or {}
        states = [(path, path.stat()) for path in sorted(modules.rglob("*.py"))]
        self.stamp = (modules, self._urls, [(path, state.st_mtime_ns, state.st_size) for path, state in states])
        self._found: dict[tuple[str | None, str], Found | Fault] = {}
        self._package: OwnPackage | None = None

    def find(self, source: str | None, name: str, where: Where | None = None) -> Found:
        """Return the service of a module.

        Args:
            source: The instance's ``module.input``.
            name: The module's name; `@me/svc` is the module `me-svc`.
            where: The instance's ``module`` table, for faults.

        Raises:
            Faults: When it does not exist, fails to load or breaks the contract.
        """
        written, foreign = name, _FOREIGN.fullmatch(name)
        if foreign:
            name = "-".join(foreign.groups())
        key = (source, name)
        if key not in self._found:
            try:
                self._found[key] = self._own(name) if source == OWN else self._installed(source, name)
            except Faults as error:
                (self._found[key],) = error.faults
        found = self._found[key]
        if isinstance(found, Fault):
            hint = found.hint
            if foreign and source == OWN:
                hint = f"{written!r} is the service {name!r} of modules/{name}.py here; {hint}"
            place = Where(where.file, (*where.keys, *found.where.keys)) if where and found.where else None
            raise fault(found.message, where=place, hint=hint)
        return found

    def origin(self, service: Service) -> str:
        """Return name and version of the distribution of a service that was found here."""
        every = (found for found in self._found.values() if isinstance(found, Found))
        return next(found.distribution for found in every if found.service is service)

    def names(self, source: str | None) -> list[str]:
        """Return the modules that an input offers, sorted; [] when it is not installed."""
        if source == OWN:
            return sorted(self._own_modules())
        brought_by = installed(refer(source, self._urls, self._modules.parent))
        return sorted(entry_points(brought_by)) if brought_by else []

    def inputs(self, named: Iterable[str | None] = ()) -> list[str | None]:
        """Return all inputs that offer services: the project's own, shipped ones, those named, and installed ones.

        Args:
            named: The ``module.input`` of instances.
        """
        chosen = [each for each in dict.fromkeys(named) if each != OWN and not is_shipped(each, self._urls)]
        known = [installed(refer(source, self._urls, self._modules.parent)) for source in chosen]
        names = {each.name for each in known if each}
        return [OWN, None, *chosen, *(each.name for each in offering() if each.name not in names)]

    def _installed(self, source: str | None, name: str) -> Found:
        wanted = refer(source, self._urls, self._modules.parent)
        brought_by = installed(wanted)
        if not brought_by:
            package = shlex.quote(wanted.requirement) if wanted.requirement else ""
            hint = f"add it to this project: `uv add {package}`" if package else _NAME_IT
            raise _module_fault(f"the input {source!r} is not installed", hint, "input")
        points = entry_points(brought_by)
        if name not in points:
            hint = nearest(name, points, what=f"modules of {brought_by.name}")
            raise _module_fault(f"{brought_by.name} has no module {name!r}", hint)
        label = f"{brought_by.name} {brought_by.version}"
        try:
            loaded = points[name].load()
        except (Exception, SystemExit) as error:
            raise _load_fault(name, f"{label} ({points[name].value})", error) from error
        return Found(verified(loaded, name, f"{label} ({points[name].value})"), label, source)

    def _own(self, name: str) -> Found:
        known = self._own_modules()
        if name not in known:
            hint = nearest(name, known, what=f"modules in {self._modules}")
            raise _module_fault(f"this project has no module {name!r}", hint)
        path, *others = (path for other, paths in known.items() if _alike(name, other) for path in paths)
        if others:
            raise _module_fault(f"two modules match {name!r}: {path} and {others[0]}", "remove or rename one of them")
        if self._package is None:
            self._package = OwnPackage(self._modules)
        try:
            module = self._package.load(name)
        except (Exception, SystemExit) as error:
            raise _load_fault(name, str(path), error) from error
        return Found(verified(getattr(module, "service", None), name, str(path)), OWN, OWN)

    def _own_modules(self) -> dict[str, list[Path]]:
        """Return the files of the project's own modules, by name."""
        found: dict[str, list[Path]] = {}
        for path in sorted(self._modules.iterdir()) if self._modules.is_dir() else ():
            file, name = (path / "__init__.py", path.name) if path.is_dir() else (path, path.stem)
            if file.suffix == ".py" and file.is_file() and re.fullmatch(NAME_PATTERN, name) and name != "__init__":
                found.setdefault(name, []).append(file)
        return found


def _alike(one: str, other: str) -> bool:
    """Return whether two names can be confused: by people, or by a file system that ignores case."""
    return one.lower().replace("-", "_") == other.lower().replace("-", "_")


def verified(loaded: object, name: str, label: str) -> Service:
    """Return the service of a module when it keeps the contract; its decorators have checked the rest.

    Raises:
        Faults: When it is not a service, has another name, or has models that cannot be read or are not strict.
    """
    what = f"the module {name!r} of {label}"
    if not isinstance(loaded, Service):
        raise _module_fault(
            f"{what} is not a service",
            "its module must define `service = Service(…)` (see docs/how-to/write-a-service.md)",
        )
    if loaded.name != name:
        raise _module_fault(f"{what} names its service {loaded.name!r}", "module and service must have the same name")
    for model in _models(loaded):
        try:
            model.model_rebuild()  # where annotations name what came later, or only for type checkers
        except PydanticUndefinedAnnotation as error:
            hint = "pydantic reads annotations when the program runs: import what they name, not for types alone"
            raise _module_fault(
                f"{what} breaks the contract: {declared_at(model)}: {model.__name__}: {error.message}", hint
            ) from None
        if found := mistakes(model):
            raise _module_fault(f"{what} breaks the contract: {'; '.join(found)}", _STRICT)
    return loaded


def _models(service: Service) -> Iterator[type[BaseModel]]:
    for role in service.roles.values():
        yield role.settings
        yield from (publisher.interface for publisher in role.publishers)
        needs = [need for var in role.vars.values() for need in var.needs]
        needs += [need for publisher in role.publishers for need in publisher.needs]
        yield from (need for need in needs if not isinstance(need, Var))


def _load_fault(name: str, label: str, error: BaseException) -> Faults:
    line = raised_at(error)
    contract = isinstance(error, ContractError)
    kind = "breaks the contract" if contract else "does not load"
    reason = shown(f"{error}" if contract else f"{type(error).__name__}: {error}")
    message = f"the module {name!r} of {label} {kind}: {f'{line}: ' if line else ''}{reason}"
    return _module_fault(message, "this is a fault of the module, not of the inventory")


def _module_fault(message: str, hint: str, key: str = "name") -> Faults:
    """Return a fault at a key of the instance's ``module`` table."""
    return fault(message, where=Where(keys=(key,)), hint=hint)
