"""What ready-made generators make is what the programs take that it is for."""

from __future__ import annotations

import ctypes
import subprocess
from base64 import b64decode
from typing import TYPE_CHECKING, Any

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from rolecall.errors import Faults
from rolecall.model.generators import Context
from rolecall.model.vars import VarKey
from rolecall.service import (
    AgeKeyPair,
    CertificateAuthority,
    Generator,
    Passphrase,
    Password,
    RandomBytes,
    SSHHostCertificate,
    SSHKeyPair,
    TLSCertificate,
    WireGuardKeyPair,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    Values = Mapping[str, bytes]

ALL = [
    *(AgeKeyPair(), CertificateAuthority(), Passphrase(), Password(), SSHKeyPair(), WireGuardKeyPair()),
    *(RandomBytes(), RandomBytes(form="raw"), RandomBytes(form="hex")),
]


def context(
    inputs: Mapping[str, Values] | None = None, peers: Mapping[str, Mapping[str, Values]] | None = None
) -> Context:
    return Context(VarKey("jon", "web.tls"), None, inputs or {}, peers or {})


def run(*argv: object, given: bytes = b"") -> str:
    done = subprocess.run([str(word) for word in argv], input=given, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


@pytest.mark.parametrize("generator", ALL, ids=repr)
def test_each_makes_what_it_promises_and_never_the_same(generator: Generator[Any]) -> None:
    made, again = generator.generate(context()), generator.generate(context())
    assert [file.name for file in generator.files] == list(made)
    assert all(made[file.name] != again[file.name] for file in generator.files if file.secret)
    assert all(made[file.name].decode() for file in generator.files if not file.secret)


def test_wireguard_keys_are_those_of_wg() -> None:
    made = WireGuardKeyPair().generate(context())
    private = b64decode(made["private"])
    assert (len(private), private[0] & 7, private[31] & 192) == (32, 0, 64)
    assert X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw() == b64decode(made["public"])


def test_age_reads_what_is_encrypted_to_the_public_half() -> None:
    made = AgeKeyPair().generate(context())
    sealed = pyrage.encrypt(b"hello", [pyrage.x25519.Recipient.from_str(made["public"].decode().strip())])
    assert pyrage.decrypt(sealed, [pyrage.x25519.Identity.from_str(made["private"].decode().strip())]) == b"hello"


def test_the_system_takes_the_hash_of_a_password() -> None:
    made = Password(length=30).generate(context())
    assert len(made["password"]) == 30
    crypt = ctypes.CDLL("libcrypt.so.1").crypt
    crypt.restype = ctypes.c_char_p
    assert crypt(made["password"], made["hash"]) == made["hash"]
    assert crypt(made["password"] + b"x", made["hash"]) != made["hash"]


@pytest.mark.parametrize("length", [7, 73])
def test_a_password_is_neither_guessed_nor_cut(length: int) -> None:
    with pytest.raises(ValueError, match="8 to 72"):
        Password(length=length)


def test_a_certificate_is_valid_for_its_names_and_signed_by_its_authority(tmp_path: Path) -> None:
    authority = CertificateAuthority(days=10).generate(context())
    names = TLSCertificate("ca", names=lambda c: [c.key.machine, "jon.example.org", "10.0.0.1", "fd00::1"], days=5)
    made = names.generate(context(peers={"ca": {"store": authority}}))
    (tmp_path / "ca").write_bytes(authority["certificate"])
    (tmp_path / "leaf").write_bytes(made["certificate"])
    for purpose in ("sslserver", "sslclient"):
        assert "OK" in run(
            "openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", tmp_path / "ca", tmp_path / "leaf"
        )
    for check in (("-verify_hostname", "jon.example.org"), ("-verify_ip", "10.0.0.1"), ("-verify_ip", "fd00::1")):
        run("openssl", "verify", *check, "-CAfile", tmp_path / "ca", tmp_path / "leaf")
    public = run("openssl", "x509", "-in", tmp_path / "leaf", "-noout", "-pubkey")
    assert run("openssl", "pkey", "-pubout", given=made["key"]) == public
    run("openssl", "x509", "-in", tmp_path / "leaf", "-noout", "-checkend", 4 * 86400)


def test_an_ssh_host_certificate_is_for_its_names(tmp_path: Path) -> None:
    authority, host = SSHKeyPair().generate(context()), SSHKeyPair().generate(context())
    generator = SSHHostCertificate("ca", "host", names=lambda c: [c.key.machine, "jon.example.org"])
    made = generator.generate(context(inputs={"host": host}, peers={"ca": {"store": authority}}))
    (tmp_path / "host-cert.pub").write_bytes(made["certificate"])
    shown = run("ssh-keygen", "-L", "-f", tmp_path / "host-cert.pub")
    assert "host certificate" in shown
    assert "Principals: \n                jon\n                jon.example.org\n" in shown
    (tmp_path / "ca.pub").write_bytes(authority["public"])
    fingerprint = run("ssh-keygen", "-l", "-f", tmp_path / "ca.pub").split()[1]
    assert f"Signing CA: ED25519 {fingerprint}" in shown


def test_there_is_one_authority() -> None:
    authority = CertificateAuthority().generate(context())
    for peers, told in (({}, "not: no machine"), ({"a": authority, "b": authority}, "not: a, b")):
        with pytest.raises(Faults, match=told):
            TLSCertificate("ca").generate(context(peers={"ca": peers}))
    with pytest.raises(Faults, match="has no names"):
        TLSCertificate("ca", names=lambda _: []).generate(context(inputs={"ca": authority}))
