"""What all commands share: finding the project, printing results, asking, and reporting faults."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from rolecall.cli import output
from rolecall.documents import as_text
from rolecall.errors import fault

if TYPE_CHECKING:
    from rolecall.pipeline import Workspace


@dataclass(slots=True)
class Invocation:
    """One call of the program.

    Attributes:
        folder: Where the project is looked for.
        json: Whether to print one JSON document instead of text.
        nix: Whether Nix itself evaluates an inventory in Nix.
        sandbox: Whether scripts of generators are confined.
        answers: A file with answers to what generators ask.
        side: What is reached of machines that both run in the lab and name a real target; "" if that is not chosen.
    """

    folder: Path = field(default_factory=Path)
    json: bool = False
    nix: bool = False
    sandbox: bool = True
    answers: Path | None = None
    side: Literal["", "lab", "real"] = ""

    _workspace: Workspace | None = None

    @property
    def workspace(self) -> Workspace:
        """The project, opened once.

        Raises:
            Faults: When no project is found.
        """
        if self._workspace is None:
            from rolecall import pipeline
            from rolecall.cli.answers import asker

            self._workspace = pipeline.open(
                self.folder,
                lab=_lab,
                side=self.side,
                asker=asker(self.answers),
                nix=self.nix,
                sandbox=self.sandbox,
            )
        return self._workspace

    def emit(self, document: Any, text: str) -> None:  # noqa: ANN401 - any JSON-compatible data
        """Print a result: as JSON with --json, else as text."""
        if self.json:
            text = as_text(document)
        output.write(text.rstrip("\n") + "\n")


def _lab(folder: Path) -> tuple[Path, Path, frozenset[str]] | None:
    """Return the ssh_config, known_hosts and machines of the lab that is kept in a folder, if it is up."""
    if not folder.is_dir():
        return None
    from rolecall.lab import find

    found = find(folder)
    return (found.ssh_config, found.known_hosts, frozenset(found.machines)) if found else None


def ask(invocation: Invocation, question: str) -> None:
    """Continue only when the user confirms.

    Raises:
        Faults: When standard input is not a terminal.
        Abort: When the answer is no.
    """
    if invocation.json or not sys.stdin.isatty():
        raise fault("cannot ask for confirmation: not running in a terminal", hint="pass --yes to skip the question")
    click.confirm(question, abort=True, err=True)
