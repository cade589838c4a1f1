"""Who can read what, without decrypting anything.

Each secret says beside itself to whose keys it is encrypted, for age files do not: their X25519 stanzas are anonymous.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rolecall.errors import Fault, Faults, Where
from rolecall.vars import layout, store
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
        file: The name of the file in that.
        base: Where its var stands: among the pending or the stored ones.
        folder: Where it stands itself.
        recipients: The public keys that can read it; None where that is not said.
        formerly: Those that could before, and may have kept it.
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
        """As `rolecall vars list` names it."""
        return f"{self.key}/{self.file}"


def sealed(project: Project) -> list[Sealed]:
    """All secrets, pending ones included; nothing is decrypted."""
    return [
        Sealed(key, file, base, folder, layout.recipients(folder), *_known(folder))
        for base in (project.pending, project.vars)
        for key, file, folder in layout.secrets(base)
    ]


def with_wrong_recipients(project: Project) -> list[tuple[Sealed, Fault]]:
    """The secrets that others can read than should, the admins, with what is wrong.

    Raises:
        Faults: When an admin's key is unusable.
    """
    names = dict(chosen(project).readers())
    return [
        (each, _fault(each, names))
        for each in sealed(project)
        if each.recipients != names.keys() or layout.conflicting(each.folder, "recipients")
    ]


def fix(project: Project) -> tuple[list[Sealed], list[Fault]]:
    """Re-encrypt the wrong secrets to the admins, and to no others; their versions stay.

    Lists beside them in which a merge has failed get the lines of both sides.

    Returns:
        What was repaired, and what is left to a person.

    Raises:
        Faults: When there is no admin; nothing is written then.
    """
    with store.locked(project):
        repaired = [each for each in sealed(project) if store.keep_both_sides(each.folder)]
        unreadable: list[Fault] = []
        try:
            found = [each for each, _ in with_wrong_recipients(project)]
        except Faults as error:  # then there is nothing to encrypt to
            return repaired, [*error.faults, *layout.unsound(project)]
        broken = _broken(project, found)
        unseal, secret_store = opener(project), chosen(project)
        readers = secret_store.readers() if found else {}
        for each in found:
            if (each.base, each.key) in broken:  # re-encrypting a part of it would hide that
                continue
            before = layout.ciphertext(each.folder)
            try:
                value = unseal(before, Path(each.folder) / "secret")
            except Faults as error:
                unreadable += [_unreadable(each, fault) for fault in error.faults]
                continue
            after = secret_store.seal(f"{each}/{layout.version(each.folder)}", value)
            store.replace_secret(each.folder, after, readers)
            if before != after:
                drop(project, {before})
            repaired.append(each)
    return list(dict.fromkeys(repaired)), [*unreadable, *layout.unsound(project)]


def _broken(project: Project, found: Iterable[Sealed]) -> set[tuple[Path, VarKey]]:
    """Return the vars whose files do not belong together, a pending and a stored copy each for itself."""
    keys = {each.key for each in found}
    return {
        (base, key) for base in (project.pending, project.vars) for key in keys - layout.examine(base, keys)[0].keys()
    }


def _unreadable(secret: Sealed, fault: Fault) -> Fault:
    who = ", ".join(map(_short, sorted(secret.recipients or ()))) or "who can read it"
    hint = f"run `rolecall vars fix` with the identity of {who}, or restore the file from an earlier commit"
    return Fault(f"{secret} cannot be re-encrypted: {fault.message}", fault.where, hint)


def readable_by(project: Project, public_key: str) -> list[Sealed]:
    """The secrets that a key can read."""
    return [each for each in sealed(project) if each.recipients and public_key in each.recipients]


def known_to(project: Project, who: str) -> list[Sealed]:
    """The secrets that a machine, or who has a key, has seen."""
    return [each for each in sealed(project) if who in {*each.machines, *each.formerly, *(each.recipients or ())}]


def note_machines(project: Project, sent: Mapping[tuple[VarKey, str], Iterable[str]]) -> None:
    """Notes to which machines secrets are sent, each given as a var and the name of its file; before that is done."""
    new = {}
    for (key, file), machines in sent.items():
        folder = layout.file_folder(project.vars, key, file)
        known = layout.known_to(folder, "machines")
        if not known.issuperset(machines):
            new[folder] = known.union(machines)
    if new:
        with store.locked(project):
            for folder, machines in new.items():
                store.note_known(folder, "machines", machines)


def former_holders(project: Project, sent: Mapping[tuple[VarKey, str], Collection[str]]) -> Mapping[str, list[VarKey]]:
    """The machines that have had what they get no longer, and of which vars that was.

    Args:
        project: The project.
        sent: Every secret that is wanted, with the machines that get it.
    """
    found: dict[str, dict[VarKey, None]] = {}
    for (key, file), machines in sent.items():
        known = layout.known_to(layout.file_folder(project.vars, key, file), "machines")
        for machine in known.difference(machines):
            found.setdefault(machine, {})[key] = None
    return {machine: sorted(keys) for machine, keys in sorted(found.items())}


def _known(folder: str) -> tuple[frozenset[str], frozenset[str]]:
    return layout.known_to(folder, "formerly"), layout.known_to(folder, "machines")


def _fault(secret: Sealed, names: Mapping[str, str]) -> Fault:
    where = Where(Path(secret.folder) / "secret")
    hint = "re-encrypt it: `rolecall vars fix`"
    if secret.recipients is None:
        return Fault(f"the list of recipients of {secret} is missing", where, hint)
    said = []
    if surplus := secret.recipients - names.keys():
        said.append(f"can be read by {', '.join(map(_short, sorted(surplus)))}, whose key is no admin's")
    if lacking := names.keys() - secret.recipients:
        said.append(f"cannot be read by {_listed(names[key] for key in lacking)}")
    return Fault(f"{secret} {' and '.join(said)}", where, hint)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _short(public_key: str) -> str:
    return public_key if len(public_key) <= 20 else f"{public_key[:12]}…{public_key[-6:]}"  # noqa: PLR2004 - as long as what is shown
