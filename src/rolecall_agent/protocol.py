"""The messages between controller and agent.

A conversation runs over the standard streams of one command, ``archive.relay_command()``, on the machine, in the form
that `frames` describes.

C is the controller, A the agent; the names are the classes below. Every error is answered by `Failed`.

========================  ==============================================  ==========================================
C sends                   A answers                                       meaning
========================  ==============================================  ==========================================
`Open`                    ``need-agent`` if the machine does not have     always first. The agent locks the machine,
                          it; C then sends ``agent`` with the bytes of    waiting at most five seconds for another
                          `archive.build` as payload. Then `State`        agent, and recovers an interrupted switch
`Compare`                 `Comparison`                                    what this configuration would change
`Show`                    `Contents`                                      what a plan shows of contents that change
`Stage`                   `Need`; C then sends each `BlobFrame` and       refused when the machine has changed since
                          `SecretFrame` with its payload, and             the comparison. A failure after `Need` is
                          ``{"type": "verify"}``. Then `Progress`…,       the answer to ``verify``. It also runs the
                          ``staged``                                      checks that the machine has already
`Switch`                  `Progress`…, `Provisional`                      refused like `Stage`; A undoes one that fails
`Reboot`                  ``rebooting``                                   after `Provisional` with ``reboot``: A ends,
                                                                          and the machine reboots
`Rejoin`                  `Progress`…, `Provisional`                      instead of `Open`, after the reboot; locked
                                                                          until then. Confirms the switch as well
``check`` (peers: bool)   `Checks`                                        while provisional; true: those with peers
``decide``                ``decided``                                     while provisional: all machines of the run can
                                                                          commit, so A only goes forward from now on.
                                                                          Refused if a required `Confirm` is missing
``commit``                `Committed`                                     only once it is decided
`Undo`                    `Progress`…, `Undone`                           while provisional: back to the state before
`Purge`                   `Purged`                                        right after `Open`, if nothing is declared
                                                                          any more: removes what the agent stores, and
                                                                          the accounts that it made
`Recover`                 `Recovery`                                      instead of `Open`, as the only message: shows
                                                                          or settles an interrupted switch
`Confirm`                 ``confirmed``                                   instead of `Open`, as the only message of a
                                                                          second connection, while provisional
========================  ==============================================  ==========================================

C sends ``alive`` every `frames.HEARTBEAT` seconds, before the first message too; it has no answer. A does so while it
works on an answer. An answer has at most `frames.MAX_ANSWER` bytes, and no payload.

After `State`, C can continue a conversation whose connection broke, over a new one to `frames.meeting_point`: it sends
`Resume`, A answers `Resumed`, and each sends the frames that the other one has not received. Frames are counted without
``alive``, those of C after `Open`, those of A from `State` on.

A locks the machine for each message, and from `Stage` on, until the switch is committed or undone, or has failed. So a
machine is not locked while a person reads the plan.

The conversation ends with ``end``, or when nothing arrives for too long (`link`). A switch that is still provisional
is undone then, and one that is not finished, too. If nothing changes, a
conversation is one frame each way: `Open` with ``expect``, and `State` with ``same``. The relay of root may answer it
(`fingerprint`), so C ends the conversation then.

Before it decides, C sends ``check`` with ``peers: true`` to every machine, also to those without such checks: the
answer shows that the machine is reachable and still provisional. Then C notes the decision, and sends ``decide`` to all
machines, then ``commit``. A machine that has decided commits even if it is killed; one that has not goes back.

Sessions that only ask something about a machine have messages of their own, in `inquiry`.

Texts from a machine (messages, details, reasons, outputs, notes) may contain anything, so C escapes control characters
before it shows them.
"""

from __future__ import annotations

from typing import Any, Dict, List, Literal, Optional, TypedDict

ChangeAction = Literal["create", "change", "adopt", "overwrite", "remove", "repair"]
Verb = Literal["stop", "restart", "reload", "start", "run", "reboot"]
RebootMode = Literal["planned", "needed", "never"]
"""What a run does about reboots. ``planned``: those that the plan shows; ``needed``: also those that only the switch
has shown to be needed."""
Settled = Literal["undone", "committed"]


class Bare(TypedDict):
    """A message that is nothing but its type."""

    type: str


class Open(TypedDict):
    """``open``.

    ``agent``: digest from `archive.build`. ``formerly``: other names under which the machine may still be installed.
    ``expect``: digest of the configuration that it should have. ``user``: who opens it, and on which computer.
    ``patience``: seconds to wait for another agent that has locked the machine. ``token``: what `Resume` must contain.
    A relay of root adds ``found`` for the agent: the `State` of a machine that has not changed since (see `early`).
    """

    type: str
    agent: str
    token: str
    user: str
    patience: float
    protocol: int
    machine: str
    formerly: List[str]
    expect: Optional[str]


class Resume(TypedDict):
    """``resume``. ``token``: that of `Open`. ``received``: how many frames C has received."""

    type: str
    token: str
    received: int


class Resumed(TypedDict):
    """``resumed``. ``received``: how many frames A has received."""

    type: str
    received: int


class Meta(TypedDict):
    """Where a generation comes from: run id, user, commit of the project (or ""), time (RFC 3339).

    ``back``: the number of the earlier generation that the machine went back to, 0 for nothing installed; else None.
    """

    run: str
    user: str
    commit: str
    at: str
    back: Optional[int]


class Generation(Meta):
    """A generation: its number, counted from 1, and the digest of its configuration."""

    number: int
    digest: str


class Drift(TypedDict):
    """A resource that differs from the current generation, and how."""

    key: str
    reason: str


class State(TypedDict):
    """``state``.

    ``machine``: the name under which it is installed, else the one in ``open``. ``same``: whether the current
    generation is the expected one, without drift. ``recovered``: how an interrupted switch was settled, ``"undone"`` or
    ``"committed"``; None when there was none. ``agent_python``: e.g. ``"3.11.2"``. ``os``: os-release(5).
    """

    type: str
    machine: str
    same: bool
    current: Optional[Generation]
    drift: List[Drift]
    recovered: Optional[Settled]
    agent_python: str
    os: Dict[str, str]


class Compare(TypedDict):
    """``compare``. ``configuration``: `Configuration.as_json`."""

    type: str
    configuration: Dict[str, Any]


class Change(TypedDict):
    """One resource that would change, and how.

    ``action``: ``create``; ``change`` (managed, and its declaration changed); ``adopt`` (only the declaration changed:
    the machine already matches it); ``overwrite`` (replaces something that is not managed); ``remove``; ``repair``
    (managed, and drifted). Checks and reports are listed too, as ``check:NAME`` and ``health:NAME``: ``create``,
    ``change`` or ``remove``.
    """

    key: str
    action: ChangeAction
    detail: str


class Restart(TypedDict):
    """An effect on a unit: ``stop``, ``restart``, ``reload``, ``start``; ``run`` of ``action:NAME``; or ``reboot``.

    ``also``: other running units that stop or restart along with it; of a reboot, the keys of what changes.
    """

    name: str
    verb: Verb
    also: List[str]


class Inputs(TypedDict):
    """From what the service code of a member has made resources, as digests, to say later why they change.

    ``settings``: its own, by name. ``service``: the code. ``vars``: its own, by name. ``peers``: what it has read of
    other machines, by name; under ``""`` if there are many. ``members``: the settings of other members, likewise.
    """

    settings: Dict[str, str]
    service: str
    vars: Dict[str, str]
    peers: Dict[str, str]
    members: Dict[str, str]


class Provenance(TypedDict):
    """Where a generation comes from. ``inputs``: by ``INSTANCE.ROLE``. ``origins``: these, by the key of a resource."""

    inputs: Dict[str, Inputs]
    origins: Dict[str, List[str]]


class Comparison(TypedDict):
    """``comparison``. ``digest``: of all of it and the current generation; `Stage` refers to it.

    ``provenance``: that of the current generation, with the origins of what changes; None if it is not known.
    """

    type: str
    changes: List[Change]
    restarts: List[Restart]
    digest: str
    provenance: Optional[Provenance]


class Show(TypedDict):
    """``show``. ``keys``: of resources that the last `Compare` of this conversation would change.

    ``declared``: whether to show what they are to have, too, where the machine has it.
    """

    type: str
    keys: List[str]
    declared: bool


class Content(TypedDict):
    """A content as it is shown (`showing`).

    ``lines``: its lines, each with its end; [] if they are not shown. ``size``: in bytes. ``sha256``: lower-case hex;
    "" if that is not shown either. ``why``: why lines are not shown, or "".
    """

    lines: List[str]
    size: int
    sha256: str
    why: str


class Shown(TypedDict):
    """``before``: what is in the place of a resource. ``after``: what its removal puts back, or what it is to have.

    None for nothing, and for what is not asked for.
    """

    before: Optional[Content]
    after: Optional[Content]


class Contents(TypedDict):
    """``contents``, by key, of as many as fit into one answer; C asks again for the others."""

    type: str
    contents: Dict[str, Shown]


class Stage(TypedDict):
    """``stage``. ``comparison``: digest of a `Comparison`, of this conversation or an earlier one.

    ``skip``: names of checks that do not run.
    """

    type: str
    comparison: str
    meta: Meta
    provenance: Provenance
    skip: List[str]


class Need(TypedDict):
    """``need``. What the machine does not have: digests of blobs, and secrets as [name, file, version].

    Only contents of the compared configuration; C refuses a machine that requests anything else.
    """

    type: str
    blobs: List[str]
    secrets: List[List[str]]


class BlobFrame(TypedDict):
    """``blob``, with its bytes as payload."""

    type: str
    sha256: str


class SecretFrame(TypedDict):
    """``secret``, with its value as payload."""

    type: str
    name: str
    file: str
    version: str


class Switch(TypedDict):
    """``switch``. ``nonce``: what `Confirm` must contain. ``confirm``: whether the commit requires it."""

    type: str
    nonce: str
    confirm: bool
    reboot: RebootMode


class Progress(TypedDict):
    """``progress``, for a person."""

    type: str
    step: str
    detail: str


class Provisional(TypedDict):
    """``provisional``: switched, with successful local checks, but not committed. ``changed``: keys of `Change`.

    ``reboot``: why the machine must reboot first. If there are reasons, it is not provisional yet, and not checked.
    """

    type: str
    changed: List[str]
    reboot: List[str]


class Reboot(TypedDict):
    """``reboot``. ``seconds``: how long C has to `Rejoin` once the machine has booted; then it undoes the switch."""

    type: str
    seconds: int


class Rejoin(TypedDict):
    """``rejoin``, with ``agent``, ``user`` and ``token`` as in `Open`. ``run``, ``nonce``: those of the switch."""

    type: str
    agent: str
    token: str
    user: str
    run: str
    nonce: str


class CheckResult(TypedDict):
    """One check; ``output``: the end of what it printed."""

    name: str
    ok: bool
    output: str


class Checks(TypedDict):
    """``checks``: the results that count. The commit has notes on skipped checks, and on those that failed before."""

    type: str
    checks: List[CheckResult]


class Committed(TypedDict):
    """``committed``. ``notes``: what a person should know, such as checks that failed before the run and still do.

    If a cleanup failed, the commit is valid nevertheless, and the next open finishes the cleanup.
    """

    type: str
    number: int
    notes: List[str]


class Undo(TypedDict):
    """``undo``. ``reason``: why, for the history of the machine."""

    type: str
    reason: str


class Undone(TypedDict):
    """``undone``. ``reboots``: whether the machine reboots now, since it has booted with what was undone."""

    type: str
    reboots: bool


class Confirm(TypedDict):
    """``confirm``, with ``agent`` as in `Open`: shows that the machine can still be reached after the switch."""

    type: str
    agent: str
    run: str
    nonce: str


class Damage(TypedDict):
    """Something that an undo could not put back.

    ``key``: of the resource. ``path``: of its file, or "". ``reason``: why. ``hint``: what to do, or "".
    """

    key: str
    path: str
    reason: str
    hint: str


class Recover(TypedDict):
    """``recover``, with ``agent`` as in `Open`.

    ``user``: who recovers it. ``mode``: ``"show"``, ``"retry"``, ``"accept"`` (leave everything as it is), or
    ``"abandon"`` (leave the resources with these ``keys``, and retry the others).
    """

    type: str
    agent: str
    user: str
    mode: str
    keys: List[str]


class Interrupted(TypedDict):
    """A switch that is not settled.

    ``source`` and ``target``: the generations before and after it. ``decided``: whether it will be committed.
    ``resources``: keys of those that it may have touched. ``units``: names of those that it may have touched.
    ``damage``: what the last undo could not put back.
    """

    meta: Meta
    source: int
    target: int
    decided: bool
    resources: List[str]
    units: List[str]
    damage: List[Damage]


class Recovery(TypedDict):
    """``recovery``. ``interrupted``: the switch as it was before, if any. ``settled``: how, or "" if it is not."""

    type: str
    interrupted: Optional[Interrupted]
    settled: Literal["undone", "committed", "accepted", ""]


class Purge(TypedDict):
    """``purge``. ``homes``: whether to remove the homes of accounts, too."""

    type: str
    homes: bool


class Purged(TypedDict):
    """``purged``. ``notes``: what stays, for a person."""

    type: str
    notes: List[str]


class Failed(TypedDict):
    """``failed``.

    ``restored``: true when the machine is as it was before the switch of this conversation, or the switch had not
    started; false when the undo failed, which the next open tries again. ``damaged``: what the undo could not put back.
    ``detail``: e.g. the last log lines of a unit. The conversation continues: while provisional, ``undo`` is still
    possible, and a refused ``commit`` may be sent again. Only a failed `Open`, or a frame that cannot be read, ends it.
    ``locked``: whether the reason is that another agent has locked the machine.
    """

    type: str
    message: str
    restored: bool
    detail: str
    locked: bool
    damaged: List[Damage]
