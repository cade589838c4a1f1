"""No module imports another that imports it, for types neither; and the table of notations is the only one."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

from rolecall.inventory.notation import NOTATIONS
from rolecall.inventory.printing import STYLES
from rolecall.project import INVENTORY_NAMES
from rolecall_agent.resources import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(__file__).parents[1] / "src"
PACKAGES = ("rolecall", "rolecall_agent", "rolecall_services")


def modules() -> dict[str, Path]:
    """Every module by its full name."""
    found = {}
    for package in PACKAGES:
        for path in (SOURCE / package).rglob("*.py"):
            if "tests" not in path.relative_to(SOURCE).parts:
                name = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
                found[name.removesuffix(".__init__")] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """The modules of ours that a module names in imports, wherever these stand."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else node.module for name in names]
        yield from (name for name in names if name in known)


def cycle(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_a_cycle_is_found() -> None:
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}})
    assert not cycle({"a": {"b"}, "b": {"c"}, "c": set()})


def test_no_module_imports_one_that_imports_it() -> None:
    known = modules()
    assert len(known) > 100
    graph = {name: set(imports(path, known)) for name, path in known.items()}
    assert graph["rolecall.pipeline.plans"] > {"rolecall.deploy.fleet", "rolecall.pipeline.evaluation"}
    assert cycle(graph) == []


def test_one_table_of_notations() -> None:
    assert STYLES.keys() == NOTATIONS.keys() - {"json"}  # which the standard library prints
    suffixes = {suffix for notation in NOTATIONS.values() for suffix in notation.suffixes}
    assert {f"inventory{suffix}" for suffix in suffixes} == {
        name for name in INVENTORY_NAMES if name[:9] == "inventory"
    }
    for notation in NOTATIONS.values():
        assert callable(notation.reader.read)
        assert not notation.written or callable(notation.writer.change)


def test_the_agent_asks_nothing_about_a_kind_that_another_kind_cannot_answer() -> None:
    """Outside of their package, only the base class of resources is named; so a kind is added in one file."""
    names = set(KINDS.values())
    allowed = {"boot": {"Unit"}, "configuration": {"File"}}  # which makes one; which reads it without a rule
    for path in sorted((SOURCE / "rolecall_agent").rglob("*.py")):
        if path.parent.name != "resources":
            used = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
            assert used & names <= allowed.get(path.stem, set()), path
