"""The modules of a project as a Python package.

In every project that package is `rolecall_project`: ``from rolecall_project.dns import Zone``. Behind this name each
project has a package of its own, so projects in one process never see one another's modules, and threads may import
from several projects at once.
"""

from __future__ import annotations

import builtins
import importlib
import re
import sys
import threading
import weakref
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder, SourceFileLoader
from itertools import count
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from pathlib import Path

PACKAGE = "rolecall_project"
_NAMING = threading.Lock()


class OwnPackage:
    """The package of a folder of modules; each module is loaded when it is first imported.

    Args:
        folder: The folder; it may be missing.
    """

    def __init__(self, folder: Path) -> None:
        with _NAMING:
            names = (f"{PACKAGE}_{number}" for number in count(1))
            self._name = next(name for name in names if name not in sys.modules)
            package = sys.modules[self._name] = ModuleType(self._name)
        package.__path__ = [str(folder)]
        importlib.invalidate_caches()  # files may be new
        weakref.finalize(self, _forget, self._name).atexit = False

    def load(self, name: str) -> ModuleType:
        """Return a module by its name; what its code raises is not caught."""
        return importlib.import_module(f"{self._name}.{name}")


def shown(text: str) -> str:
    """Return a text in which such a package has the name that its author knows."""
    return re.sub(rf"\b{PACKAGE}_\d+\b", PACKAGE, text)


def _is_own(package: str) -> bool:
    return package.rpartition("_")[0] == PACKAGE


def _forget(package: str) -> None:
    for name in list(sys.modules):  # a copy: other threads may import
        if name.partition(".")[0] == package:
            del sys.modules[name]


class _Finder(MetaPathFinder):
    """Finds the modules of such packages as Python does, for the loader below."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not _is_own(fullname.partition(".")[0]):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec and spec.origin and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(fullname, spec.origin)
        return spec


class _Loader(SourceFileLoader):
    """Runs a module in which an import of `PACKAGE` means its own package, also later, inside of functions."""

    def exec_module(self, module: ModuleType) -> None:
        package = module.__name__.partition(".")[0]

        def import_(
            name: str,
            globals: Mapping[str, object] | None = None,  # noqa: A002 - as __import__ calls them
            locals: Mapping[str, object] | None = None,  # noqa: A002
            fromlist: Sequence[str] = (),
            level: int = 0,
        ) -> ModuleType:
            if level == 0 and name.partition(".")[0] == PACKAGE:
                name = package + name.removeprefix(PACKAGE)
            return builtins.__import__(name, globals, locals, fromlist, level)

        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": import_}
        super().exec_module(module)

    def path_stats(self, path: str) -> NoReturn:
        """Refuse, so that byte code is neither read nor written.

        Python checks byte code against its source by second and size: after a quick edit, the earlier code would run.

        Raises:
            OSError: Always.
        """
        raise OSError(path)


sys.meta_path.insert(0, _Finder())
