"""Recovery of an interrupted switch by the agent that began it, since only that one knows what its journal means."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, Dict, Optional

from rolecall_agent import undo
from rolecall_agent.errors import Failure
from rolecall_agent.state import HOME
from rolecall_agent.systems import commands

if TYPE_CHECKING:
    from rolecall_agent.machine import Machine

SECONDS = 3600.0
"""How long another agent may take."""
PYTHON = (sys.executable or "/usr/bin/python3", *commands.PYTHON_OPTIONS)


def recover(machine: Machine, reason: str = undo.INTERRUPTED, *, booting: bool = False) -> Optional[str]:
    """Settle an interrupted switch, as `undo.recover`; the agent that began it does so, if the machine has it.

    The caller holds the lock.

    Args:
        machine: The machine.
        reason: As in `undo.recover`, if this agent has begun it.
        booting: Whether starting units must not wait for them, as in `SystemdUnits`.

    Raises:
        Failure: As `undo.recover`.
    """
    journal = machine.store.journal
    writer = journal.get("agent") if isinstance(journal, dict) else None
    root = machine.system.root
    home = f"{root or ''}{HOME}/agent/{os.path.basename(str(writer))}"
    if not writer or writer == machine.store.agent or not os.path.exists(f"{home}/__main__.py"):
        return undo.recover(machine, reason)
    options = [*(["--root", root] if root else []), *(["--booting"] if booting else [])]
    status, output = commands.execute([*PYTHON, home, "recover", "--locked", *options], SECONDS, errors=True)
    try:
        answer: Dict[str, Any] = json.loads(output.strip().rpartition("\n")[2])
        if status == 0:
            return str(answer["recovered"])
        message, detail, damage = answer["message"], answer["detail"], answer["damaged"]
    except (ValueError, KeyError, TypeError):
        message, detail, damage = f"the agent {home} ended with status {status}", output[-2000:], []
    raise Failure(message, detail, machine_unchanged=False, damage=damage)


def recover_earlier(root: Optional[str], first: Dict[str, Any]) -> None:
    """Let an agent of a version whose journal names no agent settle its switch; it takes the lock itself.

    Args:
        root: Root directory of a recorded system; None for this machine.
        first: The message that opens the conversation. That agent settles its switch before it answers one.
    """
    home = f"{root or ''}{HOME}"
    try:
        with open(f"{home}/journal.json", encoding="utf-8") as file:
            journal = json.load(file)
    except (OSError, ValueError):
        return
    agent = os.path.realpath(f"{home}/agent/boot")
    if not isinstance(journal, dict) or "schema" in journal or not os.path.exists(f"{agent}/__main__.py"):
        return
    commands.execute([*PYTHON, "-c", _CONVERSE, agent, root or "", json.dumps({**first, "protocol": 1})], SECONDS)


_CONVERSE = """
import io, json, os, sys
sys.path.insert(0, sys.argv[1])
from rolecall_agent.conversation import serve
with open(os.devnull, "wb") as sink:
    serve(json.loads(sys.argv[3]), io.BytesIO(), sink, sys.argv[2] or None)
"""
