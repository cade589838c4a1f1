"""Files that their programs reject: by the program itself where it is installed, by its recorded output otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rolecall_agent.errors import Failure
from rolecall_agent.systems import commands, validators
from rolecall_agent.systems.validators import VALIDATORS, validate

if TYPE_CHECKING:
    from collections.abc import Sequence

# By program: a file, a good and a bad content, and what the program of Debian 12 prints about the bad one.
SAMPLES = {
    "sshd": (
        "/etc/ssh/sshd_config.d/x.conf",
        "UseDNS no\n",
        "UseDN no\n",
        "FILE: line 1: Bad configuration option: UseDN",
    ),
    "visudo": ("/etc/sudoers.d/x", "root ALL=(ALL) ALL\n", "root ALL ALL\n", "FILE:1:9: syntax error"),
    "doas": ("/etc/doas.conf", "permit persist :wheel\n", "permitt x\n", "doas: syntax error at line 1"),
    "nft": ("/etc/nftables.conf", "table inet x { }\n", "tabl inet x { }\n", "FILE:1:1-4: Error: syntax error"),
    "chronyd": (
        "/etc/chrony/conf.d/x.conf",
        "server 10.0.0.1 iburst\n",
        "serverr 10.0.0.1\n",
        "2026-11-29T19:31:01Z Fatal error : Invalid directive at line 1 in file FILE\n",
    ),
    "dnsmasq": ("/etc/dnsmasq.d/x", "domain-needed\n", "domain-neede\n", "\ndnsmasq: bad option at line 1 of FILE\n"),
    "bird": (
        "/etc/bird/bird.conf",
        "router id 10.0.0.1;\nprotocol device {}\n",
        "router id 10.0.0.1;\nprotocl device {}\n",
        "bird: FILE:2:1 syntax error, unexpected CF_SYM_UNDEFINED\n",
    ),
    "promtool": (
        "/etc/prometheus/prometheus.yml",
        "global:\n  scrape_interval: 15s\n",
        "global:\n  scrape_intervall: 15s\n",
        "Checking FILE\n  FAILED: parsing YAML file FILE: yaml: unmarshal errors:\n  line 2: field …\n",
    ),
    "amtool": (
        "/etc/prometheus/alertmanager.yml",
        "route: {receiver: a}\nreceivers: [{name: a}]\n",
        "route: {receiver: a}\nreceiverz: [{name: a}]\n",
        "Checking 'FILE'  FAILED: yaml: unmarshal errors:\n  line 2: field …\n",
    ),
}


@pytest.fixture(params=VALIDATORS, ids=lambda validator: validator.argv[0])
def sample(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    program = request.param.argv[0]
    path, _, bad, output = sample = SAMPLES[program]

    def run(argv: Sequence[str], _: float) -> tuple[int, str]:
        file = Path(argv[-1])
        assert (*argv[:-1], file.name) == (*request.param.argv, Path(path).name)
        return (1, output.replace("FILE", str(file))) if file.read_text() == bad else (0, "")

    if not commands.is_installed(program):
        monkeypatch.setattr(commands, "is_installed", program.__eq__)
        monkeypatch.setattr(commands, "run", run)
    return sample


def test_a_bad_file_is_rejected_and_a_good_one_is_not(sample: tuple[str, ...]) -> None:
    path, good, bad, _ = sample
    validate(path, good.encode())
    with pytest.raises(Failure, match=f" rejects {path}") as caught:
        validate(path, bad.encode())
    assert "/rolecall-" not in caught.value.detail  # not where the file was while it was checked


@pytest.mark.parametrize(
    ("program", "output"),
    [
        ("bird", "bird: FILE:2:10 Unable to open included file /etc/x.conf: No such file or directory\n"),
        ("chronyd", "2026-11-29T19:31:01Z Fatal error : Could not open FILE : Permission denied\n"),  # AppArmor
        ("chronyd", "chronyd: invalid option -- 'p'\n"),  # version 3
        ("dnsmasq", "\ndnsmasq: cannot access directory /etc/x.d: No such file or directory\n"),
        ("dnsmasq", "\ndnsmasq: bad option at line 1 of /etc/other\n"),
        ("promtool", 'Checking FILE\n  FAILED: "/etc/rules.yml" does not point to an existing file\n'),
    ],
)
def test_a_failure_for_another_reason_is_no_rejection(
    program: str, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "is_installed", program.__eq__)
    monkeypatch.setattr(commands, "run", lambda argv, _: (1, output.replace("FILE", argv[-1])))
    validate(SAMPLES[program][0], b"")


def test_other_paths_and_programs_that_are_not_installed_are_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "run", lambda *_: pytest.fail("a program was run"))
    monkeypatch.setattr(commands, "is_installed", lambda _: True)
    for path in ("/etc/doas.conf.bak", "/srv/etc/doas.conf", "/etc/ssh/sshd_config.d/x", "/etc/dnsmasq.d/x/y"):
        validate(path, b"")
    monkeypatch.setattr(validators.commands, "is_installed", lambda _: False)
    validate("/etc/doas.conf", b"")
