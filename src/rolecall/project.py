"""The folder of one project: where things stand in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rolecall.errors import Fault, Faults, Where, fault

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rolecall.model.generators import Asker, Question

TOOL_FILE = "inventory.json"  # written by tools; the user's own file overrides it
_MACHINES = "machines"
INVENTORY_SUFFIXES = (".toml", ".yaml", ".json", ".nix", ".py")
INVENTORY_NAMES = (*(f"inventory{suffix}" for suffix in INVENTORY_SUFFIXES), "inventory.yml", "clan.nix", "flake.nix")


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
    """Paths of a project; nothing is read or made by asking for them.

    Attributes:
        root: The folder with the inventory.
        nix: Whether Nix itself is to evaluate what is written in Nix; otherwise it is read as data.
        sandbox: Whether scripts of generators are confined.
        asker: Who answers what generators ask.
    """

    root: Path
    nix: bool = False
    sandbox: bool = True
    asker: Asker = unanswered

    @property
    def keys(self) -> Path:
        """Public keys of the admins, one ``NAME.pub`` each; and the pinned host keys."""
        return self.root / "keys"

    @property
    def known_hosts(self) -> Path:
        """Pinned host keys by machine name, in OpenSSH's known_hosts format (sshd(8))."""
        return self.keys / "known_hosts"

    @property
    def vars(self) -> Path:
        """What generators made; secrets encrypted."""
        return self.root / "vars"

    @property
    def modules(self) -> Path:
        """The project's own services."""
        return self.root / "modules"

    @property
    def machines(self) -> Path:
        """One folder per machine that has files of its own."""
        return self.root / _MACHINES

    @property
    def machine_folders(self) -> list[str]:
        """The machines that are declared by having a folder, sorted."""
        return machine_folders(self.root)

    @property
    def local(self) -> Path:
        """What concerns this checkout alone and is never committed."""
        return self.root / ".rolecall"

    @property
    def pending(self) -> Path:
        """Vars made for a plan and not yet promoted by an update."""
        return self.local / "pending"

    @property
    def renaming(self) -> Path:
        """The names of a machine, the old and the new one, while it is being renamed."""
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
        """The inventory files that exist, in the order of `INVENTORY_NAMES`."""
        return [path for name in INVENTORY_NAMES if (path := self.root / name).is_file()]


def machine_folders(root: Path) -> list[str]:
    """Return the machines of a project that have a folder, sorted."""
    folder = root / _MACHINES
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name[:1] != ".")


def find_root(start: Path) -> Path:
    """The nearest folder at or above ``start`` that holds an inventory.

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
