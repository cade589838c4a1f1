"""What all commands share: the project they stand in, and how they speak."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rolecall.cli import output
from rolecall.documents import as_text
from rolecall.errors import fault
from rolecall.project import Project, find_root

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rolecall.deploy.target import Lab
    from rolecall.errors import Fault


@dataclass(slots=True)
class Invocation:
    """One call of the program.

    Attributes:
        folder: Where the project is looked for.
        json: Whether to print one JSON document instead of text.
        nix: Whether Nix itself evaluates an inventory in Nix.
        sandbox: Whether scripts of generators are confined.
        answers: A file with answers to what generators ask.
    """

    folder: Path = field(default_factory=Path)
    json: bool = False
    nix: bool = False
    sandbox: bool = True
    answers: Path | None = None

    @property
    def project(self) -> Project:
        """The project.

        Raises:
            Faults: When there is none.
        """
        from rolecall.cli.answers import asker  # noqa: PLC0415 - only where there is a project

        return Project(find_root(self.folder), self.nix, self.sandbox, asker(self.answers))

    @property
    def lab(self) -> Lab | None:
        """Where the project's lab can be reached, while it is up."""
        project = self.project
        if not project.lab.is_dir():
            return None
        from rolecall.deploy.target import Lab  # noqa: PLC0415 - only where there is a lab
        from rolecall.lab import find  # noqa: PLC0415 - as above

        found = find(project.lab)
        return Lab(found.ssh_config, found.known_hosts) if found else None

    def emit(self, document: Any, text: str) -> None:  # noqa: ANN401 - any JSON-compatible data
        """Prints a result: as JSON when that was asked for, else as text."""
        if self.json:
            text = as_text(document)
        output.write(text.rstrip("\n") + "\n")


def ask(invocation: Invocation, question: str) -> None:
    """Goes on only when a person says yes.

    Raises:
        Faults: When nobody is there to be asked.
        Abort: When the answer is no.
    """
    if invocation.json or not sys.stdin.isatty():
        raise fault("nobody is there to be asked", hint="pass --yes to go on without a question")
    click.confirm(question, abort=True, err=True)


def tell(faults: Iterable[Fault], *, as_json: bool) -> None:
    """Prints faults: as text to standard error, as one JSON document to standard output."""
    if as_json:
        output.write(as_text({"faults": [fault.as_json() for fault in faults]}) + "\n")
    else:
        for fault in faults:
            click.echo(str(_relative(fault)), err=True)


def _relative(fault: Fault) -> Fault:
    """Files as seen from here, where that is shorter."""
    if fault.where and fault.where.file and fault.where.file.is_absolute():
        try:
            return fault.at(replace(fault.where, file=fault.where.file.relative_to(Path.cwd())))
        except ValueError:
            return fault
    return fault
