"""Faults of inventories name their place and the nearest name; faults.txt has the table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import services
from rolecall import pipeline
from rolecall.errors import Faults
from rolecall.evaluate.explain import explanation
from rolecall.evaluate.members import resolve
from rolecall.evaluate.references import unknown_secrets
from rolecall.inventory.join import join
from rolecall.model.source import Source
from rolecall.service.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolecall.project import Project

    MakeProject = Callable[..., Project]

TEXT = Path(__file__).with_name("faults.txt").read_text()
TABLE = re.findall(r"^=== (\w+)\n(.*?)^---\n(.*?)\n(?==== |\Z)", TEXT, re.DOTALL | re.MULTILINE)

CLUB = services.code("club")

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


@pytest.mark.parametrize(("row", "expected"), [pytest.param(row, faults, id=name) for name, row, faults in TABLE])
def test_faults(make_project: MakeProject, row: str, expected: str) -> None:
    project = make_project(BASE + row, club=CLUB)
    with pytest.raises(Faults) as caught:
        pipeline.Workspace(project).check()
    assert str(caught.value).replace(f"{project.root}/", "") == expected


def test_the_table_is_read() -> None:
    assert len({(row, faults) for _, row, faults in TABLE}) >= 110


ALL = """
[instances.club.roles.talk]
settings.word = "hi"
"""


def warnings_of(project: Project) -> list[str]:
    return [str(warning).replace(f"{project.root}/", "") for warning in pipeline.Workspace(project).check().warnings]


def test_an_instance_without_members_is_a_warning(make_project: MakeProject) -> None:
    project = make_project('[machines.jon]\n[instances.backup.module]\nname = "borgbackup"\n')
    assert warnings_of(project) == [
        (
            "warning: the instance 'backup' has no members\n"
            "  at inventory.toml:2:12 instances.backup\n"
            "hint: give its roles machines or tags"
        )
    ]


def test_a_tag_without_machines_is_a_warning_with_the_nearest(make_project: MakeProject) -> None:
    assert warnings_of(make_project(BASE + ALL + "tags.quite = {}\n", club=CLUB)) == [
        (
            "warning: no machine has the tag 'quite'\n"
            "  at inventory.toml:13:6 instances.club.roles.talk.tags.quite\n"
            "hint: did you mean 'quiet'?"
        )
    ]


def test_a_tag_without_machines_is_a_warning_in_a_selection_too(make_project: MakeProject) -> None:
    project = make_project(BASE + "[tags]\nweb = { any = ['quiet', 'quite'] }\n" + ALL + "tags.web = {}\n", club=CLUB)
    assert warnings_of(project) == [
        (
            "warning: no machine has the tag 'quite'\n"
            "  at inventory.toml:11:25 tags.web.any[1]\n"
            "hint: did you mean 'quiet'?"
        )
    ]


@pytest.mark.parametrize(
    ("leaders", "message"),
    [
        ("", "the role 'lead' needs at least 1 machine, but has 0"),
        ("[instances.club.roles.lead]\ntags = ['all']", "the role 'lead' allows at most 1 machine, but has 3"),
    ],
)
def test_too_few_or_too_many_machines_are_shown_but_not_planned(
    make_project: MakeProject, leaders: str, message: str
) -> None:
    text = BASE.replace("[instances.club.roles.lead.machines.store]", leaders) + ALL + "tags.quiet = {}\n"
    project = make_project(text, club=CLUB)
    assert [fault["message"] for fault in pipeline.as_json(pipeline.Workspace(project).members())["warnings"]] == [
        message
    ]
    with pytest.raises(Faults, match=re.escape(message)):
        pipeline.Workspace(project).check()


WRAPPED = ["override", "order", "if", "merge"]
WORDS = ["var", "kind", "host", "port", "user", "password", "content", "contents", "priority", "condition", "_type"]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1, 200)
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "local", "remote", "auto", "a/b", "club.pass/passphrase", *WRAPPED]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(WORDS), below, max_size=4),
    max_leaves=8,
)
FIELDS = [
    *("word", "times", "names", "ports", "kind", "either", "peer", "others", "more", "baseDir", "colour", "pairs"),
    *("rest", "place", "places", "untold", "chosen", "login", "secret", "secrets", "_type", "content", "nothing"),
]
SETTINGS = st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=5)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    modules = tmp_path_factory.mktemp("project") / "modules"
    services.install(modules.parent, "club")
    return Registry(modules)


@given(SETTINGS, SETTINGS, SETTINGS)
def test_settings_are_valid_or_faults_with_a_place_that_is_written(
    registry: Registry, role: dict[str, Any], tag: dict[str, Any], machine: dict[str, Any]
) -> None:
    talk = {
        "settings": {"word": "hi", **role},
        "tags": {"quiet": {"settings": tag}},
        "machines": {"jon": {"settings": machine}},
    }
    data = {
        "machines": {"jon": {"tags": ["quiet"]}},
        "instances": {"club": {"module": {"input": "self"}, "roles": {"talk": talk}}},
    }
    loaded, faults = join([Source(Path("inventory.json"), data)])
    assert not faults
    try:
        membership = resolve(loaded, registry, {})
    except Faults as error:
        for fault in error.faults:
            assert fault.where
            written: Any = data
            for key in fault.where.keys:
                written = written[key]
    else:
        explanation(loaded, membership, ("club", "talk", "jon"), lambda where: where)
        unknown_secrets(loaded, membership)


def test_one_fault_names_all_members_that_lack_a_setting(make_project: MakeProject) -> None:
    machines = "".join(f"m{number} = {{}}\n" for number in range(7))
    text = BASE.replace("[machines]\n", "[machines]\n" + machines)
    own = "machines.m0.settings.loud = true\nmachines.m1.settings.times = 2\nmachines.m2.settings.word = 'a'\n"
    project = make_project(text + "[instances.club.roles.talk]\ntags.all = {}\n" + own, club=CLUB)
    with pytest.raises(Faults) as caught:
        pipeline.Workspace(project).check()
    [fault] = caught.value.faults
    assert fault.message == "jon, m0, m1 and 6 more lack the setting 'word' of club.talk"
    assert fault.where
    assert fault.where.keys == ("instances", "club", "roles", "talk")
