"""Loading a text as if it were a project."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from rolecall.errors import Faults
from rolecall.inventory import load
from rolecall.project import Project

if TYPE_CHECKING:
    from rolecall.model.inventory import Loaded


sys.path.insert(0, str(Path(__file__).parent))  # for the modules that tests here share


class Load(Protocol):
    """Writes inventory files into an empty project and loads it."""

    def __call__(self, text: str | bytes = "", name: str = "inventory.nix", **more: str) -> Loaded: ...


@pytest.fixture
def loading(tmp_path: Path) -> Load:
    def run(text: str | bytes = "", name: str = "inventory.nix", **more: str) -> Loaded:
        (tmp_path / name).write_bytes(text.encode() if isinstance(text, str) else text)
        for notation, content in more.items():
            (tmp_path / f"inventory.{notation}").write_text(content)
        return load(Project(tmp_path))

    return run


class FaultsOf(Protocol):
    """The faults of an inventory as a person sees them, without the folder's name."""

    def __call__(self, text: str | bytes = "", name: str = "inventory.nix", **more: str) -> str: ...


@pytest.fixture
def faults_of(loading: Load, tmp_path: Path) -> FaultsOf:
    def run(text: str | bytes = "", name: str = "inventory.nix", **more: str) -> str:
        with pytest.raises(Faults) as caught:
            loading(text, name, **more)
        return str(caught.value).replace(f"{tmp_path}/", "")

    return run
