"""The messages of questions: part of `protocol`, for sessions that only look.

Each is the only message of its session, instead of `protocol.Open`. The agent takes no lock, recovers nothing, and
changes nothing on the machine. So a question can also be asked while a run is at work there.

====================  ====================  ===================================================
C sends               A answers             meaning
====================  ====================  ===================================================
`AskStatus`           `Status`              how the machine is now
`AskHistory`          `History`             what runs did to it
`AskGenerations`      `Generations`         what generations of it have
====================  ====================  ===================================================
"""

from __future__ import annotations

from typing import Any, Dict, List, Literal, Optional, TypedDict

from rolecall_agent.protocol import CheckResult, Drift, Generation, Interrupted, Meta, Provenance

RunResult = Literal["committed", "failed", "undone", "damaged", "accepted"]
Level = Literal["ok", "warning", "error"]


class AskHistory(TypedDict):
    """``history``, with ``agent`` as in `protocol.Open`. ``most``: how many runs are wanted."""

    type: str
    agent: str
    most: int


class PastRun(Meta):
    """What a run did to the machine, in its history.

    ``result``: ``committed``; ``failed`` (its switch failed here, and was undone); ``undone`` (for another reason, such
    as a failure elsewhere or a lost connection); ``damaged`` (an undo could not put everything back);
    ``accepted`` (a person gave up the undo). ``message``: why; or what there is to know about one
    that is committed; or "". ``ended``: when, by the clock of the machine (RFC
    3339). ``source`` and ``target``: the generations before and after it. ``touched``: keys of the resources that it
    may have changed, the first of them; ``more``: how many others there are.
    """

    ended: str
    source: int
    target: int
    result: RunResult
    message: str
    touched: List[str]
    more: int


class History(TypedDict):
    """``history``. ``runs``: the last ones, newest first. ``damaged``: how many lines could not be read."""

    type: str
    runs: List[PastRun]
    damaged: int


class AskGenerations(TypedDict):
    """``generations``, with ``agent`` as in `protocol.Open`. ``numbers``: which; 0 for the current one."""

    type: str
    agent: str
    numbers: List[int]


class Generations(TypedDict):
    """``generations``. ``pieces``: base64 of zlib-compressed JSON in pieces: a list of `Recalled`, in that order."""

    type: str
    pieces: List[str]


class Recalled(TypedDict):
    """A generation that the machine keeps. ``configuration``: `Configuration.as_json`."""

    generation: Optional[Generation]
    configuration: Dict[str, Any]
    provenance: Optional[Provenance]


class AskStatus(TypedDict):
    """``status``, with ``agent`` as in `protocol.Open`."""

    type: str
    agent: str


class HealthResult(TypedDict):
    """What a service reports about itself; ``name`` and ``level`` as in `Health`. ``at``: of when (RFC 3339), or ""."""

    name: str
    level: Level
    text: str
    at: str


class Status(TypedDict):
    """``status``.

    ``machine``: the name under which it is installed; "" if nothing is. ``since``: since when ``current`` is its
    generation (RFC 3339). ``drift``: the first differences; ``more``: how many others there are. ``failed``: names of
    failed units. ``reboot``: why it must reboot; None if that cannot be known. ``interrupted``: a switch that is not
    settled. ``locked``: which run is at work on it, or "": drift and checks are not looked at then. ``checks``: also
    those with peers. ``problems``: why something of this is missing.
    """

    type: str
    machine: str
    current: Optional[Generation]
    since: str
    drift: List[Drift]
    more: int
    failed: List[str]
    reboot: Optional[List[str]]
    interrupted: Optional[Interrupted]
    locked: str
    checks: List[CheckResult]
    health: List[HealthResult]
    problems: List[str]
