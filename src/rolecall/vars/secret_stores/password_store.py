"""The person's password store: pass(1), which encrypts each value with GnuPG to the keys in its ``.gpg-id``.

In the project stands ``pass:PATH``, and the value in the password store under that path:
``rolecall/PROJECT/MACHINE/VAR/FILE/VERSION``. Who shares the store (pass keeps it in git) shares the secrets.
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
    """The password store of who runs this.

    Args:
        project: Its folder's name is a part of paths.
    """

    def __init__(self, project: Project) -> None:
        self._folder = f"rolecall/{project.root.resolve().name}"

    def readers(self) -> Mapping[str, str]:
        """The GnuPG keys of the nearest ``.gpg-id`` at or above the folder; they are their own names."""
        root = Path(os.environ.get("PASSWORD_STORE_DIR") or Path.home() / ".password-store")
        for folder in (root / self._folder, (root / self._folder).parent, root):
            if (file := folder / ".gpg-id").is_file():
                keys = [line.partition("#")[0].strip() for line in file.read_text().splitlines()]
                return {key: key for key in keys if key}
        raise fault("there is no password store", where=Where(root), hint="make yours with `pass init YOUR-GPG-KEY`")

    def seal(self, place: str, value: bytes) -> bytes:
        """Inserts the value; it goes over standard input."""
        path = f"{self._folder}/{place}"
        _pass(["insert", "--multiline", "--force", path], f"{path} cannot be kept", value)
        return _MARK + path.encode() + b"\n"

    def open(self, sealed: bytes, file: Path) -> bytes:
        """Shows the value, to us alone."""
        return _pass(["show", _path(sealed)], "this secret cannot be read", where=Where(file))

    def drop(self, sealed: Iterable[bytes]) -> None:
        """Removes the values; those that are not there are gone already."""
        for path in map(_path, sealed):
            if (Path(os.environ.get("PASSWORD_STORE_DIR") or Path.home() / ".password-store") / f"{path}.gpg").exists():
                _pass(["rm", "--force", path], f"{path} cannot be removed")


def _path(sealed: bytes) -> str:
    """The path; one that would be an option is none of ours."""
    path = sealed.removeprefix(_MARK).decode(errors="replace").strip()
    if not path.startswith("rolecall/") or ".." in path.split("/"):
        raise fault(f"{path!r} is no path of a secret in a password store")
    return path


def _pass(words: Sequence[str], what: str, given: bytes = b"", where: Where | None = None) -> bytes:
    """What pass(1) prints.

    Raises:
        Faults: When there is none, or it fails; with the last line that it said, and nothing of a value.
    """
    if not shutil.which("pass"):
        raise fault(f"{what}: there is no pass", where=where, hint=_INSTALL)
    done = subprocess.run(["pass", *words], input=given, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise fault(f"{what}: {said[-1] if said else f'pass ended with status {done.returncode}'}", where=where)
    return done.stdout
