"""Run a command on machines."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rolecall.deploy.commands import CommandAnswer, Commands
from rolecall.errors import Fault, fault, listed
from rolecall.pipeline.reaching import declared_ways

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolecall.pipeline.choosing import Choice
    from rolecall.pipeline.workspace import Workspace


@dataclass(frozen=True, slots=True)
class CommandReport:
    """What a command answered on machines.

    Attributes:
        answers: Of each machine, sorted by name.
        seconds: How long it took on all of them.
        interrupted: Whether Ctrl-C ended it.
        warnings: What is wrong with the inventory; that stops nothing.
    """

    answers: tuple[CommandAnswer, ...]
    seconds: float
    interrupted: bool
    warnings: tuple[Fault, ...]

    @property
    def succeeded(self) -> bool:
        """Whether the command ended with exit status 0 on all machines."""
        return all(answer.succeeded for answer in self.answers)

    def as_json(self) -> dict[str, Any]:
        """Return the documented form of ``rolecall run --json`` (docs/reference/json.md)."""
        answers = {answer.machine: asdict(answer) for answer in self.answers}
        for answer in answers.values():
            del answer["machine"]
            answer["seconds"] = round(answer["seconds"], 3)
        return {
            "machines": answers,
            "seconds": round(self.seconds, 3),
            "warnings": [warning.as_json() for warning in self.warnings],
        }


def run_command(
    workspace: Workspace, choice: Choice, words: Sequence[str], *, timeout: int | None, parallel: int
) -> CommandReport:
    """Run a command as root on machines; return what it answered, also after Ctrl-C.

    Args:
        workspace: The project.
        choice: The machines.
        words: The command and its arguments, which it gets unchanged; one word alone is a script for sh(1).
        timeout: Seconds that it may take on each machine, without the login; None for any time.
        parallel: On how many machines it runs at once.

    Raises:
        Faults: As `declared_ways`; when a machine is a directory, or none is declared.
    """
    began = time.monotonic()
    found, faults = declared_ways(workspace, choice)
    if not found:
        raise fault("the inventory has no machines", hint="declare one: `rolecall machines add NAME`")
    if directories := [name for name, each in found.items() if any(way.target.root is not None for way in each.ways)]:
        hint = "choose other machines, or leave out some with `--except`"
        raise fault(f"cannot run a command on a directory, which is the target of {listed(directories)}", hint=hint)
    argv = words if len(words) > 1 else ["sh", "-c", *words]
    commands = Commands(argv, timeout=timeout, parallel=parallel)
    answers = commands.run({name: [way.target for way in each.ways] for name, each in found.items() if each.ways})
    answers += [
        CommandAnswer(name, "unreachable", problem=each.faults[0].message)
        for name, each in found.items()
        if not each.ways
    ]
    answers.sort(key=lambda answer: answer.machine)
    warnings = tuple(Fault(each.message, each.where, each.hint, warning=True) for each in faults)
    return CommandReport(tuple(answers), time.monotonic() - began, commands.interrupted, warnings)
