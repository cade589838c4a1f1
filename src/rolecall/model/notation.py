"""The notations in which an inventory can be written: the one table of them."""

from __future__ import annotations

from typing import Final, NamedTuple


class Notation(NamedTuple):
    """One notation.

    Attributes:
        name: Its name on the command line; `rolecall.inventory.printing.STYLES` has its style.
        suffixes: The suffixes of its files; the first one is that of new files.
        module: Its module in `rolecall.inventory.notations`, which reads it.
        written: Whether a module of the same name in `rolecall.inventory.writers` writes it; only people change files
            in other notations.
    """

    name: str
    suffixes: tuple[str, ...]
    module: str
    written: bool = False


NOTATIONS: Final = (
    Notation("toml", (".toml",), "toml", written=True),
    Notation("yaml", (".yaml", ".yml"), "yaml", written=True),
    Notation("json", (".json",), "json_text", written=True),
    Notation("nix", (".nix",), "nix"),
    Notation("python", (".py",), "python"),
)
