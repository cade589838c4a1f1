from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rolecall.project import Project
from rolecall.vars import create_identity

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    MakeProject = Callable[..., Project]


@pytest.fixture
def make_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeProject:
    monkeypatch.setenv("ROLECALL_IDENTITY", str(tmp_path / "identity"))
    root = tmp_path / "rolecall"  # a name that must not be mistaken for the program's own folder

    # Called with the inventory's text, and the texts of modules by their names.
    def make(inventory: str, /, **modules: str) -> Project:
        project = Project(root)
        project.modules.mkdir(parents=True, exist_ok=True)
        (root / "inventory.toml").write_text(inventory)
        for name, text in modules.items():
            (project.modules / f"{name}.py").write_text(text)
        if not (tmp_path / "identity").exists():
            create_identity(project, "me")
        return project

    return make
