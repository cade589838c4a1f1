"""What a plan warns of beside its changes: secrets that others may have, rotations, certificates, rollbacks."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from rolecall import vars as var_store
from rolecall.errors import Fault, listed, plural
from rolecall.evaluate.authors import calling
from rolecall.model.generators import validity_of
from rolecall.model.vars import STEPS, current, step_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rolecall.model.plan import Compared
    from rolecall.model.vars import VarKey
    from rolecall.pipeline.evaluation import Evaluation
    from rolecall.project import Project

SHOWN = 8  # vars that a machine once received; `vars recipients` lists all
EXPIRING = dt.timedelta(days=30)  # before its end, plans warn about a certificate


def taken_back(compared: Iterable[Compared]) -> Iterator[Fault]:
    """Warn of each machine that went back to an earlier generation, which an update would undo."""
    for each in compared:
        if each.current and each.plan.comparison and each.current["back"] is not None:
            to = f"generation {each.current['back']}" if each.current["back"] else "nothing installed"
            who, when = each.current["user"], each.current["at"]
            message = f"{each.plan.machine} went back to {to} ({who}, {when}); an update undoes that"
            yield Fault(message, hint="change the inventory first if that is not what you want", warning=True)


def borrowed(evaluation: Evaluation) -> Iterator[Fault]:
    """Say that machines of the lab get secrets of real machines."""
    declared = evaluation.members.loaded.inventory.machines
    real = {name for name, machine in declared.items() if machine.deploy.target_host is not None}
    received = [machines for machines in map(real.intersection, sent(evaluation).values()) if machines]
    if received:
        count = plural(len(received), "secret")
        message = f"the lab gets the project's own {count} for {listed(sorted(set().union(*received)))}"
        yield Fault(message, hint="they stay on this computer, and go with `rolecall lab down`", warning=True)


def former_holders(project: Project, evaluation: Evaluation, leaving: str) -> Iterator[Fault]:
    """Warn of each machine that received secrets which it no longer needs and others still use, but the leaving one."""
    there = {place: machines for place, machines in sent(evaluation).items() if place[0] not in evaluation.makes}
    for machine, keys in var_store.former_holders(project, there).items():
        if machine == leaving:
            continue
        names = ", ".join(map(str, keys[:SHOWN])) + (f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else "")
        hint = f"to make its copies useless, run `rolecall vars rotate --known-to {machine}`"
        message = f"{machine} received secrets that it no longer needs, and may still have them: {names}"
        yield Fault(message, hint=hint, warning=True)


def rotating(evaluation: Evaluation) -> Iterator[Fault]:
    """Warn of each rotation that waits for its next step."""
    for key, var in evaluation.world.vars.items():
        step = step_of(var)
        if step and key not in evaluation.makes:
            message = f"the rotation of {key} is not finished: step {step} of {STEPS} is done"
            hint = f"when all machines are updated, continue with `rolecall vars rotate {key}`"
            yield Fault(message, hint=hint, warning=True)


def expiring(evaluation: Evaluation) -> Iterator[Fault]:
    """Warn of each var that expires within `EXPIRING`, or whose last third has begun if that is later."""
    now = dt.datetime.now(dt.UTC)
    keys = {
        var.key(instance, machine): (var.generator, service, instance)
        for instance, service in evaluation.members.membership.services.items()
        for role in service.roles.values()
        for var in role.vars.values()
        if hasattr(var.generator, "validity")
        for machine in evaluation.members.membership.role_members[instance][role.name].settings
    }
    for key, (generator, service, instance) in keys.items():
        with calling(service, f"the validity of {key}", instance):
            validity = validity_of(generator, current(evaluation.world.vars[key]))
        if validity:
            since, until = validity
            if until - now < min(EXPIRING, (until - since) / 3):
                when = f"expires on {until:%Y-%m-%d}" if now < until else f"has expired on {until:%Y-%m-%d}"
                yield Fault(f"{key} {when}", hint=f"rotate it: `rolecall vars rotate {key}`", warning=True)


def sent(evaluation: Evaluation) -> Mapping[tuple[VarKey, str], list[str]]:
    """Return each secret, as a var and the name of its file, with the evaluated machines that receive it."""
    where = {
        file.version: (key, name)
        for key, files in evaluation.world.vars.items()
        for name, file in files.items()
        if file.secret
    }
    machines: dict[tuple[VarKey, str], list[str]] = {place: [] for place in where.values()}
    for machine, configured in evaluation.configured.items():
        for version in {secret.version for secret in configured.configuration.secrets}:
            machines[where[version]].append(machine)
    return machines
