"""Fuzzes one reader, guided by its coverage: `python fuzz.py NAME RUNS SEED` ends with 0 unless it crashes or hangs.

What is tried is the whole way of a file: reading, the shape, the places of the faults, and conversion of what is sound.
"""

# mypy: disable-error-code="no-untyped-call, attr-defined"

from __future__ import annotations

import resource
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["rolecall.inventory", "rolecall.errors"]):
    from rolecall.errors import Faults
    from rolecall.inventory import load
    from rolecall.inventory.convert import convert
    from rolecall.inventory.notation import NOTATIONS
    from rolecall.inventory.notations import json_text, nix, python, toml, yaml  # noqa: F401 - else loaded when used
    from rolecall.project import Project

from notated import STARTS

MEMORY = 2 * 1024**3  # bytes
SECONDS = 20  # for one input


def main() -> None:
    """Feed mutated inventories."""
    name, runs, seed = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    folder = Path(tempfile.mkdtemp())
    corpus, project = folder / "corpus", folder / "project"
    corpus.mkdir()
    project.mkdir()
    for number, text in enumerate(STARTS):
        (corpus / str(number)).write_text(text)

    def read(content: bytes) -> None:
        (project / name).write_bytes(content)
        try:
            load(Project(project))
            for notation in NOTATIONS:
                convert(Project(project), notation)
        except Faults as faults:
            str(faults)

    options = [f"-runs={runs}", f"-seed={seed}", f"-timeout={SECONDS}", "-max_len=4096", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={folder}/", str(corpus)], read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
