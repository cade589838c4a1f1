"""What is wrong with an inventory is told with its place and the nearest name; faults.txt has the table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rolecall import pipeline
from rolecall.errors import Faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolecall.project import Project

    MakeProject = Callable[..., Project]

TEXT = Path(__file__).with_name("faults.txt").read_text()
TABLE = re.findall(r"^=== (\w+)\n(.*?)^---\n(.*?)\n(?==== |\Z)", TEXT, re.DOTALL | re.MULTILINE)

CLUB = """
from typing import Literal
from pydantic import Field, field_validator
from rolecall.service import AbsolutePath, Service, Settings

service = Service("club", description="For tests.")

class Address(Settings):
    host: str = Field(description="Where it is.")
    port: int = Field(22, ge=1, le=65535)

class TalkSettings(Settings):
    word: str = Field(description="What to say.")
    times: int = 1
    loud: bool = False
    volume: float = 1
    names: list[str] = []
    ports: set[int] = set()
    kind: Literal["ask", "tell"] = "tell"
    either: int | list[str] = 0
    peer: Address | None = None
    others: dict[str, Address] = {}
    more: list[Address] = []
    base_dir: AbsolutePath = AbsolutePath("/srv")

    @field_validator("word")
    @classmethod
    def _check(cls, word: str) -> str:
        if word == "cough":
            raise KeyError(word)
        if word == "":
            raise ValueError("say something")
        return word

lead = service.role("lead", description="One.", minimum=1, maximum=1)
talk = service.role("talk", TalkSettings, description="Any.")
"""

BASE = """
[machines]
jon.tags = ["quiet", "swift"]
sara.tags = ["quiet"]
store = {}
[instances.club.module]
name = "club"
input = "self"
[instances.club.roles.lead.machines.store]
"""


@pytest.mark.parametrize(("row", "expected"), [pytest.param(row, told, id=name) for name, row, told in TABLE])
def test_faults(make_project: MakeProject, row: str, expected: str) -> None:
    project = make_project(BASE + row, club=CLUB)
    with pytest.raises(Faults) as caught:
        pipeline.check(project)
    assert str(caught.value).replace(f"{project.root}/", "") == expected


def test_the_table_is_read() -> None:
    assert len(TABLE) > 40


ALL = """
[instances.club.roles.talk]
settings.word = "hi"
"""


def warnings_of(project: Project) -> list[str]:
    return [str(warning).replace(f"{project.root}/", "") for warning in pipeline.check(project).warnings]


def test_an_instance_without_members_is_a_warning(make_project: MakeProject) -> None:
    project = make_project('[machines.jon]\n[instances.backup.module]\nname = "borgbackup"\n')
    assert warnings_of(project) == [
        (
            "warning: the instance 'backup' has no members\n"
            "  at inventory.toml:2:12 instances.backup\n"
            "hint: give its roles machines or tags"
        )
    ]


def test_a_tag_that_nobody_has_is_a_warning_with_the_nearest(make_project: MakeProject) -> None:
    assert warnings_of(make_project(BASE + ALL + "tags.quite = {}\n", club=CLUB)) == [
        (
            "warning: no machine has the tag 'quite'\n"
            "  at inventory.toml:13:6 instances.club.roles.talk.tags.quite\n"
            "hint: did you mean 'quiet'?"
        )
    ]


@pytest.mark.parametrize(
    ("leaders", "message"),
    [
        ("", "the role 'lead' needs at least 1 machine, it has 0"),
        ("[instances.club.roles.lead]\ntags = ['all']", "the role 'lead' takes at most 1 machine, it has 3"),
    ],
)
def test_too_few_or_too_many_machines_are_shown_but_not_planned(
    make_project: MakeProject, leaders: str, message: str
) -> None:
    text = BASE.replace("[instances.club.roles.lead.machines.store]", leaders) + ALL + "tags.quiet = {}\n"
    project = make_project(text, club=CLUB)
    assert [fault["message"] for fault in pipeline.as_json(pipeline.members(project))["warnings"]] == [message]
    with pytest.raises(Faults, match=re.escape(message)):
        pipeline.check(project)
