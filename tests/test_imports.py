"""No module imports another that imports it, for types neither; and the table of notations is the only one."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from grimp import build_graph

from rolecall.inventory.notation import NOTATIONS
from rolecall.inventory.printing import STYLES
from rolecall.project import INVENTORY_NAMES
from rolecall_agent.resources import KINDS

SOURCE = Path(__file__).parents[1] / "src"
PACKAGES = ("rolecall", "rolecall_agent", "rolecall_services")


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
    known = build_graph(*PACKAGES, cache_dir=None)
    assert len(known.modules) > 100
    graph = {name: known.find_modules_directly_imported_by(name) for name in known.modules}
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
        text = path.read_text()
        if path.parent.name != "resources" and any(name in text for name in names):
            used = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
            assert used & names <= allowed.get(path.stem, set()), path
