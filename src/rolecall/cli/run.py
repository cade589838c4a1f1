"""``rolecall run``."""

from __future__ import annotations

import sys
from collections import Counter
from itertools import groupby
from textwrap import indent
from typing import TYPE_CHECKING

import click

from rolecall.cli.choosing import choosing, parallel_option
from rolecall.cli.output import tell
from rolecall.cli.sides import sides
from rolecall.errors import plural

if TYPE_CHECKING:
    from rolecall.cli.common import Invocation
    from rolecall.pipeline import Choice, CommandAnswer, CommandReport

_IN_COMMAND = f"{__name__}.in_command"


class _WithCommand(click.Command):
    """A command of ours whose last arguments, after ``--``, are a command of the user's, passed on as `words`."""

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return what the usage line shows after the name."""
        return [*super().collect_usage_pieces(ctx), "-- COMMAND..."]

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return what is parsed; nothing while the shell completes the user's command, of which we know nothing."""
        return [] if ctx.meta.get(_IN_COMMAND) else super().get_params(ctx)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse what comes before ``--``.

        Raises:
            UsageError: When no command follows.
        """
        end = args.index("--") if "--" in args else len(args)
        words = tuple(args[end + 1 :])
        rest = super().parse_args(ctx, args[:end])
        if not words and not ctx.resilient_parsing:
            raise click.UsageError("missing command; write it after `--`, as in `rolecall run -- uptime`", ctx)
        ctx.params["words"] = words
        ctx.meta[_IN_COMMAND] = ctx.resilient_parsing and "--" in args
        return rest


@click.command(cls=_WithCommand)
@choosing
@parallel_option
@click.option(
    "--timeout", type=click.IntRange(min=1), metavar="SECONDS", help="End it on machines where it takes longer."
)
@sides
@click.pass_obj
def run(invocation: Invocation, choice: Choice, *, parallel: int, timeout: int | None, words: tuple[str, ...]) -> None:
    """Run a command as root on machines.

    It runs on all MACHINES in parallel, without input. Equal answers are shown once. COMMAND gets its arguments
    unchanged; a COMMAND of one word is a script for sh. When you press Ctrl-C, it ends on the machines, too. The exit
    status is 0 only if it is 0 on all machines.

    Example: rolecall run --tag web -- systemctl is-active nginx
    """
    from rolecall import pipeline

    report = pipeline.run_command(invocation.workspace, choice, words, timeout=timeout, parallel=parallel)
    if not invocation.json:
        tell(report.warnings, as_json=False)
    invocation.emit(report.as_json(), "" if invocation.json else _text(report))
    if report.interrupted:
        raise click.Abort
    if not report.succeeded:
        sys.exit(1)


def _text(report: CommandReport) -> str:
    """Return the answers of machines, the most frequent one first, and a summary."""
    groups = [list(group) for _, group in groupby(sorted(report.answers, key=_content), key=_content)]
    groups.sort(key=lambda group: (not group[0].succeeded, -len(group), group[0].machine))
    results = Counter(_result(group[0]) for group in groups for _ in group)
    summary = ", ".join(f"{count} {result}" for result, count in results.items())
    lines = [line for group in groups for line in _lines(group)]
    machines = plural(len(report.answers), "machine")
    return "\n".join([*lines, f"{machines}: {summary} ({report.seconds:.1f} s)"])


def _content(answer: CommandAnswer) -> tuple[str, int, str, str, bool]:
    status = -1 if answer.status is None else answer.status
    return answer.ending, status, answer.problem, answer.output, answer.cut


def _lines(group: list[CommandAnswer]) -> list[str]:
    first = group[0]
    head = click.style(", ".join(answer.machine for answer in group), bold=True)
    notes = [] if first.succeeded else [first.problem or f"exit status {first.status}"]
    if first.ending == "unreachable":
        notes = [f"unreachable: {first.problem}"]
    elif first.ending == "ended" and not first.output:
        notes.append("no output")
    text = ": " + click.style(", ".join(notes), fg=None if first.succeeded else "red") if notes else ""
    lines = [head + text, *indent(first.output, "  ", lambda _: True).splitlines()]
    return [*lines, "  … (more was not kept)"] if first.cut else lines


def _result(answer: CommandAnswer) -> str:
    return f"with exit status {answer.status}" if answer.ending == "ended" else answer.ending
