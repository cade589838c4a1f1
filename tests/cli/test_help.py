"""The help of every command can be read in a terminal of 80 columns, in plain English."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click
import pytest

from rolecall.cli import COMMANDS, rolecall

if TYPE_CHECKING:
    from collections.abc import Iterator

SUMMARY = 55  # characters
STIFF = re.compile(
    r"\b(?:is|are) no [a-z]|\bit is not said\b|\bnobody is there\b|\bmade? anew\b|\bas long as may be\b|\blets? go of\b"
    r"|\b(?:tells?|told) (?:of|that|what|it|who)\b|\bof a sudden\b|\bfor the rest\b|\bwho has had\b",
    re.IGNORECASE,
)


def commands(group: click.Group = rolecall, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command
        yield " ".join((*path, name)), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


ALL = dict(commands())


def test_all_commands_are_looked_at() -> None:
    assert ALL.keys() > {*COMMANDS, "vars list", "machines pin", "lab up", "inventory set", "keys create"}


@pytest.mark.parametrize("name", ALL)
def test_a_summary_is_one_short_sentence(name: str) -> None:
    help_text = ALL[name].help or ""
    summary, _, details = help_text.partition("\n")
    assert re.fullmatch(r"[A-Z][a-z]+,? .*[^.…]\.", summary), summary
    assert len(summary) <= SUMMARY, summary
    assert not details or details.startswith("\n"), "the summary is a paragraph of its own"
    assert ALL[name].get_short_help_str(SUMMARY) == summary  # as lists of commands show it


@pytest.mark.parametrize("name", ["", *ALL])
def test_help_is_plain(name: str) -> None:
    command = ALL[name] if name else rolecall
    text = command.get_help(click.Context(command, info_name=f"rolecall {name}".strip()))
    assert not STIFF.search(text), text
    assert "\\" not in text  # a mark for click that is not one
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert re.fullmatch(r"[A-Z].*\.", parameter.help or ""), parameter.name
