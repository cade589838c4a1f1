"""Generators of identities and of ids of networks, without ZeroTier installed."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rolecall.service import VarFile
from rolecall_services.zerotier.identities import Identity
from rolecall_services.zerotier.networks import MOST_NETWORKS, network_id
from rolecall_services.zerotier.search import new_identity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rolecall.service import Context, Secret


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
