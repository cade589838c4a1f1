"""A process that lives on: what a change touches is evaluated again, nothing else, and the outcome is the same."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import services
from rolecall import pipeline
from rolecall.errors import Faults
from rolecall.evaluate.memory import Memory
from rolecall.inventory.changes import Set

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rolecall.project import Project

    MakeProject = Callable[..., Project]

MODULE = services.code("echo")


def text(one: str = "a", two: str = "b", host: str = "ann.example", hearer: str = "ben") -> str:
    return f"""
[machines.ann]
deploy.targetHost = "{host}"
[machines.ben]
[machines.cleo]
[instances.one]
module = {{ name = "echo", input = "self" }}
roles.speaker.machines.ann.settings.word = "{one}"
roles.hearer.machines.{hearer} = {{}}
[instances.two]
module = {{ name = "echo", input = "self" }}
roles.speaker.machines.cleo.settings.word = "{two}"
roles.speaker.machines.ann = {{}}
"""


def write(file: Path, content: str) -> None:
    """Two edits in one tick of the clock would look like none."""
    stamp = file.stat().st_mtime_ns
    file.write_text(content)
    os.utime(file, ns=(stamp + 1_000_000, stamp + 1_000_000))


def ran(project: Project, memory: Memory) -> list[str]:
    """Evaluate, and tell which functions of the module ran."""
    for name, configured in pipeline.Workspace(project).evaluation().configured.items():
        assert pipeline.Workspace(project).evaluation_of([name]).configured == {name: configured}
    services.calls.clear()
    remembered = pipeline.Workspace(project, memory=memory).evaluation().configured
    found = sorted(services.calls)
    assert remembered == pipeline.Workspace(project).evaluation().configured
    return found


ONE = ["one.ann", "one.ben"]
TWO = ["two.ann", "two.cleo"]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (text(), []),
        (text(one="c"), ONE),  # who hears reads `two`, which says the same
        (text(two="c"), ["one.ben", *TWO]),
        (text(host="bob.example"), ["one.ben"]),  # nobody else asks for an address
        (text(hearer="cleo"), ["one.ann", "one.cleo"]),
        (text() + "[machines.dora]\ntags = ['x']\n", []),
        (text() + "[machines.cleo.state.x]\nfolders = ['/srv']\n", []),
    ],
)
def test_a_change_touches_what_it_touches(make_project: MakeProject, changed: str, expected: list[str]) -> None:
    project, memory = make_project(text(), echo=MODULE), Memory()
    assert ran(project, memory) == ONE + TWO
    write(project.root / "inventory.toml", changed)
    assert ran(project, memory) == expected
    assert ran(project, memory) == []


def test_a_new_secret_touches_who_uses_it(make_project: MakeProject) -> None:
    project, memory = make_project(text(), echo=MODULE), Memory()
    ran(project, memory)
    (version,) = project.pending.glob("per-machine/cleo/two.key/*/version")
    made = version.parents[1] / ".made"
    made.write_text(made.read_text().replace(version.read_text().strip(), "0123456789012345678901"))
    version.write_text("0123456789012345678901\n")
    assert ran(project, memory) == ["two.cleo"]


def test_another_module_is_loaded(make_project: MakeProject) -> None:
    project, memory = make_project(text(), echo=MODULE), Memory()
    ran(project, memory)
    write(project.modules / "echo.py", MODULE + "\n# edited\n")
    assert ran(project, memory) == ONE + TWO


@pytest.mark.parametrize(("one", "other"), [("true", "1"), ("1", "1.0"), ("1", "true"), ("[true]", "[1]")])
def test_values_that_python_takes_for_equal_are_a_change(make_project: MakeProject, one: str, other: str) -> None:
    def inventory(value: str) -> str:
        module = '{ name = "loose", input = "self" }'
        return f"[machines.ann]\n[instances.i]\nmodule = {module}\nroles.role.machines.ann.settings.value = {value}\n"

    project, memory = make_project(inventory(one), loose=services.code("loose")), Memory()
    pipeline.Workspace(project, memory=memory).evaluation()
    write(project.root / "inventory.toml", inventory(other))
    assert (
        pipeline.Workspace(project, memory=memory).evaluation().configured
        == pipeline.Workspace(project).evaluation().configured
    )


def test_an_edit_is_judged_though_python_takes_its_value_for_the_old_one(make_project: MakeProject) -> None:
    project = make_project(
        "[machines.ann]\n", echo=services.code("echo", ("    word: str", "    loud: bool = True\n    word: str"))
    )
    place = ("instances", "echo", "roles", "speaker", "machines", "ann", "settings", "loud")
    pipeline.edit(
        pipeline.Workspace(project), [Set(("instances", "echo", "module", "input"), "self"), Set(place, value=True)]
    )
    with pytest.raises(Faults, match="loud must be true or false, not the number 1"):
        pipeline.edit(pipeline.Workspace(project), [Set(place, 1)])


def test_a_fault_is_told_again(make_project: MakeProject) -> None:
    bad = services.code("echo", ('yield File(me.path("key")', 'yield File("key"'))
    project, memory = make_project(text(), echo=bad), Memory()
    for _ in range(2):
        with pytest.raises(Faults, match="not an absolute path"):
            pipeline.Workspace(project, memory=memory).evaluation()


def test_what_is_gone_is_forgotten(make_project: MakeProject) -> None:
    project, memory = make_project(text(), echo=MODULE), Memory()
    ran(project, memory)
    write(project.root / "inventory.toml", text(hearer="cleo"))
    ran(project, memory)
    ran(project, memory)
    write(project.root / "inventory.toml", text())
    assert "one.ben" in ran(project, memory)


@settings(max_examples=settings().max_examples // 4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.builds(text, one=st.sampled_from("ab"), two=st.sampled_from("ab"), hearer=st.sampled_from(["ben", "cleo"])),
        min_size=1,
        max_size=5,
    )
)
def test_memory_never_shows(make_project: MakeProject, versions: list[str]) -> None:
    project, memory = make_project(text(), echo=MODULE), Memory()
    for version in versions:
        write(project.root / "inventory.toml", version)
        ran(project, memory)  # it compares with an evaluation that remembers nothing


@pytest.mark.parametrize(
    ("machines", "expected"),
    [
        (["cleo"], ["two.cleo"]),
        (["ben"], ["one.ben", "one.ben"]),  # once more when it asked what `two` says
        (["dora"], []),
        (["dora", "cleo"], ["two.cleo"]),
    ],
)
def test_one_machine_costs_its_own_instances(
    make_project: MakeProject, machines: list[str], expected: list[str]
) -> None:
    project = make_project(text() + "[machines.dora]\n", echo=MODULE)
    services.calls.clear()
    found = pipeline.Workspace(project).evaluation_of(machines)
    assert sorted(found.configured) == sorted(machines)
    assert sorted(services.calls) == expected
