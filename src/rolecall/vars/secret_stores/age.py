"""age files in the project, encrypted to all admins (https://age-encryption.org/v1), in age's binary form.

Any age can read them: ``age --decrypt --identity IDENTITY vars/per-machine/jon/backup.ssh/private/secret``.
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
    """Encrypts to the admins of a project, decrypts with the user's identity.

    Args:
        project: The project.
    """

    def __init__(self, project: Project) -> None:
        self._project = project

    def recipients(self) -> Mapping[str, str]:
        """Return the admins' keys."""
        return {admin.public_key: admin.name for admin in admins(self._project)}

    def seal(self, place: str, value: bytes) -> bytes:
        """Encrypt a value as an age file."""
        try:
            return pyrage.encrypt(value, self._recipients)
        except pyrage.EncryptError as error:
            raise fault(f"{place} cannot be encrypted: {error}", where=Where(self._project.keys)) from None

    def open(self, sealed: bytes, file: Path) -> bytes:
        """Decrypt an age file."""
        path, own = self._identities
        try:
            return pyrage.decrypt(sealed, own)
        except pyrage.DecryptError as error:
            raise fault(
                f"the identity {path} cannot read this secret ({error})",
                where=Where(file),
                hint="set ROLECALL_IDENTITY to the right one; `rolecall keys list` shows the admins",
            ) from None

    def drop(self, sealed: Iterable[bytes]) -> None:
        """Do nothing: the value is deleted with its file."""

    @cached_property
    def _recipients(self) -> list[Recipient | pyrage.plugin.RecipientPluginV1]:
        recipients = admins(self._project)
        if not recipients:
            raise fault(
                "no admin key, so secrets cannot be encrypted",
                where=Where(self._project.keys),
                hint="create yours: `rolecall keys create`",
            )
        return _together((admin.public_key, self._project.keys / f"{admin.name}.pub") for admin in recipients)

    @cached_property
    def _identities(self) -> tuple[Path, list[Identity | pyrage.plugin.IdentityPluginV1]]:
        path = identity_path()
        if not path.exists():
            raise fault(
                "no identity to decrypt secrets with",
                where=Where(path),
                hint="create one: `rolecall keys create`, or set ROLECALL_IDENTITY to yours",
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
    """Encrypt a value as an age file to public keys; to the admins of the project if none are given.

    Raises:
        Faults: When a key is invalid, or there is none.
    """
    if not public_keys:
        return Store(project).seal("the value", value)
    try:
        return pyrage.encrypt(value, _together((key, None) for key in public_keys))
    except pyrage.EncryptError as error:
        raise fault(f"the value cannot be encrypted: {error}") from None


def decrypt_file(project: Project, data: bytes, file: Path) -> bytes:
    """Decrypt an age file; return other data as it is.

    Raises:
        Faults: When the user's identity cannot read it.
    """
    return Store(project).open(data, file) if data.startswith(b"age-encryption.org/") else data


def _together(keys: Iterable[tuple[str, Path | None]]) -> list[Recipient | pyrage.plugin.RecipientPluginV1]:
    """Return public keys, each given with its file, in the form that pyrage takes: those of a plugin combined."""
    recipients: list[Recipient | pyrage.plugin.RecipientPluginV1] = []
    by_plugin: dict[str, list[pyrage.plugin.Recipient]] = {}
    for text, file in keys:
        key = recipient(text, Where(file) if file else None)
        if isinstance(key, pyrage.plugin.Recipient):
            by_plugin.setdefault(key.plugin(), []).append(key)
        else:
            recipients.append(key)
    for name, own in by_plugin.items():
        try:
            recipients.append(pyrage.plugin.RecipientPluginV1(name, own, [], Person()))
        except pyrage.EncryptError:
            raise _no_plugin(name, None) from None
    return recipients


def _no_plugin(name: str, where: Path | None) -> Exception:
    hint = "install it, or set ROLECALL_IDENTITY to another identity"
    return fault(
        f"a key needs age-plugin-{name}, which is not installed", where=Where(where) if where else None, hint=hint
    )
