"""Numbers that an inventory cannot hold are faults with a place and a hint of ours, in every notation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rolecall.errors import Faults
from rolecall.inventory import load
from rolecall.inventory.notations.json_text import value
from rolecall.project import Project

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = {
    "inventory.toml": "[meta]\nname = 'x'\ndescription = NUMBER\n",
    "inventory.yaml": "meta:\n  name: x\n  description: NUMBER\n",
    "inventory.json": '{"meta":\n {"name": "x",\n "description": NUMBER}}',
    "inventory.nix": '{ meta.name = "x";\n\nmeta.description = NUMBER; }',
    "inventory.py": "inventory = {'meta': {\n 'name': 'x',\n 'description': NUMBER}}",
}
HUGE = "9" * 5000


def fault_of(folder: Path, name: str, number: str) -> str:
    (folder / name).write_text(TEXTS[name].replace("NUMBER", number))
    with pytest.raises(Faults) as caught:
        load(Project(folder))
    return str(caught.value).replace(f"{folder}/", "")


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("number", [HUGE, "9" * 25, "-" + HUGE])
def test_an_integer_beyond_64_bits(tmp_path: Path, name: str, number: str) -> None:
    if (name, number[0]) == ("inventory.nix", "-"):
        pytest.skip("the reader of Nix knows no negative numbers")
    message = fault_of(tmp_path, name, number)
    assert message.startswith(("error: the number does not fit in 64 bits\n", "error: the number 99999"))
    assert f"  at {name}:3:" in message
    assert "hint: " in message
    assert "sys." not in message


@pytest.mark.parametrize(
    ("name", "number"),
    [
        *(("inventory.toml", number) for number in ("inf", "-inf", "+inf", "nan", "-nan", "1e999")),
        *(("inventory.yaml", number) for number in (".inf", "-.inf", "+.Inf", ".NaN", "1e999")),
        *(("inventory.json", number) for number in ("Infinity", "-Infinity", "NaN", "1e999")),
        *(("inventory.py", number) for number in ("1e999", "-1e999", "float('nan')", "[1, float('inf')]")),
    ],
)
def test_infinity_and_nan_are_faults(tmp_path: Path, name: str, number: str) -> None:
    message = fault_of(tmp_path, name, number)
    assert " is not a finite number\n" in message
    assert f"  at {name}:3:" in message


def test_a_long_text_of_digits_is_fine(tmp_path: Path) -> None:
    for name, text in TEXTS.items():
        (tmp_path / name).write_text(text.replace("NUMBER", f'"{HUGE}"'))
        assert load(Project(tmp_path)).inventory.meta.description == HUGE
        (tmp_path / name).unlink()


@pytest.mark.parametrize("text", [HUGE, f'{{"a": {HUGE}}}', "1e999", "NaN", "-Infinity"])
def test_a_value_on_the_command_line(text: str) -> None:
    with pytest.raises(Faults) as caught:
        value(text)
    assert "sys." not in str(caught.value)
    assert "hint: " in str(caught.value)


@pytest.mark.parametrize("text", ["inf", ".inf", "Infinity1"])
def test_text_that_is_not_json_is_a_text(text: str) -> None:
    assert value(text) == text
