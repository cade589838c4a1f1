"""What all commands share: finding the project, printing results, asking, and reporting faults."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rolecall.cli import output
from rolecall.documents import as_text
from rolecall.errors import fault
from rolecall.files import make_local
from rolecall.project import Project, find_root

if TYPE_CHECKING:
    from rolecall.deploy.target import Lab


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
            Faults: When no project is found.
        """
        from rolecall.cli.answers import asker  # noqa: PLC0415 - only where there is a project

        project = Project(find_root(self.folder), self.nix, self.sandbox, asker(self.answers))
        if project.local.is_dir():  # by an earlier version, perhaps, which did not keep it from git
            with suppress(OSError):
                make_local(project.local)
        return project

    @property
    def lab(self) -> Lab | None:
        """The project's lab while it is up, else None."""
        project = self.project
        if not project.lab.is_dir():
            return None
        from rolecall.deploy.target import Lab  # noqa: PLC0415 - only where there is a lab
        from rolecall.lab import find  # noqa: PLC0415 - as above

        found = find(project.lab)
        return Lab(found.ssh_config, found.known_hosts) if found else None

    def emit(self, document: Any, text: str) -> None:  # noqa: ANN401 - any JSON-compatible data
        """Print a result: as JSON with --json, else as text."""
        if self.json:
            text = as_text(document)
        output.write(text.rstrip("\n") + "\n")


def ask(invocation: Invocation, question: str) -> None:
    """Continue only when the user confirms.

    Raises:
        Faults: When standard input is not a terminal.
        Abort: When the answer is no.
    """
    if invocation.json or not sys.stdin.isatty():
        raise fault("cannot ask for confirmation: not running in a terminal", hint="pass --yes to skip the question")
    click.confirm(question, abort=True, err=True)
