"""Encryption by systemd-creds, only in ways that can be decrypted again."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from rolecall_agent import creds
from rolecall_agent.creds import Creds
from rolecall_agent.errors import Failure

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """#!{python} -IS
import base64, json, sys
verb, *options = sys.argv[1:-2]
given = sys.stdin.buffer.read()
with open({log!r}, "a") as log:
    log.write(" ".join([verb, *options]) + "\\n")
broken = {broken!r}
if verb == "encrypt":
    if any(option in broken.get("encrypt", []) for option in options):
        sys.exit(1)
    print(base64.b64encode(json.dumps([options, given.hex()]).encode()).decode())
else:
    sealed, value = json.loads(base64.b64decode(given))
    if any(option in broken.get("decrypt", []) for option in sealed) or sealed[0] != options[0]:
        sys.exit(1)
    sys.stdout.buffer.write(bytes.fromhex(value))
"""
NO_PCR, PCR_16, HOST = "--tpm2-pcrs=", "--tpm2-pcrs=16", "--with-key=host"


@pytest.mark.parametrize(
    ("broken", "binding"),
    [
        ({}, NO_PCR),
        ({"decrypt": [NO_PCR]}, PCR_16),  # as systemd 252 with a TPM
        ({"encrypt": [NO_PCR], "decrypt": [PCR_16]}, HOST),
        ({"encrypt": [NO_PCR, PCR_16, HOST]}, None),
        ({"decrypt": [NO_PCR, PCR_16, HOST]}, None),
    ],
)
def test_only_a_binding_that_can_be_decrypted_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: dict[str, list[str]], binding: str | None
) -> None:
    program, log = tmp_path / "systemd-creds", tmp_path / "log"
    program.write_text(PROGRAM.format(python=sys.executable, log=str(log), broken=broken))
    program.chmod(0o755)
    monkeypatch.setattr(creds, "PROGRAM", str(program))
    sealing = Creds()
    for name in ("one", "two"):
        value = os.urandom(40)
        credential = sealing.seal(name, value)
        assert (credential is None) == (binding is None)
        if credential is not None:
            assert sealing.unseal(name, credential) == value
            with pytest.raises(Failure, match="cannot decrypt the stored secret other"):
                sealing.unseal("other", credential)
    used = [line.split()[2] for line in log.read_text().splitlines() if line.startswith("encrypt --name=one")]
    assert used == [binding] * (binding is not None)
    assert sum(line.startswith("encrypt --name=rolecall") for line in log.read_text().splitlines()) <= 3  # tried once


def test_nothing_is_sealed_without_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(creds, "PROGRAM", "/nonexistent/systemd-creds")
    assert Creds().seal("x", b"value") is None
    with pytest.raises(Failure, match="status 127"):
        Creds().unseal("x", b"credential")


@pytest.mark.skipif(not shutil.which("systemd-creds") or os.geteuid() != 0, reason="systemd-creds needs root")
def test_the_real_program_seals_to_this_machine() -> None:
    sealing, value = Creds(), b"\x00marker\n"
    credential = sealing.seal("x", value)
    if credential is None:
        pytest.skip("systemd-creds does not work here")
    assert b"marker" not in credential
    assert sealing.unseal("x", credential) == value
