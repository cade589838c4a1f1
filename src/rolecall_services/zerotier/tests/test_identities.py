"""Identities are those that ZeroTier makes and accepts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall_services.zerotier import keys
from rolecall_services.zerotier.derivation import memory_hard_hash
from rolecall_services.zerotier.identities import Identity, is_reserved

VECTORS = Path(__file__).parent / "vectors"


def vectors(name: str, part: str) -> list[dict[str, Any]]:
    read: list[dict[str, Any]] = json.loads((VECTORS / f"{name}.json").read_text())[part]
    return read


GENERATED = vectors("identities", "identities")
OF_IDTOOL = vectors("identities_of_idtool", "valid")
WRONG = vectors("identities_of_idtool", "invalid")
ODD = {case["name"]: case for case in vectors("identities_odd_and_invalid", "cases")}
VALID = [(each["identity_secret"], each["identity_public"]) for each in GENERATED]
VALID += [(each["identity.secret"], each["identity.public"]) for each in OF_IDTOOL]

identities = st.builds(
    Identity,
    st.binary(min_size=5, max_size=5).filter(lambda address: not is_reserved(address)),
    st.binary(min_size=64, max_size=64),
    st.none() | st.binary(min_size=64, max_size=64),
)


def valid(text: str) -> Identity:
    identity = Identity.parse(text)
    identity.validate()
    return identity


def test_the_vectors_are_there() -> None:
    assert (len(VALID), len(WRONG), len(ODD)) == (20, 2, 16)


@pytest.mark.parametrize(("secret", "public"), VALID)
def test_both_files_are_read_and_written(secret: str, public: str) -> None:
    identity = Identity.parse(secret)
    assert (identity.secret, identity.public) == (secret, public)
    assert Identity.parse(public) == replace(identity, secret_key=None)
    assert identity.secret_key
    assert keys.public_key(identity.secret_key) == identity.public_key


@pytest.mark.slow
def test_each_identity_of_zerotier_is_valid() -> None:
    for secret, public in VALID:
        valid(secret)
        valid(public)


@pytest.mark.slow
def test_each_hash_is_as_expected() -> None:
    for each in GENERATED:
        assert memory_hard_hash(Identity.parse(each["identity_public"]).public_key).hex() == each["memory_hard_digest"]


def test_a_hash_is_as_expected() -> None:
    [first, *_] = GENERATED
    assert memory_hard_hash(Identity.parse(first["identity_public"]).public_key).hex() == first["memory_hard_digest"]


@pytest.mark.slow
@pytest.mark.parametrize("case", WRONG, ids=lambda case: str(case["what"]))
def test_what_idtool_rejects_is_not_valid(case: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"^the address {case['identity.public'][:10]} does not match the public key$"):
        valid(case["identity.public"])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("wrong-address", "the address ee60be4419 does not match the public key"),
        ("weak-hash", "the address 1cb950e041 does not match the public key"),
        ("flipped-bit", "the secret key does not match the public key"),
        ("foreign-secret", "the secret key does not match the public key"),  # ZeroTier accepts it, and never connects
        ("reserved-address", "the address ff68f9a484 is reserved"),
        ("zero-address", "the address 0000000000 is reserved"),
        *((name, "not a ZeroTier identity") for name in ("type-1", "short-public", "short-secret", "extra-field")),
        ("empty", "not a ZeroTier identity"),
    ],
)
def test_odd_texts_are_refused(name: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}"):
        valid(ODD[name]["identity_secret"])


@pytest.mark.parametrize("name", ["uppercase", "newline", "leading-space", "crlf"])
def test_odd_texts_that_the_daemon_accepts_are_read(name: str) -> None:
    assert ODD[name]["daemon"] == "ran as 6e68f9a484"
    assert Identity.parse(ODD[name]["identity_secret"]).secret == GENERATED[1]["identity_secret"]


def test_every_odd_text_is_tested() -> None:
    tested = {"wrong-address", "weak-hash", "flipped-bit", "foreign-secret", "reserved-address", "zero-address"}
    tested |= {"type-1", "short-public", "short-secret", "extra-field", "empty"}
    tested |= {"uppercase", "newline", "leading-space", "crlf", "public-only"}
    assert set(ODD) == tested


def test_a_public_identity_has_no_secret_file() -> None:
    identity = Identity.parse(ODD["public-only"]["identity_secret"])
    with pytest.raises(ValueError, match="has no secret key"):
        _ = identity.secret


def test_the_hash_of_a_key_without_an_address_is_right() -> None:
    weak = Identity.parse(ODD["weak-hash"]["identity_secret"])
    digest = memory_hard_hash(weak.public_key)
    assert (digest[0], digest[-5:]) == (103, weak.address)


@given(identities)
def test_what_is_written_is_read(identity: Identity) -> None:
    assert Identity.parse(identity.public) == replace(identity, secret_key=None)
    if identity.secret_key:
        assert Identity.parse(identity.secret) == identity
        assert identity.secret_key.hex() not in repr(identity)


@given(
    identities, st.floats(0, 0.99), st.sampled_from(["", "g", "é", "\N{FULLWIDTH DIGIT ZERO}", "aa", "0:", " ", "\n0"])
)
def test_a_text_with_one_character_replaced_by_this_is_refused(identity: Identity, place: float, other: str) -> None:
    inner = identity.public[1:-1]  # around the text, white space is ignored
    position = int(place * len(inner))
    changed = inner[:position] + other + inner[position + 1 :]
    with pytest.raises(ValueError, match=r"not a ZeroTier identity"):
        Identity.parse(identity.public[0] + changed + identity.public[-1])


@given(st.text())
def test_any_text_is_an_identity_or_refused(text: str) -> None:
    try:
        identity = Identity.parse(text)
    except ValueError:
        return
    assert text.strip(" \t\r\n").lower() in {identity.public, identity.secret_key and identity.secret}
