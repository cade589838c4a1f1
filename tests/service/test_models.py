"""What the models of a service must keep, so that every mistake in settings is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rolecall import pipeline
from rolecall.errors import Faults
from rolecall.project import Project

if TYPE_CHECKING:
    from pathlib import Path

HEAD = """
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, NamedTuple, Optional, TypeVar
from typing_extensions import TypedDict
from pydantic import BaseModel, ConfigDict, Field, RootModel
from pydantic.dataclasses import dataclass as pydantic_dataclass
from rolecall.service import Interface, Service, Settings

service = Service("mine", description="For tests.")
"""
INVENTORY = """
[machines.a]
[instances.mine]
module.input = "self"
roles.r.machines.a.settings = { SETTINGS }
"""


def told(folder: Path, module: str, settings: str = "") -> str:
    """What is wrong with a module or with settings of its role, as `rolecall check` tells it; "" when nothing is."""
    (folder / "modules").mkdir()
    module = HEAD + module + "\nservice.role('r', S, description='')\n"
    (folder / "modules" / "mine.py").write_text(module)
    (folder / "inventory.toml").write_text(INVENTORY.replace("SETTINGS", settings))
    try:
        pipeline.Workspace(Project(folder)).check()
    except Faults as error:
        return str(error).replace(f"{folder}/", "")
    return ""


PLAIN = "class Plain(BaseModel):\n    n: int = 0\n\n"


@pytest.mark.parametrize(
    ("classes", "annotation"),
    [
        (PLAIN, "Plain"),
        (PLAIN, "Plain | None"),
        (PLAIN, "Optional[Plain]"),
        (PLAIN, "list[Plain]"),
        (PLAIN, "dict[str, Plain]"),
        (PLAIN, "dict[str, list[tuple[int, Plain]]]"),
        (PLAIN, "int | Annotated[Plain, Field(description='x')]"),
        (PLAIN, "'Plain'"),
        (PLAIN.replace("n: int", "kind: Literal['a'] = 'a'\n    n: int"), "Annotated[Plain, Field()] | str"),
        ("class Plain(BaseModel):\n    model_config = ConfigDict(extra='allow')\n    n: int = 0\n", "Plain"),
        ("class Plain(BaseModel):\n    model_config = ConfigDict(strict=True, extra='forbid')\n", "Plain"),
        ("@dataclass\nclass Plain:\n    n: int = 0\n", "Plain"),
        ("@pydantic_dataclass\nclass Plain:\n    n: int = 0\n", "Plain"),
        ("class Plain(TypedDict):\n    n: int\n", "Plain"),
        ("class Plain(NamedTuple):\n    n: int\n", "Plain"),
        (PLAIN + "class Inner(Settings):\n    x: list[Plain] = []\n", "Inner"),
        (PLAIN + "class Inner(RootModel[list[Plain]]):\n    model_config = ConfigDict(strict=True)\n", "Inner"),
    ],
)
def test_a_table_inside_settings_is_strict_too(tmp_path: Path, classes: str, annotation: str) -> None:
    said = told(tmp_path, f"{classes}class S(Settings):\n    y: int = 0\n    x: {annotation}\n")
    lines = (tmp_path / "modules/mine.py").read_text().splitlines()
    owner = "Inner" if "class Inner(Settings)" in classes else "S"
    line = next(n for n, text in enumerate(lines, 1) if text.startswith("    x: "))
    assert said.startswith(
        f"error: the module 'mine' of modules/mine.py breaks the contract: modules/mine.py:{line}: {owner}.x: "
        "the table Plain must be a class below Settings\n"
    )
    assert "hint: see 'What settings can be' in docs/reference/services.md" in said


@pytest.mark.parametrize(
    ("module", "problem"),
    [
        (
            "class S(Settings):\n    model_config = ConfigDict(extra='ignore')\n",
            "mine.py:10: S: S must keep extra='forbid' or extra='allow'",
        ),
        (
            "class S(Settings):\n    model_config = ConfigDict(strict=False)\n",
            "mine.py:10: S: S must keep strict=True",
        ),
        (
            "class S(Settings):\n    model_config = ConfigDict(frozen=False)\n",
            "mine.py:10: S: S must keep frozen=True",
        ),
        (
            "class N(RootModel[int]): pass\nclass S(Settings):\n    x: N\n",
            "mine.py:12: S.x: the RootModel N must set strict=True",
        ),
        (
            "class S(Settings):\n    x: float = float('inf')\n",
            "mine.py:11: S.x: default=inf holds a number that JSON does not have",
        ),
        (
            "class S(Settings):\n    x: float = Field(0, ge=float('-inf'))\n",
            "mine.py:11: S.x: ge=-inf holds a number that JSON does not have",
        ),
        (
            "class S(Settings):\n    x: dict[str, list[Any]] = {'a': [1, float('nan')]}\n",
            "mine.py:11: S.x: default={'a': [1, nan]} holds a number that JSON does not have",
        ),
        (
            (
                "class I(Interface):\n    x: float = float('-inf')\nclass S(Settings): pass\n"
                "service.role('e', description='').exports(I)(list)\n"
            ),
            "mine.py:11: I.x: default=-inf holds a number that JSON does not have",
        ),
        *(
            (
                f"from rolecall.service import *\nclass S(Settings):\n    x: Annotated[{of}, {mark}]\n",
                f"mine.py:12: S.x: the mark `{mark}` does not fit: it is for {fits}, not for {form}",
            )
            for of, mark, fits, form in (
                ("str", "unique", "lists", "str"),
                ("dict[str, int]", "unique", "lists", "dict"),
                ("int", "join", "lists and tables", "int"),
                ("str", "replace", "lists and tables", "str"),
                ("list[str]", "lines", "strings", "list"),
                ("int | bool | None", "lines", "strings", "bool or int"),
            )
        ),
    ],
)
def test_models_that_would_let_mistakes_pass(tmp_path: Path, module: str, problem: str) -> None:
    assert f"breaks the contract: modules/{problem}\n" in told(tmp_path, module)


@pytest.mark.parametrize(
    "annotation",
    [
        "Annotated[list[str], unique] | None",
        "Annotated[list[str] | None, unique]",
        "Annotated[set[int], unique, Field(min_length=1)]",
        "Annotated[str, lines, Field(max_length=9)]",
        "list[Annotated[str, lines]]",
        "Annotated[str | int, lines]",
        "Annotated[dict[str, list[int]], replace]",
        "Annotated[Inner, replace]",
        "Annotated[list[Inner], join]",
        "Annotated[Any, replace]",
        "Annotated['S | None', replace]",
    ],
)
def test_marks_that_fit(tmp_path: Path, annotation: str) -> None:
    classes = f"class Inner(Settings):\n    y: int = 0\nclass S(Settings):\n    x: {annotation} = None\n"
    assert told(tmp_path, f"from rolecall.service import *\n{classes}") == ""


def test_all_mistakes_of_a_model_are_told(tmp_path: Path) -> None:
    module = PLAIN + "class S(Settings):\n    x: Plain = Plain()\n    y: list[Plain] = []\n"
    said = told(tmp_path, module)
    assert "mine.py:14: S.x: the table Plain must be" in said
    assert "; modules/mine.py:15: S.y: the table Plain must be" in said.replace(str(tmp_path) + "/", "")


GOOD = """
T = TypeVar("T")

class Inner(Settings):
    n: int = 0
    again: "list[Inner]" = []

class Of(Settings, Generic[T]):
    it: T

class Numbers(RootModel[list[int]]):
    model_config = ConfigDict(strict=True)

class S(Settings):
    inner: Inner = Inner()
    some: dict[str, Inner | None] = {}
    of: Of[int] | None = None
    numbers: Numbers = Numbers([])
    pair: tuple[int, str] = (1, "a")
"""


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ("inner.n = 1, some.a.again = [{ n = 2 }], of.it = 3, numbers = [4], pair = [5, 'b']", ""),
        ("inner.n = '1'", "error: inner.n must be a whole number, not the string '1'\n  at inventory.toml:5:"),
        ("inner.m = 1", "error: the role 'r' of mine has no setting 'inner.m'\n  at inventory.toml:5:"),
        ("some.a.again = [{}, { n = true }]", "error: some.a.again[1].n must be a whole number, not true\n"),
        ("of.it = '3'", "error: of.it must be a whole number, not the string '3'\n"),
        ("numbers = ['4']", "error: numbers[0] must be a whole number, not the string '4'\n"),
        ("pair = ['5', 'b']", "error: pair[0] must be a whole number, not the string '5'\n"),
    ],
)
def test_what_stands_in_a_table_is_checked(tmp_path: Path, settings: str, fault: str) -> None:
    said = told(tmp_path, GOOD, settings)
    assert (said.startswith(fault), bool(said)) == (True, bool(fault))
