"""What is declared for this machine, and what earlier runs have done: that must be taken back once it is undeclared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .tree import Tree

STATE = "var/lib/rolecall-zerotier"
Json = dict[str, Any]


class Problem(Exception):  # noqa: N818 - a person reads it, and it is not a fault of this program
    """Why something cannot be done; the message is for a person."""


class Declared:
    """What is declared.

    Args:
        folder: Where node.json, expected.json, controller.json and the files of moons are.
        root: The root directory, below which all paths are.

    Attributes:
        address: The node's address.
        networks: What the daemon may do for each network that it joins (`networks.d/ID.local.conf`), by id.
        expected: What it then has of each, by id.
        controlled: The networks that this machine controls, by id.
        moons: The content of the files of moons, by id.
    """

    def __init__(self, folder: Path, root: Path = Path("/")) -> None:
        node: Json = json.loads((folder / "node.json").read_text())
        self.address: str = node["address"]
        self.public: str = node["public"]
        self.networks: dict[str, str] = node["networks"]
        self.expected: dict[str, Json] = json.loads((folder / "expected.json").read_text())
        self.local: Json | None = node["local"]
        self.daemon: str = node["daemon"]
        self.controlled: dict[str, Json] = json.loads((folder / "controller.json").read_text())
        self.moons = {path.stem: path.read_bytes() for path in sorted(folder.glob("*.moon"))}
        self.home = Tree(root / node["home"].lstrip("/"))
        self.state = State(Tree(root / STATE))
        self._secret: Path = root / node["secret"].lstrip("/")

    def identity(self) -> bytes:
        """Return the text of the secret identity.

        Raises:
            Problem: When it is not on this machine.
        """
        try:
            return self._secret.read_bytes()
        except OSError as error:
            raise Problem(f"the identity of this machine is missing: {error}") from None


class State:
    """What earlier runs have placed, as state.json keeps it.

    Attributes:
        exists: Whether anything was placed.
        networks, controlled, moons: The ids of networks that were joined, of those that were controlled, and of moons.
        fresh: Whether the daemon's home folder was unused before the first run.
        local: Whether local.conf is ours.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        text = tree.read("state.json")
        try:
            found: Json = json.loads(text) if text else {}
        except ValueError as error:
            raise Problem(f"{tree.top}/state.json is damaged: {error}") from None
        self.exists = bool(found)
        self.networks: set[str] = set(found.get("networks", ()))
        self.controlled: set[str] = set(found.get("controlled", ()))
        self.moons: set[str] = set(found.get("moons", ()))
        self.fresh: bool = found.get("fresh", True)
        self.local: bool = found.get("local", False)

    def save(self) -> None:
        """Keep all of it."""
        ids = {"networks": self.networks, "controlled": self.controlled, "moons": self.moons}
        found: Json = {name: sorted(values) for name, values in ids.items()}
        self._tree.write("state.json", json.dumps({**found, "fresh": self.fresh, "local": self.local}).encode())
        self.exists = True

    def keep_original(self, name: str, content: bytes | None) -> None:
        """Keep what was in place of a file of ours; None for nothing."""
        if content is None:
            self._tree.remove(f"original/{name}")
        else:
            self._tree.write(f"original/{name}", content)

    def original(self, name: str) -> bytes | None:
        """Return what was in place of a file of ours; None for nothing."""
        return self._tree.read(f"original/{name}")

    def forget(self) -> None:
        """Remove all of it."""
        if self._tree.top.exists():
            self._tree.clear()
            self._tree.top.rmdir()
