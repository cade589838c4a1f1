"""Read YAML 1.2 without tags with ruamel.yaml; plain values are those of the core schema (yaml.org/spec/1.2.2, 10.3).

So dates are strings, and so are `1_000` and `0b1`, which YAML 1.1 and ruamel.yaml take for numbers.
"""

from __future__ import annotations

import re
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from rolecall.errors import Faults
from rolecall.inventory import wrapping
from rolecall.inventory.data import DEPTH, once, shown, syntax_fault
from rolecall.inventory.notations import trees

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import SafeConstructor
    from ruamel.yaml.nodes import MappingNode, ScalarNode
    from tree_sitter import Node

    from rolecall.inventory.data import Keys
    from rolecall.inventory.notation import Comment, Position
    from rolecall.model.source import Source


_EMPTY: Final = object()  # in place of a value that is not written

# By a pattern of ruamel.yaml's messages; its group replaces `{}`.
_HINTS: Final = {
    r"'\\t' that cannot start any token": "indent with spaces: YAML allows no tabs",
    "could not determine a constructor": "remove the tag (`!…`); an inventory is plain data",
    "found undefined alias '(.*)'": 'put text that starts with `*` in quotes: "*{}" (`*` starts an alias)',
    "while scanning an alias expected()": 'put text that starts with `*` in quotes: "*{}" (`*` starts an alias)',
    "found character '([@`%])' that cannot start any token": "put text that starts with `{}` in quotes",
    "expected <block end>": "indent this line like the others of its table, and check the lines above it",
    "mapping values are not allowed here": (
        "check the indentation of this line and of the one above; put text with `: ` in quotes"
    ),
}

_NUMBER: Final = re.compile(
    r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)

# tree-sitter-yaml 0.7 crashes on some 260 levels of indentation; each needs a column of its own.
_DEEP = re.compile(r"^[ \t?:-]{200}", re.MULTILINE)


def read(text: str, file: Path) -> Source:
    """Return the inventory in a YAML file.

    Raises:
        Faults: A syntax error, a key set twice, a tag, or invalid data.
    """
    from ruamel.yaml.error import MarkedYAMLError

    parser = _parser()
    try:
        whole = parser.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        message = " ".join(part for part in (error.context, error.problem) if part).split("\n")[0]
        if twice := re.search(r'found duplicate key "(.*?)" with value', message):
            raise syntax_fault(f"{shown(twice[1])} is set twice", line, column, hint=once(twice[1])) from None
        raise syntax_fault(f"YAML: {message}", line, column, hint=_hint(message)) from None
    except (RecursionError, Faults):
        raise
    except Exception as error:  # noqa: BLE001 - on odd input ruamel.yaml raises nearly anything
        message = re.sub(r"\s+", " ", str(error)) or type(error).__name__
        raise syntax_fault(f"YAML: {message}") from None
    empty = tuple(_emptied(whole)) if parser.constructor.found_empty else ()
    return wrapping.source(file, None if whole is _EMPTY else whole, empty)


def _emptied(whole: object) -> Iterator[Keys]:
    """Put null in place of missing values, and yield the key path of each; of a value with aliases, the first one."""
    seen: set[int] = set()
    todo: list[tuple[Any, Any, Keys]] = [([whole], 0, ())]
    while todo:
        around, at, keys = todo.pop()
        value = around[at]
        if value is _EMPTY:
            around[at] = None
            yield keys
        if not isinstance(value, dict | list) or id(value) in seen:
            continue
        seen.add(id(value))
        inside = value if isinstance(value, dict) else range(len(value))
        todo.extend((value, key, (*keys, key)) for key in reversed([*inside]))


def _parser() -> YAML:
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import SafeConstructor
    from ruamel.yaml.nodes import MappingNode
    from ruamel.yaml.scanner import Scanner

    class Constructor(SafeConstructor):  # type: ignore[misc, unused-ignore]
        """Follows the core schema, and distinguishes a missing value from an explicit null."""

        found_empty = False

        def construct_mapping(self, node: MappingNode, *more: Any, **options: Any) -> Any:  # noqa: ANN401 - theirs
            for key, _ in node.value:
                if not isinstance(key.value, str):
                    kind = "table" if isinstance(key, MappingNode) else "list"
                    place = (key.start_mark.line + 1, key.start_mark.column + 1)
                    raise syntax_fault(
                        f"this key is a {kind}, not a string", *place, hint="write a name before the `:`"
                    )
                if key.tag in {"tag:yaml.org,2002:null", "tag:yaml.org,2002:bool"}:  # Python writes these differently
                    problem = f"the key {shown(key.value)} is not a string" if key.value else "a key is missing here"
                    hint = "put it in quotes" if key.value else "write a name before the `:`"
                    raise syntax_fault(problem, key.start_mark.line + 1, key.start_mark.column + 1, hint=hint)
            return super().construct_mapping(node, *more, **options)

        def construct_yaml_null(self, node: ScalarNode) -> object:
            self.construct_scalar(node)
            self.found_empty |= node.value == ""
            return None if node.value else _EMPTY

    class Bounded(Scanner):
        """Limits the depth, in which the time to scan is quadratic."""

        def fetch_flow_collection_start(self, TokenClass: Any, to_push: str) -> None:  # noqa: N803, ANN401 - theirs
            if len(self.flow_context) >= DEPTH:
                raise RecursionError
            super().fetch_flow_collection_start(TokenClass, to_push)

    constructors = {
        "int": partial(_number, SafeConstructor.construct_yaml_int),
        "float": partial(_number, SafeConstructor.construct_yaml_float),
        "timestamp": SafeConstructor.construct_yaml_str,
        "value": SafeConstructor.construct_yaml_str,  # `=`
        "null": Constructor.construct_yaml_null,
    }
    for tag, construct in constructors.items():
        Constructor.add_constructor(f"tag:yaml.org,2002:{tag}", construct)
    parser = YAML(typ="safe", pure=True)
    parser.Constructor = Constructor
    parser.Scanner = Bounded
    return parser


def _number(
    construct: Callable[[SafeConstructor, ScalarNode], object], constructor: SafeConstructor, node: ScalarNode
) -> object:
    return (construct if _NUMBER.fullmatch(node.value) else type(constructor).construct_scalar)(constructor, node)


def _hint(message: str) -> str:
    """Return what to do about one of ruamel.yaml's messages, or ""."""
    matches = ((re.search(pattern, message), hint) for pattern, hint in _HINTS.items())
    return next((hint.format(match.group(match.lastindex or 0)) for match, hint in matches if match), "")


def positions(text: str) -> Iterator[Position]:
    """Yield where each key and item stands; nothing for a file nested so deeply that the grammar would crash."""
    if _DEEP.search(text):
        return iter(())
    return trees.in_characters(text, ((keys, *node.start_point) for keys, node in _walk(trees.parse("yaml", text))))


def comments(text: str) -> Iterator[Comment]:
    """Yield every comment."""
    return iter(()) if _DEEP.search(text) else trees.comments("yaml", text)


def computes(text: str) -> bool:
    """Return whether the file has aliases."""
    return not _DEEP.search(text) and any(node.type == "alias" for node in trees.walk(trees.parse("yaml", text)))


def _walk(tree: Node) -> Iterator[tuple[Keys, Node]]:  # noqa: C901 - a case per kind of node
    """Yield each key path with its node: first the node itself, then the nodes that aliases and merge keys name."""
    anchors = dict(_anchored(tree))
    todo: deque[tuple[Node, Keys]] = deque((node, ()) for node in trees.parts(tree) if node.type == "document")
    while todo:
        node, keys = todo.popleft()
        if len(keys) > DEPTH:  # an alias of what it stands in
            continue
        if node.type == "alias":
            todo.extend((each, keys) for each in (anchors.get(trees.text(node)[1:]),) if each)
        elif node.type in {"block_mapping", "flow_mapping"}:
            for pair in trees.parts(node):
                key = pair.child_by_field_name("key")
                value = pair.child_by_field_name("value")
                name = name_of(key or pair)
                if key is not None and trees.text(key) == "<<" and value:  # a quoted one is a key as any other
                    todo.extend((each, keys) for each in _merged(value))
                    continue
                yield (*keys, name), key or pair
                if value is not None:
                    todo.append((value, (*keys, name)))
        elif node.type in {"block_sequence", "flow_sequence"}:
            for index, item in enumerate(trees.parts(node)):
                inner = trees.parts(item)[0] if item.type == "block_sequence_item" and trees.parts(item) else item
                yield (*keys, index), inner
                todo.append((inner, (*keys, index)))
        elif node.type in {"document", "block_node", "flow_node"}:
            todo.extend((child, keys) for child in trees.parts(node))


def _anchored(tree: Node) -> Iterator[tuple[str, Node]]:
    """Yield every node with an anchor, and the anchor's name."""
    for node in trees.walk(tree):
        if node.type == "anchor" and node.parent:
            yield trees.text(node)[1:], node.parent


def _merged(value: Node) -> list[Node]:
    """Return the tables that a merge key (`<<`) names: one, or several in a list, of which the first wins."""
    while value.type in {"block_node", "flow_node", "block_sequence_item"} and trees.parts(value):
        value = trees.parts(value)[-1]
    return trees.parts(value) if value.type in {"block_sequence", "flow_sequence"} else [value]


def name_of(key: Node) -> str:
    """Return the name in the node of a key, without its quotes."""
    written = trees.text(key).strip(" \t\r\n")  # YAML's white space, no more
    if written[:1] in {'"', "'"}:
        value = _parser().load(written)
        return value if isinstance(value, str) else written
    return written
