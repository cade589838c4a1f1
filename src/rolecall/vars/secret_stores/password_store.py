"""The user's password store: pass(1), which encrypts each value with GnuPG to the keys in its ``.gpg-id``.

The project keeps ``pass:PATH``; the password store has the value under that path,
``rolecall/PROJECT/MACHINE/VAR/FILE/VERSION``. People who share the store (pass keeps it in git) share the secrets.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rolecall.errors import Where, fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rolecall.project import Project

_MARK: Final = b"pass:"
_INSTALL: Final = "install it: `apt install pass`, then `pass init YOUR-GPG-KEY`"


class Store:
    """The password store of the user.

    Args:
        project: The project; the name of its folder is a part of paths.
    """

    def __init__(self, project: Project) -> None:
        self._folder = f"rolecall/{project.root.resolve().name}"

    def recipients(self) -> Mapping[str, str]:
        """Return the GnuPG keys of the nearest ``.gpg-id`` at or above the folder, each as its own name."""
        root = Path(os.environ.get("PASSWORD_STORE_DIR") or Path.home() / ".password-store")
        for folder in (root / self._folder, (root / self._folder).parent, root):
            if (file := folder / ".gpg-id").is_file():
                keys = [line.partition("#")[0].strip() for line in file.read_text().splitlines()]
                return {key: key for key in keys if key}
        raise fault("password store not found", where=Where(root), hint="create it: `pass init YOUR-GPG-KEY`")

    def seal(self, place: str, value: bytes) -> bytes:
        """Insert the value, over standard input."""
        path = f"{self._folder}/{place}"
        _pass(["insert", "--multiline", "--force", path], f"{path} cannot be stored", value)
        return _MARK + path.encode() + b"\n"

    def open(self, sealed: bytes, file: Path) -> bytes:
        """Return the value."""
        return _pass(["show", _path(sealed)], "this secret cannot be read", where=Where(file))

    def drop(self, sealed: Iterable[bytes]) -> None:
        """Remove the values that exist."""
        for path in map(_path, sealed):
            if (Path(os.environ.get("PASSWORD_STORE_DIR") or Path.home() / ".password-store") / f"{path}.gpg").exists():
                _pass(["rm", "--force", path], f"{path} cannot be removed")


def _path(sealed: bytes) -> str:
    """Return the path that a sealed secret names; refuse any that `seal` does not write, such as an option."""
    path = sealed.removeprefix(_MARK).decode(errors="replace").strip()
    if not path.startswith("rolecall/") or ".." in path.split("/"):
        raise fault(f"{path!r} is not the path of a secret in a password store")
    return path


def _pass(words: Sequence[str], what: str, given: bytes = b"", where: Where | None = None) -> bytes:
    """Return what pass(1) prints.

    Raises:
        Faults: When it is not installed, or fails: with the last line of its errors, and never a value.
    """
    if not shutil.which("pass"):
        raise fault(f"{what}: pass is not installed", where=where, hint=_INSTALL)
    done = subprocess.run(["pass", *words], input=given, capture_output=True, check=False)
    if done.returncode:
        errors = done.stderr.decode(errors="replace").strip().splitlines()
        raise fault(f"{what}: {errors[-1] if errors else f'pass ended with status {done.returncode}'}", where=where)
    return done.stdout
