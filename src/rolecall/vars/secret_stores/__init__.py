"""Where secret values are kept: encrypted in the project with age, or in the person's password store.

What stands in the project for a secret is what its store gave for it when it was sealed, and says by its beginning
which store that was: so secrets of several stores can stand side by side while they move from one to the other.
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
    """One store. Everything raises Faults when it cannot be done."""

    def readers(self) -> Mapping[str, str]:
        """The public keys that can read what it seals, each with the name of who has it."""

    def seal(self, place: str, value: bytes) -> bytes:
        """Keeps a value; what stands in the project for it.

        Args:
            place: A path that no other value has, for people to read.
            value: The value.
        """

    def open(self, sealed: bytes, file: Path) -> bytes:
        """The value of what `seal` gave; ``file`` is where that stands, for faults."""

    def drop(self, sealed: Iterable[bytes]) -> None:
        """Lets go of values that nothing in the project stands for any more."""


def chosen(project: Project) -> SecretStore:
    """Where the project keeps new secrets.

    Raises:
        Faults: When its pyproject.toml says something else than a store.
    """
    return _store(project, _MODULES[options(project).secrets])


def opener(project: Project) -> Callable[[bytes, Path], bytes]:
    """A function that opens what any store has sealed; it takes the file's name for its faults."""
    stores: dict[str, SecretStore] = {}

    def unseal(sealed: bytes, file: Path) -> bytes:
        name = _kept_by(sealed)
        if not name:
            raise fault("this is no secret that any store has sealed", where=Where(file))
        if name not in stores:
            stores[name] = _store(project, name)
        return stores[name].open(sealed, file)

    return unseal


def drop(project: Project, sealed: Iterable[bytes]) -> None:
    """Lets go of values that nothing in the project stands for any more, each in its store."""
    by_store: dict[str, list[bytes]] = {}
    for each in sealed:
        by_store.setdefault(_kept_by(each), []).append(each)
    for name, those in by_store.items():
        if name:
            _store(project, name).drop(those)


def kept_elsewhere(sealed: bytes) -> bool:
    """Whether the value does not go with the file that stands for it."""
    return _kept_by(sealed) not in {"", "age"}


def _kept_by(sealed: bytes) -> str:
    return next((name for mark, name in _MARKS.items() if sealed.startswith(mark)), "")


def _store(project: Project, name: str) -> SecretStore:
    """A store; of each only what is used is imported."""
    return cast("SecretStore", import_module(f"{__name__}.{name}").Store(project))
