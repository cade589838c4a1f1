"""Where secret values are stored: encrypted with age in the project, or in the user's password store.

A store seals a value: it returns the bytes that the project keeps for it. They begin with a mark of the store, so a
project can have secrets of several stores while they move from one to another.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol, cast

from rolecall.errors import Where, fault
from rolecall.options import options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from rolecall.project import Project

_MARKS: Final = {b"age-encryption.org/": "age", b"pass:": "password_store"}
_MODULES: Final = {"age": "age", "pass": "password_store"}  # by the option


class SecretStore(Protocol):
    """A store of secret values. Every method raises Faults when it fails."""

    def recipients(self) -> Mapping[str, str]:
        """Return the public keys that can read what it seals, each with its owner's name."""

    def seal(self, place: str, value: bytes) -> bytes:
        """Store a value, and return what the project keeps for it.

        Args:
            place: A path for people to read, which no other value has.
            value: The value.
        """

    def open(self, sealed: bytes, file: Path) -> bytes:
        """Return the value of what `seal` returned; ``file`` is its place for faults."""

    def drop(self, sealed: Iterable[bytes]) -> None:
        """Delete the values of what the project no longer keeps."""


def chosen(project: Project) -> SecretStore:
    """Return the store for new secrets of the project.

    Raises:
        Faults: When its pyproject.toml does not name a store.
    """
    return _store(project, _MODULES[options(project).secrets])


def opener(project: Project) -> Callable[[bytes, Path], bytes]:
    """Return a function that opens what any store sealed; its second argument is the place for faults."""
    stores: dict[str, SecretStore] = {}

    def unseal(sealed: bytes, file: Path) -> bytes:
        name = _store_of(sealed)
        if not name:
            raise fault("not a secret that a known store sealed", where=Where(file))
        if name not in stores:
            stores[name] = _store(project, name)
        return stores[name].open(sealed, file)

    return unseal


def drop(project: Project, sealed: Iterable[bytes]) -> None:
    """Delete the values of what the project no longer keeps, each from its store."""
    by_store: dict[str, list[bytes]] = {}
    for each in sealed:
        by_store.setdefault(_store_of(each), []).append(each)
    for name, values in by_store.items():
        if name:
            _store(project, name).drop(values)


def kept_elsewhere(sealed: bytes) -> bool:
    """Return whether the value is outside of the project, so that it must be deleted on its own."""
    return _store_of(sealed) not in {"", "age"}


def _store_of(sealed: bytes) -> str:
    return next((name for mark, name in _MARKS.items() if sealed.startswith(mark)), "")


def _store(project: Project, name: str) -> SecretStore:
    """Return a store; only the stores that are used are imported."""
    return cast("SecretStore", import_module(f"{__name__}.{name}").Store(project))
