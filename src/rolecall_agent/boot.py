"""The systemd unit that undoes an interrupted switch at boot, and restores files below /run."""

from __future__ import annotations

import sys

from rolecall_agent.resources import Unit
from rolecall_agent.resources.unit import exec_line, unit_text
from rolecall_agent.systems.commands import PYTHON_OPTIONS

NAME = "rolecall-boot.service"


def unit() -> Unit:
    """Return the unit. It runs before any service that may read a secret."""
    python = sys.executable or "/usr/bin/python3"
    return Unit(
        NAME,
        unit_text(
            {
                "Unit": {
                    "Description": "Rolecall: make the current generation whole again after a boot",
                    "DefaultDependencies": "no",
                    "After": "local-fs.target systemd-tmpfiles-setup.service tpm2.target",
                    "Before": "sysinit.target shutdown.target",
                    "Conflicts": "shutdown.target",
                },
                "Service": {
                    "Type": "oneshot",
                    "RemainAfterExit": "yes",
                    "ExecStart": exec_line([python, *PYTHON_OPTIONS, "/var/lib/rolecall/agent/boot", "boot"]),
                },
                "Install": {"WantedBy": "sysinit.target"},
            }
        ),
        enabled=True,
    )
