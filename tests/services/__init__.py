"""Services that tests install as modules of a project. Each file says what it is for.

They are linted, formatted and type-checked like the services that users get.
"""

from pathlib import Path

FOLDER = Path(__file__).parent

calls: list[str] = []  # what services here record; a service that is loaded again appends to the same list


def code(name: str, *changes: tuple[str, str]) -> str:
    """Return the text of the service in NAME.py, changed: each old text, which must occur once, becomes the new one."""
    text = (FOLDER / f"{name}.py").read_text()
    for old, new in changes:
        assert text.count(old) == 1, f"{name}.py does not have {old!r} once"
        text = text.replace(old, new)
    return text


def install(root: Path, name: str, *changes: tuple[str, str], module: str | None = None) -> Path:
    """Write the service in NAME.py, changed, as a module of the project at this root; return the module's path."""
    path = root / "modules" / f"{module or name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(code(name, *changes))
    return path
