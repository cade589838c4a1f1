"""A plan in a file: what was shown, and what must be the same when it is carried out, elsewhere or later.

The file is JSON with a `FORMAT` version. It contains the document of ``rolecall plan --json``, the digest of the plan,
and the pending vars that an update stores: public values, and secrets in the encrypted form that ``vars/`` has, too.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping  # noqa: TC003 - pydantic reads annotations
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from rolecall import files
from rolecall.documents import as_text
from rolecall.errors import Fault, Faults, Where, fault
from rolecall.model.plan import FORMAT
from rolecall.model.vars import VarKey

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rolecall.model.plan import Plan

_LIMIT = 256 << 20  # bytes of a file


@dataclass(frozen=True, slots=True)
class SavedMachine:
    """A machine of a saved plan.

    Attributes:
        digest: Of the configuration that it is to have.
        comparison: The agent's digest of what was compared, "" when nothing changes.
    """

    digest: str
    comparison: str


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """A saved plan.

    Attributes:
        format_version: `FORMAT`.
        digest: Of the plan.
        only: The machines that it was limited to; () for all.
        machines: By name.
        modules: As `Plan.modules`.
        pending: By var: its files, each as base64, by their paths.
    """

    format_version: int
    digest: str
    only: tuple[str, ...]
    machines: Mapping[str, SavedMachine]
    modules: Mapping[str, str]
    pending: Mapping[str, Mapping[str, str]]

    @property
    def packed(self) -> dict[VarKey, dict[str, bytes]]:
        """The pending vars, as `rolecall.vars.pack` returned them.

        Raises:
            ValueError: When a file is not base64.
        """
        return {
            VarKey.read(name): {path: b64decode(data, validate=True) for path, data in files.items()}
            for name, files in self.pending.items()
        }


def save(path: Path, plan: Plan, only: Sequence[str], packed: Mapping[VarKey, Mapping[str, bytes]]) -> None:
    """Write a plan to a file.

    Args:
        path: The file.
        plan: The plan.
        only: The machines that it is limited to; () for all.
        packed: The pending vars that an update stores, from `rolecall.vars.pack`.

    Raises:
        Faults: When a machine could not be compared or is skipped, or the file cannot be written.
    """
    if plan.failing:
        names = ", ".join(machine.machine for machine in plan.failing)
        raise fault(f"the plan is not saved, since {names} could not be compared", hint="plan for the others by name")
    if plan.skipped:
        names = ", ".join(each.machine for each in plan.skipped)
        raise fault(f"the plan is not saved, since it skips {names}", hint="plan for the others by name")
    pending = {
        str(key): {path: b64encode(data).decode() for path, data in files.items()} for key, files in packed.items()
    }
    try:
        files.replace(path, as_text({**plan.as_json(), "only": list(only), "pending": pending}) + "\n")
    except OSError as error:
        raise fault(f"{path} cannot be written: {error.strerror}") from None


def read(path: Path) -> SavedPlan:
    """Read a plan from a file.

    Raises:
        Faults: When it is not a saved plan, or one of another version.
    """
    where = Where(path)
    try:
        if path.stat().st_size > _LIMIT:
            raise fault("this file is too large for a plan", where=where)
        data: Any = json.loads(path.read_bytes())
    except OSError as error:
        raise fault(f"the plan cannot be read: {error.strerror}", where=where) from None
    except ValueError:
        raise _none(path) from None
    version = data.get("format_version") if isinstance(data, dict) else None
    if version != FORMAT and isinstance(version, int):
        hint = "make a new one: `rolecall plan --out FILE`"
        raise fault(f"the plan has version {version} of the format, not {FORMAT}", where=where, hint=hint)
    try:
        saved = TypeAdapter(SavedPlan).validate_python(data)
        saved.packed  # noqa: B018 - whether it can be decoded
    except (ValidationError, ValueError):
        raise _none(path) from None
    return saved


def require_same(saved: SavedPlan, plan: Plan) -> None:
    """Require that a plan is the one that was saved, but for the machines that are skipped now.

    Raises:
        Faults: Everything that changed since.
    """
    skipped = (each.plan for each in plan.skipped if each.machine in saved.machines)
    assumed = (replace(each, failure="", comparison=saved.machines[each.machine].comparison) for each in skipped)
    plan = replace(plan, machines=(*plan.machines, *assumed))
    now = {machine.machine: machine.digest for machine in plan.machines if machine.same}
    if now == {name: machine.digest for name, machine in saved.machines.items()}:
        raise fault("the saved plan has been carried out already: every machine is as planned")
    if faults := list(_differences(saved, plan)):
        raise Faults(faults)
    if saved.digest != plan.digest:
        raise fault("the plan has changed since it was saved", hint=_AGAIN)


_AGAIN = "look at a new plan, and save that: `rolecall plan --out FILE`"


def _differences(saved: SavedPlan, plan: Plan) -> Iterator[Fault]:
    now = {machine.machine: machine for machine in plan.machines}
    for name in sorted({*saved.machines, *now}):
        before, machine = saved.machines.get(name), now.get(name)
        if before is None or machine is None:
            yield Fault(f"{name} is {'not in' if before is None else 'only in'} the saved plan", hint=_AGAIN)
        elif machine.failure:
            yield Fault(f"{name} cannot be compared now: {machine.failure}")
        elif before.digest != machine.digest:
            cause = "the inventory, its vars or its services changed"
            yield Fault(f"{name} is to have another configuration than in the saved plan: {cause}", hint=_AGAIN)
        elif before.comparison != machine.comparison:
            yield Fault(f"{name} itself has changed since the plan was saved", hint=_AGAIN)
    for name in sorted({*saved.modules, *plan.modules}):
        if saved.modules.get(name) != plan.modules.get(name):
            yield Fault(f"the instance {name} has another service than in the saved plan", hint=_AGAIN)
    made = {str(key) for key in plan.makes}
    for name in sorted(made ^ saved.pending.keys()):
        which = "is pending here, but not" if name in made else "is no longer pending here, but is"
        yield Fault(f"the var {name} {which} in the saved plan", hint=_AGAIN)


def _none(path: Path) -> Faults:
    return fault("this is not a saved plan", where=Where(path), hint="save one: `rolecall plan --out FILE`")
