"""What the schema's tests share: a project with a module of its own; and `language_server`, importable."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import services
from rolecall.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable

    MakeProject = Callable[..., Project]

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def make_project(tmp_path: Path) -> MakeProject:
    # Called with the inventory's text and its file's name.
    def make(text: str, name: str = "inventory.toml") -> Project:
        project = Project(tmp_path)
        services.install(project.root, "schema", module="club")
        (tmp_path / name).write_text(text)
        return project

    return make
