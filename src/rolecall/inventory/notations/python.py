"""Read Python: a file that sets ``inventory`` to plain data. It is executed with the rights of Rolecall's user."""

from __future__ import annotations

import ast
import io
import tokenize
import traceback
from typing import TYPE_CHECKING, Any

from rolecall.errors import Fault, Faults, Where
from rolecall.inventory import wrapping
from rolecall.inventory.data import DEPTH, once, shown, syntax_fault
from rolecall.inventory.notations import trees

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rolecall.inventory.data import Keys
    from rolecall.inventory.notation import Comment, Position
    from rolecall.model.source import Source


def read(text: str, file: Path) -> Source:
    """Execute a file and return its ``inventory``.

    Raises:
        Faults: A syntax error, a key twice in one ``{…}``, an exception of the file's own code, no ``inventory``, or
            invalid data.
    """
    names: dict[str, Any] = {"__name__": "inventory", "__file__": str(file)}
    try:
        tree = ast.parse(text, str(file))
        code = compile(tree, str(file), "exec", dont_inherit=True)
    except SyntaxError as error:
        raise syntax_fault(f"Python: {error.msg}", error.lineno or 0, error.offset or 0) from None
    except (ValueError, MemoryError) as error:
        raise syntax_fault(f"Python: {error}") from None
    if twice := [*_twice(tree)]:
        places = trees.in_characters(text, (((str(key.value),), key.lineno - 1, key.col_offset) for key in twice))
        raise Faults(
            Fault(f"{shown(str(*name))} is set twice", Where(line=line, column=column), once(*name))
            for name, line, column in places
        )
    try:
        exec(code, names)  # noqa: S102 - the user's program; see the module's docstring
    except RecursionError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the file can raise anything
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise syntax_fault(f"the file raised {message}", (lines and lines[-1]) or 0) from None
    if "inventory" not in names:
        hint = "write `inventory = {…}` at the top level"
        raise syntax_fault("the file does not set `inventory`", hint=hint)
    return wrapping.source(file, names["inventory"])


def _twice(tree: ast.Module) -> Iterator[ast.Constant]:
    """Yield each key that its table has already; Python itself would silently use the last one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            seen: set[object] = set()
            for key in node.keys:
                if isinstance(key, ast.Constant):
                    if key.value in seen:
                        yield key
                    seen.add(key.value)


def positions(text: str) -> Iterator[Position]:
    """Yield where each key and item stands, in literals and in names that are set once to a literal."""
    return trees.in_characters(text, ((keys, node.lineno - 1, node.col_offset) for keys, node in _walk(text)))


def comments(text: str) -> Iterator[Comment]:
    """Yield every comment."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.start[1] + 1, token.string[1:]


def computes(text: str) -> bool:
    """Return whether the file is more than a literal."""
    match ast.parse(text).body:
        case [ast.Assign(targets=[ast.Name("inventory")], value=value)]:
            try:
                ast.literal_eval(value)
            except (ValueError, TypeError):
                return True
            return False
    return True


def _walk(text: str) -> Iterator[tuple[Keys, ast.expr]]:
    names: dict[str, ast.expr | None] = {}
    for statement in ast.parse(text).body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(name)], value=value)
                | ast.AnnAssign(target=ast.Name(name), value=ast.expr() as value)
            ):
                names[name] = None if name in names else value
    todo: list[tuple[ast.expr | None, Keys]] = [(names.get("inventory"), ())]
    while todo:
        node, keys = todo.pop()
        if isinstance(node, ast.Name) and len(keys) <= DEPTH:
            node = names.get(node.id)
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    yield (*keys, key.value), key
                    todo.append((value, (*keys, key.value)))
        elif isinstance(node, ast.List):
            for index, item in enumerate(node.elts):
                yield (*keys, index), item
                todo.append((item, (*keys, index)))
