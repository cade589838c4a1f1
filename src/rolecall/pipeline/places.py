"""Where the inventory says why a machine has something, and whose an SSH key is."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from rolecall import inventory
from rolecall import vars as var_store
from rolecall.deploy.pins import fingerprint
from rolecall.errors import Fault, Faults, Where
from rolecall.evaluate.explain import explanation
from rolecall_agent.resources import AuthorizedKey

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rolecall.model.vars import StoredVar, VarKey
    from rolecall.pipeline.evaluation import Evaluation
    from rolecall.project import Project


class Places:
    """Places in the inventory of an evaluation. Each is looked up when a plan shows it, once.

    Args:
        evaluation: The evaluation.
    """

    def __init__(self, evaluation: Evaluation) -> None:
        self._members = evaluation.members
        self._known: dict[tuple[str, str, str], str] = {}

    def of(self, machine: str, origin: str, setting: str) -> str:
        """Return where a setting of a member is written, or if "" is given, what makes the machine a member.

        Args:
            machine: The machine.
            origin: ``INSTANCE.ROLE``; a service, with settings that begin with ``INSTANCE.ROLE``, has no place itself.
            setting: The name of the setting, or "".

        Returns:
            ``FILE:LINE``, or "".
        """
        key = (machine, origin, setting)
        if key not in self._known:
            self._known[key] = self._find(*key)
        return self._known[key]

    def _find(self, machine: str, origin: str, setting: str) -> str:
        if "." not in origin:
            if setting.count(".") < 2:  # noqa: PLR2004 - INSTANCE.ROLE.SETTING
                return ""
            instance, role, setting = setting.split(".", 2)
        else:
            instance, role = origin.split(".")
        via = self._members.membership.role_members[instance][role].via.get(machine)
        if via is None:
            return ""
        member = self._place(Where(keys=("instances", instance, "roles", role, *via)))
        return (self._setting(instance, role, machine, setting) if setting else "") or member

    def _setting(self, instance: str, role: str, machine: str, setting: str) -> str:
        """Return where the value of a setting is written, or ""."""
        loaded, membership = self._members.loaded, self._members.membership
        try:
            found = explanation(loaded, membership, (instance, role, machine, setting), self._where)
        except Faults:
            return ""  # it has no such setting any more
        layers = [layer for each in found.settings for layer in each.values if layer.result in {"wins", "joined"}]
        return next((place for layer in reversed(layers) if layer.where and (place := _text(layer.where))), "")

    def _where(self, where: Where) -> Where:
        return inventory.locate(Fault("", where), self._members.loaded.sources).where or where

    def _place(self, where: Where) -> str:
        return _text(self._where(where))


class Labels:
    """What to call resources whose keys say little to a person.

    Args:
        project: The project.
        evaluation: The evaluation; None for the stored vars alone.
    """

    def __init__(self, project: Project, evaluation: Evaluation | None) -> None:
        self._project = project
        self._evaluation = evaluation

    def __call__(self, key: str) -> str:
        """Return what to call a resource, or ""."""
        kind, _, rest = key.partition(":")
        if kind != AuthorizedKey.kind:
            return ""
        user, _, base64 = rest.partition(":")
        if owner := self._owners.get(base64) or self._former_owners.get(base64):
            return f"key of {owner} for {user}"
        return f"key {fingerprint(f'key {base64}').partition(' ')[2]} for {user}"

    @cached_property
    def _owners(self) -> Mapping[str, str]:
        return dict(self._public_keys(self._evaluation.world.vars)) if self._evaluation else {}

    @cached_property
    def _former_owners(self) -> Mapping[str, str]:
        return dict(self._public_keys(var_store.stored_all(self._project)))

    def _public_keys(self, every: Mapping[VarKey, StoredVar]) -> Iterator[tuple[str, str]]:
        """Yield each public key with the machine and the instance or role that owns it."""
        roles = {
            (instance, var.name): f"{instance}.{role.name}"
            for instance, service in (self._evaluation.members.membership.services.items() if self._evaluation else ())
            for role in service.roles.values()
            for var in role.vars.values()
        }
        for key, files in every.items():
            for file in files.values():
                words = file.public.split() if not file.secret else []
                if len(words) > 1 and words[0].startswith(("ssh-", "ecdsa-", "sk-")):
                    instance, _, name = key.name.partition(".")
                    owner = roles.get((instance, name), instance)
                    yield words[1], f"{key.machine} ({owner})" if key.machine else owner


def _text(where: Where) -> str:
    return f"{where.file.name}:{where.line}" if where.file and where.line else ""
