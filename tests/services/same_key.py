"""Lets all clients in with one key, so that two clients conflict on the server."""

from collections.abc import Iterator

from rolecall.service import AuthorizedKey, Member, NoSettings, Service

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJhc2U2NGJhc2U2NGJhc2U2NGJhc2U2NGJhc2U2NGJh"

service = Service("mine", description="For tests.")
server = service.role("server", description="Lets clients in.")
client = service.role("client", description="Has a key.")


@server.configure
def serve(me: Member[NoSettings]) -> Iterator[AuthorizedKey]:
    for peer in me.members(client):
        yield AuthorizedKey("borg", KEY, ["borg", "serve", "--restrict-to-path", f"/srv/{peer.machine}"])
