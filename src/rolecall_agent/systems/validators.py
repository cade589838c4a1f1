"""Programs that check a file before it is put in its place.

Only those that look at a single file, change nothing, and need nothing that the same switch may bring. nginx and Apache
are missing since they read other files and open logs; sysctl and logrotate, since they fail for what comes later; and
iptables-restore, since it may load modules of the kernel.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Tuple

from rolecall_agent.errors import Failure
from rolecall_agent.systems import commands

_SECONDS = 30


@dataclass(frozen=True)
class Validator:
    """A program that checks files.

    Attributes:
        paths: A pattern of the paths of the files.
        argv: The program and its arguments; the file follows. The comment names its manual page.
        rejects: A pattern of what it prints about a file that it rejects; ``FILE`` stands for the file. It may fail for
            other reasons: an included file that comes later, or a rule of AppArmor.
    """

    paths: str
    argv: Tuple[str, ...]
    rejects: str = ""


VALIDATORS = (
    Validator(r"/etc/ssh/sshd_config(\.d/[^/]+\.conf)?", ("sshd", "-t", "-f")),  # sshd(8)
    Validator(r"/etc/sudoers(\.d/[^/]+)?", ("visudo", "-c", "-f")),  # visudo(8)
    Validator(r"/etc/doas\.conf", ("doas", "-C")),  # doas(1)
    Validator(r"/etc/(nftables\.conf|rolecall/nftables/[^/]+\.nft)", ("nft", "-c", "-f")),  # nft(8)
    Validator(
        r"/etc/(chrony\.conf|chrony/chrony\.conf|chrony/conf\.d/[^/]+\.conf)",
        ("chronyd", "-p", "-f"),  # chronyd(8)
        r"at line \d+ in file FILE$",
    ),
    Validator(r"/etc/dnsmasq(\.conf|\.d/[^/]+)", ("dnsmasq", "--test", "-C"), r"at line \d+ of FILE$"),  # dnsmasq(8)
    Validator(r"/etc/(bird/)?bird\.conf", ("bird", "-p", "-c"), r"FILE:\d+:\d+ syntax error"),  # bird(8)
    Validator(
        r"/etc/prometheus/prometheus\.yml",
        ("promtool", "check", "config"),  # promtool(1)
        r"parsing YAML file FILE: ",
    ),
    Validator(
        r"/etc/(prometheus|alertmanager)/alertmanager\.yml",
        ("amtool", "check-config"),  # amtool(1)
        r"'FILE'  FAILED: yaml: ",
    ),
)


def validate(path: str, data: bytes) -> None:
    """Check the content of a file with the program that reads it, if it is installed.

    Raises:
        Failure: When the program rejects it.
    """
    for validator in VALIDATORS:
        program = validator.argv[0]
        if re.fullmatch(validator.paths, path) and commands.is_installed(program):
            with commands.scratch({os.path.basename(path): data}) as (file,):
                status, output = commands.run([*validator.argv, file], _SECONDS)
            if status and re.search(validator.rejects.replace("FILE", re.escape(file)), output, re.MULTILINE):
                raise Failure(f"{program} rejects {path}", output.replace(file, path))
