"""The names of the pipeline (rolecall.pipeline)."""

from __future__ import annotations

import ast
from pathlib import Path

from rolecall import pipeline


def test_a_name_is_at_run_time_what_it_is_to_a_type_checker() -> None:
    tree = ast.parse(Path(str(pipeline.__file__)).read_text())
    declared = {
        alias.asname: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }
    assert len(declared) > 50
    assert declared == pipeline._MODULES  # noqa: SLF001 - the table that must agree
    for name in declared:
        assert getattr(pipeline, name) is not None


def test_no_name_is_that_of_a_module() -> None:
    """Importing the module would hide the function of the same name."""
    modules = {path.stem for path in Path(str(pipeline.__file__)).parent.glob("*.py")}
    assert modules.isdisjoint(pipeline._MODULES)  # noqa: SLF001 - as above
