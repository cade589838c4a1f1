"""The command line, called in this process on a project."""

from __future__ import annotations

from typing import TYPE_CHECKING

from click.testing import CliRunner

from rolecall.cli import rolecall
from rolecall.cli.common import Invocation
from rolecall.errors import Faults

if TYPE_CHECKING:
    from rolecall.project import Project


def call(project: Project, *words: str, status: int = 0, given: str = "") -> str:
    """Return what a command prints, or the faults that it ends with."""
    done = CliRunner().invoke(rolecall, ["-C", str(project.root), *words], obj=Invocation(), input=given)
    output = str(done.exception) if isinstance(done.exception, Faults) else done.output
    assert done.exit_code == status, output
    return output
