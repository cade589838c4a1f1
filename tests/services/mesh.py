"""Secrets on real machines: a shared one, one that a script makes from an answer, and one that a setting names."""

from collections.abc import Iterator

from rolecall.service import (
    Delivery,
    File,
    Member,
    Passphrase,
    Prompt,
    Script,
    SecretRef,
    Service,
    Settings,
    VarFile,
    parts,
)

SCRIPT = 'tr a-z A-Z <"$prompts/seed" >"$out/token"'


class PeerSettings(Settings):
    password: SecretRef


service = Service("mesh", description="For tests.")
peer = service.role("peer", PeerSettings, description="All.")
common = peer.var(
    "common",
    Passphrase(),
    scope="shared",
    deliver={"passphrase": Delivery(owner="daemon", group="daemon", mode=0o440, restarts=("foreign.service",))},
)
token = peer.var(
    "token",
    Script(SCRIPT, (VarFile("token"),), (Prompt("seed", "Anything"),)),
    deliver={"token": Delivery()},
)


@peer.configure
def configure(me: Member[PeerSettings]) -> Iterator[File]:
    yield File("/etc/mesh.conf", parts("password = ", me.secret(me.settings.password), "\n"), mode=0o600)
