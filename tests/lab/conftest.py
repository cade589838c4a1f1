from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from rolecall.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator


class LabFactory(Protocol):
    def __call__(self, *machines: str, disk: bool = False) -> Lab: ...


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What uses a lab is marked ``lab``, and skipped with the reason where none can run."""
    reason = Lab.available()
    here = Path(__file__).parent
    for item in items:
        used = {"lab", "lab_factory"} & set(getattr(item, "fixturenames", ()))
        if used and item.path.is_relative_to(here):
            item.add_marker(pytest.mark.lab)
        if reason and item.get_closest_marker("lab"):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def lab_factory() -> Iterator[LabFactory]:
    """Boots labs that end with the session, or with this process."""
    with ExitStack() as ends:

        def boot(*machines: str, disk: bool = False) -> Lab:
            folder = ends.enter_context(tempfile.TemporaryDirectory(prefix="lab-"))
            return ends.enter_context(Lab(Path(folder) / "a project/.rolecall/lab", machines, disk=disk))

        yield boot


@pytest.fixture(scope="session")
def lab(lab_factory: LabFactory) -> Lab:
    """Two machines for tests that leave them running as they were."""
    return lab_factory("web", "backup_server")
