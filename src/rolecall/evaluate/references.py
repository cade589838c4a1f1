"""References to secrets in settings: they must not be secrets themselves, and what they name must exist."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from rolecall.errors import Fault, Where, dotted, nearest
from rolecall.evaluate.kinds import kind_of
from rolecall.evaluate.layers import layers_of, tags_of
from rolecall.evaluate.merge import merge, place
from rolecall.evaluate.steps import recipes, steps_of
from rolecall.model.generators import Prompt
from rolecall.model.recipes import Recipe
from rolecall.model.vars import VarFile, VarKey
from rolecall.service.generators import Function
from rolecall.service.settings import SecretRef

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rolecall.evaluate.kinds import Kind
    from rolecall.evaluate.membership import Membership
    from rolecall.evaluate.merge import Keys, Record
    from rolecall.model.generators import Context
    from rolecall.model.inventory import Loaded
    from rolecall.service.contract import Role

HINT = (
    'write `{ var = "NAME/FILE" }`, a var and its file, not the value; '
    "others may have read a secret that was in an inventory, so replace it"
)
_STAND_IN = {"var": "-/-"}


def remove_plain_secrets(merged: dict[str, Any], record: Record, kind: Kind, where: Where) -> list[Fault]:
    """Remove what may be real secrets from merged settings, so that nothing later can reveal them.

    Args:
        merged: The settings; changed.
        record: Of merging them: overridden layers are checked too.
        kind: Of the settings.
        where: The role.

    Returns:
        A fault for each; none contains the value.
    """
    faults = []
    for path, resolution in record.items():
        if kind.at(path).secret:
            for statement in resolution.stated:
                if statement.value is not None and not isinstance(statement.value, dict):
                    at = Where(statement.layer.file, (*where.keys, *statement.layer.at, *statement.keys))
                    faults.append(Fault(f"{dotted(path)} must be a reference to a secret, not a value", at, HINT))
            table: Any = merged
            for key in path[:-1]:
                table = table[key]
            if resolution.kept and table[path[-1]] is not None and not isinstance(table[path[-1]], dict):
                table[path[-1]] = _STAND_IN
    return faults


def unknown_secrets(loaded: Loaded, membership: Membership) -> list[Fault]:
    """Return a fault for each reference to a secret that the member's machine does not have."""
    named = list(_named(membership))
    known = _known(loaded, membership) if named else {}
    lacking: dict[tuple[Keys, str], list[str]] = {}
    for instance, role, machine, path, reference in named:
        if not known.get(machine, {}).get(reference.place, known.get("", {}).get(reference.place)):
            declared = loaded.inventory.instances[instance].roles[role.name]
            record: Record = {}
            merge(layers_of(declared, machine, tags_of(loaded, machine)), [], kind_of(role), record)
            via = membership.role_members[instance][role.name].via[machine]
            at = ("instances", instance, "roles", role.name, *(place(record, path) or via))
            lacking.setdefault((at, reference.place), []).append(machine)
    return [_lacking(reference, Where(keys=at), machines, known) for (at, reference), machines in lacking.items()]


def declared(loaded: Loaded, membership: Membership) -> list[Recipe]:
    """Return recipes of the vars that the inventory itself declares and settings refer to."""
    recipes: dict[VarKey, Recipe] = {}
    for _, _, machine, _, reference in _named(membership):
        if var := loaded.inventory.vars.get(reference.name):
            key = VarKey(machine if var.scope == "machine" else "", reference.name)
            if key not in recipes:
                prompts = tuple(Prompt(name, each.description, each.kind) for name, each in var.prompts.items())
                files = tuple(VarFile(prompt.name) for prompt in prompts)
                recipes[key] = Recipe(key, Function(_nothing_more, files, prompts), f"vars.{reference.name}")
    return list(recipes.values())


def unused(loaded: Loaded, membership: Membership) -> list[Fault]:
    """Return a warning for each var of the inventory that no setting refers to; membership is of all instances."""
    named = {reference.name for *_, reference in _named(membership)} if loaded.inventory.vars else set()
    return [
        Fault(
            f"no setting refers to the var {name!r}",
            Where(keys=("vars", name)),
            f'refer to it in a setting that takes a secret: `{{ var = "{name}/{next(iter(var.prompts), "PROMPT")}" }}`',
            warning=True,
        )
        for name, var in loaded.inventory.vars.items()
        if name not in named
    ]


def _nothing_more(_: Context) -> dict[str, bytes]:
    return {}


def named_instances(loaded: Loaded, membership: Membership) -> set[str]:
    """Return the instances whose vars, or whose service's vars, the settings of members refer to."""
    named = {reference.name.partition(".")[0] for *_, reference in _named(membership)}
    instances = loaded.inventory.instances.items()
    return {name for name, instance in instances if name in named or (instance.module.name or name) in named}


def _named(membership: Membership) -> Iterator[tuple[str, Role[Any], str, Keys, SecretRef]]:
    """Yield every reference with its instance, role, machine and key path; shared settings are read once."""
    for instance, service in membership.services.items():
        for role in service.roles.values():
            found: dict[int, list[tuple[Keys, SecretRef]]] = {}
            members = membership.role_members[instance][role.name].settings if kind_of(role).secretive else {}
            for machine, settings in members.items():
                if id(settings) not in found:
                    found[id(settings)] = list(_references(settings))
                yield from ((instance, role, machine, *reference) for reference in found[id(settings)])


def _lacking(reference: str, where: Where, machines: list[str], known: Mapping[str, Mapping[str, bool]]) -> Fault:
    on = machines[0] if len(machines) == 1 else f"{machines[0]} and {len(machines) - 1} more"
    available = {**known.get("", {}), **known.get(machines[0], {})}
    hint = nearest(reference, (name for name, secret in available.items() if secret), what=f"secrets of {machines[0]}")
    message = f"{reference!r} of {on} is public" if reference in available else f"no secret {reference!r} for {on}"
    return Fault(message, where, hint)


def _known(loaded: Loaded, membership: Membership) -> Mapping[str, Mapping[str, bool]]:
    """Return, by machine ("" for shared ones), ``NAME/FILE`` of every var, and whether it is secret."""
    known: dict[str, dict[str, bool]] = {}
    for recipe in [*declared(loaded, membership), *recipes(steps_of(membership))]:
        files = known.setdefault(recipe.key.machine, {})
        files |= {f"{recipe.key.name}/{file.name}": file.secret for file in recipe.generator.files}
    return known


def _references(value: object, path: Keys = ()) -> Iterator[tuple[Keys, SecretRef]]:
    """Yield every reference in settings, with its key path as the inventory writes it."""
    if isinstance(value, SecretRef):
        yield path, value
    elif isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            yield from _references(getattr(value, name), (*path, field.alias or name))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _references(item, (*path, key))
    elif isinstance(value, list | tuple | set | frozenset):
        for index, item in enumerate(value):
            yield from _references(item, (*path, index))
