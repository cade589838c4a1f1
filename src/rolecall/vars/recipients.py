"""Who can read which secret, without decrypting any.

The public keys that a secret is encrypted to are listed in a file beside it, since age files do not name them: their
X25519 stanzas are anonymous.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rolecall.errors import Fault, Faults, Where
from rolecall.vars import in_place, layout, soundness, store
from rolecall.vars.secret_stores import chosen, drop, opener

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from rolecall.model.vars import VarKey
    from rolecall.project import Project


@dataclass(frozen=True, slots=True, order=True)
class Sealed:
    """One secret as it stands in the project.

    Attributes:
        key: Its var.
        file: The name of its file in the var.
        base: The folder of all pending or all stored vars, whichever it is in.
        folder: Its own folder.
        recipients: The public keys that can read it; None if they are not listed.
        formerly: The public keys that could read it before, whose owners may have a copy.
        machines: The machines that it was sent to.
    """

    key: VarKey
    file: str
    base: Path
    folder: str
    recipients: frozenset[str] | None
    formerly: frozenset[str] = frozenset()
    machines: frozenset[str] = frozenset()

    def __str__(self) -> str:
        """Return the name that `rolecall vars list` prints."""
        return f"{self.key}/{self.file}"


def sealed(project: Project) -> list[Sealed]:
    """Return all secrets, pending ones included."""
    return [
        Sealed(key, file, base, folder, layout.recipients(folder), *_known(folder))
        for base in (project.pending, project.vars)
        for key, file, folder in layout.secrets(base)
    ]


def with_wrong_recipients(project: Project) -> list[tuple[Sealed, Fault]]:
    """Return the secrets whose recipients are not exactly the admins, each with its fault.

    Raises:
        Faults: When an admin's key is unusable.
    """
    admins = dict(chosen(project).recipients())
    return [
        (secret, _fault(secret, admins))
        for secret in sealed(project)
        if secret.recipients != admins.keys() or layout.has_conflict(f"{secret.folder}/recipients")
    ]


def fix(project: Project) -> tuple[list[Sealed], list[Fault]]:
    """Re-encrypt the secrets with wrong recipients to the admins, keeping their versions.

    Merge conflicts in the lists beside secrets are resolved by keeping the lines of both sides.

    Returns:
        The repaired secrets, and the faults that a person must repair.

    Raises:
        Faults: When the project has no admin. Nothing is written then.
    """
    with store.locked(project):
        repaired = [secret for secret in sealed(project) if in_place.keep_both_sides(secret.folder)]
        unreadable: list[Fault] = []
        try:
            wrong = [secret for secret, _ in with_wrong_recipients(project)]
        except Faults as error:  # then there is nothing to encrypt to
            return repaired, [*error.faults, *soundness.unsound(project)]
        broken = _broken(project, wrong)
        unseal, secret_store = opener(project), chosen(project)
        recipients = secret_store.recipients() if wrong else {}
        for secret in wrong:
            if (secret.base, secret.key) in broken:  # re-encrypting a part of the var would hide that
                continue
            before = layout.ciphertext(secret.folder)
            try:
                value = unseal(before, Path(secret.folder) / "secret")
            except Faults as error:
                unreadable += [_unreadable(secret, fault) for fault in error.faults]
                continue
            after = secret_store.seal(f"{secret}/{layout.version(secret.folder)}", value)
            in_place.replace_secret(secret.folder, after, recipients)
            if before != after:
                drop(project, {before})
            repaired.append(secret)
    return list(dict.fromkeys(repaired)), [*unreadable, *soundness.unsound(project)]


def _broken(project: Project, wrong: Iterable[Sealed]) -> set[tuple[Path, VarKey]]:
    """Return the vars whose files do not belong together, pending and stored copies apart."""
    keys = {secret.key for secret in wrong}
    return {
        (base, key)
        for base in (project.pending, project.vars)
        for key in keys - soundness.examine(base, keys)[0].keys()
    }


def _unreadable(secret: Sealed, fault: Fault) -> Fault:
    who = ", ".join(map(_short, sorted(secret.recipients or ()))) or "a person who can read it"
    hint = f"run `rolecall vars fix` with the identity of {who}, or restore the file from an earlier commit"
    return Fault(f"{secret} cannot be re-encrypted: {fault.message}", fault.where, hint)


def readable_by(project: Project, public_key: str) -> list[Sealed]:
    """Return the secrets that a public key can read."""
    return [secret for secret in sealed(project) if secret.recipients and public_key in secret.recipients]


def known_to(project: Project, who: str) -> list[Sealed]:
    """Return the secrets that a machine received, or that a public key can or could read."""
    return [
        secret for secret in sealed(project) if who in {*secret.machines, *secret.formerly, *(secret.recipients or ())}
    ]


def note_machines(project: Project, sent: Mapping[tuple[VarKey, str], Iterable[str]]) -> None:
    """Note the machines that secrets are about to be sent to, by var and name of the file."""
    new = {}
    for (key, file), machines in sent.items():
        folder = layout.file_folder(project.vars, key, file)
        known = layout.known_to(folder, "machines")
        if not known.issuperset(machines):
            new[folder] = known.union(machines)
    if new:
        with store.locked(project):
            for folder, machines in new.items():
                in_place.note_known(folder, "machines", machines)


def former_holders(project: Project, sent: Mapping[tuple[VarKey, str], Collection[str]]) -> Mapping[str, list[VarKey]]:
    """Return the machines that once received secrets that they no longer get, with the vars of these.

    Args:
        project: The project.
        sent: Every secret that the inventory wants, with the machines that get it.
    """
    vars_of: dict[str, dict[VarKey, None]] = {}
    for (key, file), machines in sent.items():
        known = layout.known_to(layout.file_folder(project.vars, key, file), "machines")
        for machine in known.difference(machines):
            vars_of.setdefault(machine, {})[key] = None
    return {machine: sorted(keys) for machine, keys in sorted(vars_of.items())}


def lacking(project: Project, sent: Mapping[tuple[VarKey, str], Collection[str]]) -> Mapping[str, list[VarKey]]:
    """Return the machines that have received some of these secrets, with the vars of stored ones that they have not.

    Args:
        project: The project.
        sent: Secrets, with the machines that are to get them.
    """
    reached: set[str] = set()
    vars_of: dict[str, dict[VarKey, None]] = {}
    for (key, file), machines in sent.items():
        folder = layout.file_folder(project.vars, key, file)
        if Path(folder, "secret").exists():
            known = layout.known_to(folder, "machines")
            reached |= known
            for machine in set(machines) - known:
                vars_of.setdefault(machine, {})[key] = None
    return {machine: sorted(keys) for machine, keys in sorted(vars_of.items()) if machine in reached}


def _known(folder: str) -> tuple[frozenset[str], frozenset[str]]:
    return layout.known_to(folder, "formerly"), layout.known_to(folder, "machines")


def _fault(secret: Sealed, admins: Mapping[str, str]) -> Fault:
    where = Where(Path(secret.folder) / "secret")
    hint = "re-encrypt it: `rolecall vars fix`"
    if secret.recipients is None:
        return Fault(f"the list of recipients of {secret} is missing", where, hint)
    problems = []
    if surplus := secret.recipients - admins.keys():
        problems.append(f"can be read by {', '.join(map(_short, sorted(surplus)))}, not an admin's key")
    if lacking := admins.keys() - secret.recipients:
        problems.append(f"cannot be read by {_listed(admins[key] for key in lacking)}")
    return Fault(f"{secret} {' and '.join(problems)}", where, hint)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _short(public_key: str) -> str:
    return public_key if len(public_key) <= 20 else f"{public_key[:12]}…{public_key[-6:]}"  # noqa: PLR2004 - as long as the short form
