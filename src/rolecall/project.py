"""The folder of one project, and the paths in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rolecall.errors import Fault, Faults, Where, fault
from rolecall.model.notation import NOTATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rolecall.model.generators import Asker, Question

TOOL_FILE = "inventory.json"  # the tool-written file, which the user's file overrides
_MACHINES = "machines"
INVENTORY_NAMES = (
    *(f"inventory{suffix}" for notation in NOTATIONS for suffix in notation.suffixes),
    *("clan.nix", "flake.nix"),
)


def unanswered(questions: Sequence[Question]) -> Mapping[Question, bytes]:
    """Refuse to answer, for an asker without a terminal.

    Raises:
        Faults: Always, a fault for each question.
    """
    hint = 'run it in a terminal, or give `--answers FILE` with `{"MACHINE/VAR/PROMPT": "…"}` in it'
    raise Faults(
        Fault(f"cannot prompt for {question} ({question.prompt.description}): not a terminal", _asking(question), hint)
        for question in questions
    )


def _asking(question: Question) -> Where:
    """Return the place of the role that asks, or of a var of the inventory itself, whose name has no dot."""
    if "." not in question.key.name:
        return Where(keys=("vars", question.key.name, "prompts", question.prompt.name))
    instance, _, role = question.origin.partition(".")
    return Where(keys=("instances", instance, "roles", role))


@dataclass(frozen=True, slots=True)
class Project:
    """The paths of a project; none of them has to exist.

    Attributes:
        root: The folder with the inventory.
        nix: Whether Nix itself evaluates files in Nix; otherwise they are read as data.
        sandbox: Whether generator scripts run in a sandbox.
        asker: Answers the prompts of generators.
    """

    root: Path
    nix: bool = False
    sandbox: bool = True
    asker: Asker = unanswered

    @property
    def keys(self) -> Path:
        """The public keys of the admins, one ``NAME.pub`` each, and the pinned host keys."""
        return self.root / "keys"

    @property
    def known_hosts(self) -> Path:
        """The pinned host keys by machine name, in OpenSSH's known_hosts format (sshd(8))."""
        return self.keys / "known_hosts"

    @property
    def vars(self) -> Path:
        """The stored vars; secrets are encrypted."""
        return self.root / "vars"

    @property
    def modules(self) -> Path:
        """The project's services."""
        return self.root / "modules"

    @property
    def machines(self) -> Path:
        """The folders of machines, one for each that has files."""
        return self.root / _MACHINES

    @property
    def machine_folders(self) -> list[str]:
        """The machines that have a folder, which declares them, sorted."""
        return machine_folders(self.root)

    @property
    def local(self) -> Path:
        """The state of this checkout, which is never committed."""
        return self.root / ".rolecall"

    @property
    def pending(self) -> Path:
        """The pending vars: generated for a plan, and not promoted by an update yet."""
        return self.local / "pending"

    @property
    def decided(self) -> Path:
        """The updates that all machines can commit, while they are not complete."""
        return self.local / "decided"

    @property
    def renaming(self) -> Path:
        """The record of a rename while it is not complete: ``machine`` or ``instance``, the old and the new name."""
        return self.local / "renaming.json"

    @property
    def schema(self) -> Path:
        """The JSON Schema of the inventory, for editors."""
        return self.root / "inventory.schema.json"

    @property
    def lab(self) -> Path:
        """The state of this project's lab."""
        return self.local / "lab"

    def inventory_files(self) -> list[Path]:
        """Return the inventory files that exist, in the order of `INVENTORY_NAMES`."""
        return [path for name in INVENTORY_NAMES if (path := self.root / name).is_file()]


def machine_folders(root: Path) -> list[str]:
    """Return the machines of a project that have a folder, sorted."""
    folder = root / _MACHINES
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name[:1] != ".")


def find_root(start: Path) -> Path:
    """Return the nearest folder at or above ``start`` that has an inventory.

    Raises:
        Faults: When there is none.
    """
    start = start.resolve()
    for folder in (start, *start.parents):
        if Project(folder).inventory_files():
            return folder
    raise fault(
        f"no inventory in {start} or a folder above it",
        hint="create one: `rolecall init`, or name the project with `--project FOLDER`",
    )
