from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rolecall.project import Project
from rolecall.vars import create_identity

if TYPE_CHECKING:
    from collections.abc import Iterator

HOLDER = "me@example.org"  # of the key in the password store

sys.path.insert(0, str(Path(__file__).parent))  # for the modules that tests here share


@pytest.fixture(scope="session", autouse=True)
def _own_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.delenv("XDG_CONFIG_HOME", raising=False)
        patch.delenv("ROLECALL_IDENTITY", raising=False)
        # They make power loss harmless, which no test can cause; hundreds of them wait for everybody else's disk.
        patch.setattr(os, "sync", lambda: None)
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return _with_admin(tmp_path / "project")


@pytest.fixture(scope="module")
def project_once(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that tests of a module copy, for what takes long to prepare."""
    return _with_admin(tmp_path_factory.mktemp("once") / "project")


def _with_admin(root: Path) -> Project:
    project = Project(root)
    create_identity(project, "me")
    return project


@pytest.fixture(scope="session")
def gpg(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home of GnuPG with one key."""
    if not shutil.which("pass"):
        pytest.skip("pass is not installed")
    home = tmp_path_factory.mktemp("g")
    home.chmod(0o700)
    environment = os.environ | {"GNUPGHOME": str(home)}
    words = ["gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", HOLDER, "future-default"]
    subprocess.run([*words, "default", "never"], env=environment, check=True)
    yield home
    subprocess.run(["gpgconf", "--kill", "all"], env=environment, check=True)


@pytest.fixture
def password_store(gpg: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "password store"
    monkeypatch.setenv("GNUPGHOME", str(gpg))
    monkeypatch.setenv("PASSWORD_STORE_DIR", str(folder))
    subprocess.run(["pass", "init", HOLDER], check=True, capture_output=True)
    return folder
