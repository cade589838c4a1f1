"""A var that is generated for all members of an instance."""

from collections.abc import Mapping
from typing import Any

from rolecall.service import Context, Function, Service, Settings, VarFile


class PeerSettings(Settings):
    port: int = 1


def wanted(members: Mapping[str, Mapping[str, Any]]) -> object:
    ports = {
        role: ", ".join(f"{name} {getattr(each, 'port', '-')}" for name, each in named.items())
        for role, named in members.items()
    }
    return [f"{role}: {text}" for role, text in ports.items()]


def listed(context: Context) -> Mapping[str, bytes]:
    return {"names": "; ".join(context.wanted).encode()}


service = Service("mesh", description="For tests.")
peer = service.role("peer", PeerSettings, description="All.")
watcher = service.role("seen", description="Sees.")
names = peer.var(
    "names", Function(listed, (VarFile("names", secret=False),)), scope="shared", instance_validation=wanted
)
