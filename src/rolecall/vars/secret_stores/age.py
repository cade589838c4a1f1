"""age files in the project, encrypted to all admins (https://age-encryption.org/v1), in age's binary form.

Whatever reads age can read them: ``age --decrypt --identity IDENTITY vars/per-machine/jon/backup.ssh/private/secret``.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import pyrage

from rolecall.errors import Where, fault
from rolecall.vars.keys import Person, admins, identities, identity_path, recipient

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from rolecall.project import Project
    from rolecall.vars.keys import Identity, Recipient


class Store:
    """Encrypts to the admins of a project, decrypts with one's own identity.

    Args:
        project: The project.
    """

    def __init__(self, project: Project) -> None:
        self._project = project

    def readers(self) -> Mapping[str, str]:
        """The admins' keys."""
        return {admin.public_key: admin.name for admin in admins(self._project)}

    def seal(self, place: str, value: bytes) -> bytes:
        """The age file of a value."""
        try:
            return pyrage.encrypt(value, self._recipients)
        except pyrage.EncryptError as error:
            raise fault(f"{place} cannot be encrypted: {error}", where=Where(self._project.keys)) from None

    def open(self, sealed: bytes, file: Path) -> bytes:
        """The value in an age file."""
        path, own = self._identities
        try:
            return pyrage.decrypt(sealed, own)
        except pyrage.DecryptError as error:
            raise fault(
                f"the identity {path} cannot read this secret ({error})",
                where=Where(file),
                hint="name the right one with ROLECALL_IDENTITY; `rolecall keys list` says whose keys count",
            ) from None

    def drop(self, sealed: Iterable[bytes]) -> None:
        """Nothing: the value goes with its file."""

    @cached_property
    def _recipients(self) -> list[Recipient | pyrage.plugin.RecipientPluginV1]:
        readers = admins(self._project)
        if not readers:
            raise fault(
                "no admin key, so secrets cannot be encrypted",
                where=Where(self._project.keys),
                hint="make yours with `rolecall keys create`",
            )
        return _together((admin.public_key, self._project.keys / f"{admin.name}.pub") for admin in readers)

    @cached_property
    def _identities(self) -> tuple[Path, list[Identity | pyrage.plugin.IdentityPluginV1]]:
        path = identity_path()
        if not path.exists():
            raise fault(
                "no identity to read secrets with",
                where=Where(path),
                hint="make one with `rolecall keys create`, or name yours with ROLECALL_IDENTITY",
            )
        plain: list[Identity | pyrage.plugin.IdentityPluginV1] = []
        by_plugin: dict[str, list[pyrage.plugin.Identity]] = {}
        for identity in identities(path):
            if isinstance(identity, pyrage.plugin.Identity):
                by_plugin.setdefault(identity.plugin(), []).append(identity)
            else:
                plain.append(identity)
        for name, own in by_plugin.items():
            try:
                plain.append(pyrage.plugin.IdentityPluginV1(name, own, Person()))
            except pyrage.DecryptError:
                raise _no_plugin(name, path) from None
        return path, plain


def encrypt_to(project: Project, public_keys: Sequence[str], value: bytes) -> bytes:
    """The age file of what is for others to read; for the admins of the project where no keys are named.

    Raises:
        Faults: When a key is unusable, or there is none.
    """
    if not public_keys:
        return Store(project).seal("this", value)
    try:
        return pyrage.encrypt(value, _together((key, None) for key in public_keys))
    except pyrage.EncryptError as error:
        raise fault(f"this cannot be encrypted: {error}") from None


def decrypt_file(project: Project, data: bytes, file: Path) -> bytes:
    """What an age file holds; what is none, as it is.

    Raises:
        Faults: When one's own identity cannot read it.
    """
    return Store(project).open(data, file) if data.startswith(b"age-encryption.org/") else data


def _together(keys: Iterable[tuple[str, Path | None]]) -> list[Recipient | pyrage.plugin.RecipientPluginV1]:
    """Public keys, each with the file that it is from, as pyrage takes them: those of one plugin together."""
    found: list[Recipient | pyrage.plugin.RecipientPluginV1] = []
    by_plugin: dict[str, list[pyrage.plugin.Recipient]] = {}
    for text, file in keys:
        key = recipient(text, Where(file) if file else None)
        if isinstance(key, pyrage.plugin.Recipient):
            by_plugin.setdefault(key.plugin(), []).append(key)
        else:
            found.append(key)
    for name, those in by_plugin.items():
        try:
            found.append(pyrage.plugin.RecipientPluginV1(name, those, [], Person()))
        except pyrage.EncryptError:
            raise _no_plugin(name, None) from None
    return found


def _no_plugin(name: str, where: Path | None) -> Exception:
    hint = "install it, or name another identity with ROLECALL_IDENTITY"
    return fault(
        f"a key needs age-plugin-{name}, which is not installed", where=Where(where) if where else None, hint=hint
    )
