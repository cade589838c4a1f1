"""Answers to the prompts of generators: from a file or the environment, and from a person for the rest."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from rolecall.cli.output import tell
from rolecall.errors import Fault, plural, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from rolecall.model.generators import Asker, Question

VARIABLE = "ROLECALL_ANSWERS"


def asker(file: Path | None) -> Asker:
    """Return what answers from a file or the JSON text in ``$ROLECALL_ANSWERS``, and asks at a terminal for the rest.

    Args:
        file: JSON: an object of strings by ``MACHINE/VAR/PROMPT``.
    """

    def ask(questions: Sequence[Question]) -> Mapping[Question, bytes]:

        known = _known(file)
        answers = {question: known[str(question)].encode() for question in questions if str(question) in known}
        for question, answer in answers.items():
            if question.prompt.kind != "multiline" and answer.endswith(b"\n"):
                hint = "leave it out of the answer, unless it belongs to the value"
                tell([Fault(f"the answer to {question} ends with a newline", hint=hint, warning=True)], as_json=False)
        left = [question for question in questions if question not in answers]
        if left and not sys.stdin.isatty():
            from rolecall.pipeline import unanswered

            return unanswered(left)
        return answers | dict(_asked(left))

    return ask


def _known(file: Path | None) -> Mapping[str, str]:
    from rolecall.pipeline import read_answers

    if file is None and VARIABLE not in os.environ:
        return {}
    return read_answers(file or os.environ[VARIABLE], "the answers" if file else VARIABLE)


def _asked(questions: Sequence[Question]) -> Iterable[tuple[Question, bytes]]:
    """Prompt a person on standard error, since standard output has the command's result."""
    if questions:
        click.echo(f"{plural(len(questions), 'prompt')} to answer:", err=True)
    for question in questions:
        prompt = question.prompt
        text = printable(f"{question} (for {question.origin}): {prompt.description}")
        if prompt.kind == "multiline":
            click.echo(f"{text}\nend with Ctrl-D on a line of its own:", err=True)
            answer = sys.stdin.read()
        else:
            hidden = prompt.kind == "hidden"
            answer = click.prompt(text, hide_input=hidden, confirmation_prompt=hidden, err=True)
        yield question, answer.encode()
