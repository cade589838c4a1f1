"""The generator makes valid identities, and recognizes files that are not those of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from pathlib import Path

import pytest

from rolecall.model.generators import Context
from rolecall.model.vars import VarKey
from rolecall.service import Exported, Secret
from rolecall_services.zerotier import search
from rolecall_services.zerotier.generators import Moon, NetworkId, Node, Root, ZeroTierIdentity
from rolecall_services.zerotier.identities import Identity
from rolecall_services.zerotier.worlds import number_and_timestamp

VECTORS = json.loads((Path(__file__).parent / "vectors" / "identities.json").read_text())["identities"]
SECRETS = [each["identity_secret"] for each in VECTORS]
PUBLIC = [each["identity_public"] for each in VECTORS]
CONTEXT = Context(VarKey("jon", "vpn.identity"), None, {})


def verified(**values: str) -> str:
    return ZeroTierIdentity().verify({name: value.encode() for name, value in values.items()}, {})


def children(process: int) -> list[str]:
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()


@pytest.mark.slow
def test_what_is_generated_is_valid_and_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secrets.py").write_text("raise SystemExit")  # not imported from the current directory
    monkeypatch.chdir(tmp_path)
    before = children(os.getpid())
    made, again = ZeroTierIdentity().generate(CONTEXT), ZeroTierIdentity().generate(CONTEXT)
    assert children(os.getpid()) == before
    assert [file.name for file in ZeroTierIdentity().files] == list(made)
    assert made["secret"].startswith(made["public"] + b":")
    assert ZeroTierIdentity().verify(made, {}) == ZeroTierIdentity().verify({"public": made["public"]}, {}) == ""
    assert made["public"] != again["public"]


@pytest.mark.slow
def test_a_search_ends_when_what_started_it_was_killed(tmp_path: Path) -> None:
    code = "from rolecall_services.zerotier import search; search.new_identity()"
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (searches := children(parent.pid)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    parent.kill()
    parent.wait()
    while any(Path(f"/proc/{each}").exists() for each in searches):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_first_result_ends_all_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\nmkdir {tmp_path}/first 2>/dev/null && echo {SECRETS[0]} || exec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    before, start = children(os.getpid()), time.monotonic()
    assert search.new_identity().secret == SECRETS[0]
    assert (children(os.getpid()), time.monotonic() - start < 30) == (before, True)


def test_a_search_without_a_result_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(RuntimeError, match="the search for an identity ended without a result"):
        search.new_identity()


def test_files_of_one_identity_match() -> None:
    assert verified(secret=SECRETS[0] + "\n", public=PUBLIC[0] + "\n") == ""


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"secret": SECRETS[0], "public": PUBLIC[1]}, "its files are of two identities"),
        ({"secret": PUBLIC[0], "public": PUBLIC[0]}, "its secret file has no secret key"),
        ({"secret": SECRETS[0], "public": SECRETS[0]}, "its public file has a secret key"),
        ({"secret": "", "public": PUBLIC[0]}, "not a ZeroTier identity"),
        ({"public": PUBLIC[0].replace("3d9fe93b2d", "3d9fe93b2e")}, "the address 3d9fe93b2e does not match"),
        ({"secret": SECRETS[0][:-128] + SECRETS[1][-128:], "public": PUBLIC[0]}, "the secret key does not match"),
    ],
)
def test_other_files_do_not(values: dict[str, str], reason: str) -> None:
    assert verified(**values).startswith(reason)


def test_bytes_that_are_not_text_do_not() -> None:
    values = {"secret": b"\xff", "public": PUBLIC[0].encode()}
    assert ZeroTierIdentity().verify(values, {}).startswith("not a ZeroTier identity")


def test_services_see_a_reference_and_the_identity() -> None:
    secret = Secret("vpn.identity", "secret", "1")
    assert ZeroTierIdentity().view({"secret": secret, "public": PUBLIC[0]}) == Node(secret, Identity.parse(PUBLIC[0]))


def moon(earlier: dict[str, bytes] | None = None) -> dict[str, bytes]:
    """Generate a moon of one root."""
    root = Exported(Root(identity=PUBLIC[0], endpoints=("203.0.113.5/9993",)), "jon", "vpn", "moon", "zerotier")
    key = VarKey("", "vpn.moon")
    context = Context(key, None, {}, earlier=earlier or {}, _interfaces=(Root,), _published=lambda *_: [root])
    return {**Moon().generate(context)}


def test_a_moon_is_later_than_the_earlier_one_whatever_the_clock_says() -> None:
    first = moon()
    late = 2**62
    content = bytearray(b64decode(first["file"]))
    content[9:17] = late.to_bytes(8, "big")
    again = moon({**first, "file": b64encode(bytes(content))})
    assert number_and_timestamp(b64decode(again["file"])) == (int.from_bytes(content[1:9], "big"), late + 1)
    assert again["key"] == first["key"]


def test_files_of_one_moon_match() -> None:
    one, other = moon(), moon()
    assert Moon().verify(one, {}) == Moon().verify({"file": one["file"]}, {}) == ""
    assert Moon().verify({**one, "key": other["key"]}, {}) == "its file is signed with another key"
    changed = bytearray(b64decode(one["file"]))
    changed[-5] ^= 1
    assert Moon().verify({"file": b64encode(bytes(changed))}, {}) == "the signature of its file is not valid"
    assert Moon().verify({"file": b64encode(b"short")}, {}) == "its file is too short for a moon"
    assert Moon().verify({"file": b"?"}, {})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"{PUBLIC[0][:10]}00000a", ""),
        (f"{PUBLIC[1][:10]}00000a", "the id does not begin with the address of the controller"),
        (f"{PUBLIC[0][:10]}00000A", "it is not the id of a network: 16 lower-case hexadecimal digits"),
    ],
)
def test_the_id_of_a_network(text: str, reason: str) -> None:
    inputs = {"identity": [{"public": PUBLIC[0].encode()}]}
    assert NetworkId().verify({"id": text.encode()}, inputs) == reason
    made = NetworkId().generate(Context(VarKey("jon", "vpn.network"), None, {"identity": inputs["identity"][0]}))
    assert NetworkId().verify(made, inputs) == ""
