"""Generators of identities, ids of networks, and moons, without ZeroTier installed."""

from __future__ import annotations

import re
import secrets
import time
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from rolecall.service import Interface, VarFile
from rolecall_services.zerotier import keys, worlds
from rolecall_services.zerotier.identities import Identity
from rolecall_services.zerotier.networks import MOST_NETWORKS, network_id
from rolecall_services.zerotier.search import new_identity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rolecall.service import Context, Secret

MOST_MOONS = 2**40
"""Ids of moons, and one more: the daemon's API knows no longer ones than an address."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node's identity as service code sees it: the secret file by reference, the public half in parts."""

    secret: Secret
    identity: Identity


@dataclass(frozen=True, slots=True)
class ZeroTierIdentity:
    """The identity of a node: the daemon's files `identity.secret` and `identity.public`, without newlines."""

    files: tuple[VarFile, ...] = (VarFile("secret"), VarFile("public", secret=False))

    def generate(self, context: Context) -> Mapping[str, bytes]:  # noqa: ARG002 - the contract's form
        """Generate both files, which takes a few seconds."""
        identity = new_identity()
        return {"secret": identity.secret.encode(), "public": identity.public.encode()}

    def view(self, files: Mapping[str, str | Secret]) -> Node:
        """Return the secret file by reference, and the public one in parts."""
        secret = files["secret"]
        assert not isinstance(secret, str)  # noqa: S101 - `files` says so
        return Node(secret, Identity.parse(str(files["public"])))

    def verify(self, values: Mapping[str, bytes], inputs: Mapping[str, Sequence[Mapping[str, bytes]]]) -> str:  # noqa: ARG002 - the contract's form
        """Check that both files are of one identity, which is valid."""
        try:
            public = Identity.parse(values["public"].decode(errors="replace"))
            if public.secret_key is not None:
                return "its public file has a secret key"
            whole = Identity.parse(values["secret"].decode(errors="replace")) if "secret" in values else None
            if whole is not None and whole.secret_key is None:
                return "its secret file has no secret key"
            if whole is not None and whole.public != public.public:
                return "its files are of two identities"
            (whole or public).validate()
        except ValueError as error:
            return str(error)
        return ""


@dataclass(frozen=True, slots=True)
class NetworkId:
    """The id of a network: 16 lower-case hexadecimal digits, of which the first ten are its controller's address.

    It reads the var `identity` of the controller.
    """

    files: tuple[VarFile, ...] = (VarFile("id", secret=False),)

    def generate(self, context: Context) -> Mapping[str, bytes]:
        """Generate an id with a random number, so that a controller can have several networks."""
        address = context.inputs["identity"]["public"][:10].decode()
        return {"id": network_id(address, 1 + secrets.randbelow(MOST_NETWORKS - 1)).encode()}

    def view(self, files: Mapping[str, str | Secret]) -> str:
        """Return the id."""
        return str(files["id"]).strip()

    def verify(self, values: Mapping[str, bytes], inputs: Mapping[str, Sequence[Mapping[str, bytes]]]) -> str:
        """Check that the id is one, and begins with the controller's address."""
        text = values["id"].decode(errors="replace").strip()
        if not re.fullmatch("[0-9a-f]{16}", text):
            return "it is not the id of a network: 16 lower-case hexadecimal digits"
        identities = inputs.get("identity", ())
        if any(not each["public"].decode(errors="replace").startswith(text[:10]) for each in identities):
            return "the id does not begin with the address of the controller"
        return ""


class Root(Interface):
    """A root of a moon, as all nodes must know it."""

    identity: str = Field(description="Its public identity.")
    endpoints: tuple[str, ...] = Field(description="Each ADDRESS/PORT at which nodes reach it.")


@dataclass(frozen=True, slots=True)
class MoonFile:
    """A moon as service code sees it: its id, 16 hexadecimal digits, and the content of its file."""

    id: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Moon:
    """A moon of the roots that the members of an instance publish: its signing key, and its file, as base64.

    When its roots change, it keeps its id and its key, and gets a later time: so nodes take it from one another. The
    var is declared with ``extends=True``.
    """

    files: tuple[VarFile, ...] = (VarFile("key"), VarFile("file", secret=False))

    def generate(self, context: Context) -> Mapping[str, bytes]:
        """Generate the file for the present roots, with the earlier key and id if there are any."""
        instance = context.key.name.partition(".")[0]
        roots = [
            worlds.Root(Identity.parse(root.identity), [*map(worlds.Endpoint.parse, root.endpoints)])
            for root in (export.value for export in context.exports(Root, instance=instance))
        ]
        number, timestamp = 1 + secrets.randbelow(MOST_MOONS - 1), time.time_ns() // 10**6
        key = secrets.token_bytes(keys.KEY_SIZE)
        if earlier := context.earlier:
            key = bytes.fromhex(earlier["key"].decode())
            number, before = worlds.number_and_timestamp(b64decode(earlier["file"]))
            timestamp = max(timestamp, before + 1)
        content = worlds.moon(number, timestamp, roots, key)
        return {"key": key.hex().encode(), "file": b64encode(content)}

    def view(self, files: Mapping[str, str | Secret]) -> MoonFile:
        """Return the file alone."""
        content = b64decode(str(files["file"]))
        number, _ = worlds.number_and_timestamp(content)
        return MoonFile(f"{number:016x}", content)

    def verify(self, values: Mapping[str, bytes], inputs: Mapping[str, Sequence[Mapping[str, bytes]]]) -> str:  # noqa: ARG002 - the contract's form
        """Check that the file is a moon that its key has signed."""
        try:
            signer = worlds.signer(b64decode(values["file"], validate=True))
            if "key" in values and keys.public_key(bytes.fromhex(values["key"].decode())) != signer:
                return "its file is signed with another key"
        except ValueError as error:
            return str(error) or "its file is not a moon"
        return ""
