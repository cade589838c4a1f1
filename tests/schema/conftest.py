"""What the schema's tests share: a project with a module of its own; and `language_server`, importable."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rolecall.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable

    MakeProject = Callable[..., Project]

sys.path.insert(0, str(Path(__file__).parent))

MODULE = """
from typing import Literal
from pydantic import Field
from rolecall.service import *

class Limits(Settings):
    soft: int = Field(10, ge=0, description="Where it warns.")
    hard: int | None = Field(None, description="Where it stops.")

class Says(Settings):
    word: str = Field(description="What is said.")
    times: int = Field(1, ge=1, le=9, description="How often.")
    tone: Literal["loud", "quiet"] = Field("quiet", description="How.")
    also: list[str] = Field([], min_length=0, description="What else.")
    limits: Limits = Field(Limits(), description="Bounds.")
    named: dict[str, Limits] = Field({}, description="Bounds by name.")
    secret: SecretRef | None = Field(None, description="Names a secret.")

service = Service("club", description="For tests of the schema.")
talk = service.role("talk", Says, description="Talks.")
lead = service.role("lead", description="Leads.")
"""


@pytest.fixture
def make_project(tmp_path: Path) -> MakeProject:
    # Called with the inventory's text and its file's name.
    def make(text: str, name: str = "inventory.toml") -> Project:
        project = Project(tmp_path)
        project.modules.mkdir(exist_ok=True)
        (project.modules / "club.py").write_text(MODULE)
        (tmp_path / name).write_text(text)
        return project

    return make
