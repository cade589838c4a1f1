"""Vars of every scope: of a member, of a machine, and of all members of an instance."""

from collections.abc import Iterator, Mapping

from rolecall.service import Context, File, Function, Member, Passphrase, Secret, Service, Settings, VarFile


class PeerSettings(Settings):
    port: int = 1


def join_inputs(context: Context) -> Mapping[str, bytes]:
    return {"text": b"-".join(context.inputs[name]["passphrase"] for name in ("host", "common"))}


def list_peers(context: Context) -> Mapping[str, bytes]:
    return {"text": ",".join(sorted(context.peers["common"])).encode()}


service = Service("mesh", description="For tests.")
peer = service.role("peer", PeerSettings, description="All.")
host = peer.var("host", Passphrase(), scope="machine")
common = peer.var("common", Passphrase(), scope="shared")
own = peer.var("own", Function(join_inputs, (VarFile("text"),)), needs=[host, common])
watcher = service.role("seen", description="Sees.")
seen = watcher.var("seen", Function(list_peers, (VarFile("text", secret=False),)), needs=[common])


@peer.configure
def configure(me: Member[PeerSettings]) -> Iterator[File]:
    text = me[own]["text"]
    assert isinstance(text, Secret)
    yield File(me.path("names"), f"{me[host].secret.name} {me[common].secret.name} {text.name}")
