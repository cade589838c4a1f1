"""Finds the service that an instance names: shipped, the project's own, or of an installed distribution."""

from __future__ import annotations

import importlib.util
import re
import sys
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, distribution
from typing import TYPE_CHECKING

from rolecall.errors import Fault, Faults, Where, nearest, raised_at
from rolecall.model.inventory import NAME_PATTERN
from rolecall.service.contract import Service

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

GROUP = "rolecall.services"
_DISTRIBUTION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")  # PyPA's specification of names
SHIPPED = (None, "rolecall", "clan-core")  # the documents name Clan's own input; ours takes its place


@dataclass(frozen=True, slots=True)
class Found:
    """A service with its origin.

    Attributes:
        service: The service.
        distribution: Name and version of what brought it, e.g. ``"rolecall 0.1.0"``; ``"self"`` for the project's own.
    """

    service: Service
    distribution: str


class Registry:
    """Loads the services that an inventory names, each once, and no others.

    Args:
        modules: The project's folder of own services.
        urls: What the inventory says of where its inputs come from, for hints.

    Attributes:
        stamp: Equal for two registries that find the same services.
    """

    def __init__(self, modules: Path, urls: Mapping[str, str] | None = None) -> None:
        self._modules = modules
        self._urls = urls or {}
        states = [(path, path.stat()) for path in sorted(modules.rglob("*.py"))]
        self.stamp = (modules, self._urls, [(path, state.st_mtime_ns, state.st_size) for path, state in states])
        self._found: dict[tuple[str | None, str], Found] = {}

    def find(self, source: str | None, name: str, where: Where) -> Found:
        """The service of a module.

        Args:
            source: The instance's ``module.input``.
            name: The module's name.
            where: The instance's ``module`` table, for faults.

        Raises:
            Faults: When it does not exist, fails to load or is no service.
        """
        key = (source, name)
        if key not in self._found:
            self._found[key] = self._own(name, where) if source == "self" else self._installed(source, name, where)
        return self._found[key]

    def origin(self, service: Service) -> str:
        """Name and version of what brought a service that was found here."""
        return next(found.distribution for found in self._found.values() if found.service is service)

    def names(self, source: str | None) -> list[str]:
        """The modules that an input offers, sorted; [] when it is not installed."""
        if source == "self":
            paths = self._modules.iterdir() if self._modules.is_dir() else ()
            return sorted(path.stem for path in paths if _is_module(path))
        try:
            return sorted(_entry_points(distribution("rolecall" if source in SHIPPED else str(source))))
        except PackageNotFoundError:
            return []

    def _installed(self, source: str | None, name: str, where: Where) -> Found:
        wanted = "rolecall" if source in SHIPPED else str(source)
        url = self._urls.get(wanted)
        if url and _DISTRIBUTION.fullmatch(url):  # an alias under `inputs`
            wanted, url = url, None
        try:
            brought_by = distribution(wanted)
        except (PackageNotFoundError, ValueError):
            package = _requirement(wanted, url)
            hint = f"add it to this project: `uv add {package}`" if package else "it must be a name of a distribution"
            raise _fault(f"the input {wanted!r} is not installed", where, "input", hint) from None
        entry_points = _entry_points(brought_by)
        if name not in entry_points:
            hint = nearest(name, entry_points, what=f"modules of {wanted}")
            raise _fault(f"{wanted} has no module {name!r}", where, "name", hint)
        label = f"{brought_by.name} {brought_by.version}"
        try:
            loaded = entry_points[name].load()
        except (Exception, SystemExit) as error:
            raise _broken(name, label, error, where) from error
        return Found(_checked(loaded, name, label, where), label)

    def _own(self, name: str, where: Where) -> Found:
        candidates = (self._modules / f"{name}.py", self._modules / name / "__init__.py")
        named = re.fullmatch(NAME_PATTERN, name)  # nothing outside of the folder
        path = next((path for path in candidates if named and path.is_file()), None)
        if path is None:
            hint = nearest(name, self.names("self"), what=f"modules in {self._modules}")
            raise _fault(f"this project has no module {name!r}", where, "name", hint)
        spec = importlib.util.spec_from_file_location(f"rolecall_project.{name}", path)
        assert spec  # noqa: S101 - a .py file always has one
        assert spec.loader  # noqa: S101 - as above
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        # Byte code is told from its source by second and size: a quick edit would run what stood there before.
        kept, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            raise _broken(name, str(path), error, where) from error
        finally:
            sys.dont_write_bytecode = kept
        return Found(_checked(getattr(module, "service", None), name, str(path), where), "self")


def _is_module(path: Path) -> bool:
    return (path.suffix == ".py" and path.stem.isidentifier()) or (path / "__init__.py").is_file()


def _entry_points(source: Distribution) -> dict[str, EntryPoint]:
    return {point.name: point for point in source.entry_points if point.group == GROUP}


def _requirement(name: str, url: str | None) -> str:
    """What ``uv add`` takes; flake references are those of nix3-flake(1)."""
    scheme, _, rest = (url or "").partition(":")
    if scheme in {"github", "gitlab"} and rest.count("/") >= 1:
        owner, repository, *revision = rest.split("?")[0].split("/")
        suffix = f"@{'/'.join(revision)}" if revision else ""
        return f"git+https://{scheme}.com/{owner}/{repository}{suffix}"
    if scheme.startswith("git+"):
        return str(url)
    return name if _DISTRIBUTION.fullmatch(name) else ""


def _checked(loaded: object, name: str, label: str, where: Where) -> Service:
    if not isinstance(loaded, Service):
        hint = "its module must define `service = Service(…)` (see docs/services.md)"
        raise _fault(f"the module {name!r} of {label} is no service", where, "name", hint)
    return loaded


def _broken(name: str, label: str, error: BaseException, where: Where) -> Faults:
    line = raised_at(error)
    message = (
        f"the module {name!r} of {label} does not load: {f'{line}: ' if line else ''}{type(error).__name__}: {error}"
    )
    return _fault(message, where, "name", "this is a fault of the module, not of the inventory")


def _fault(message: str, where: Where, key: str, hint: str) -> Faults:
    return Faults([Fault(message, Where(where.file, (*where.keys, key)), hint)])
