"""Secrets that a machine receives: its own, one that all members share, and one that is bound."""

from rolecall.service import Delivery, Passphrase, Service

service = Service("mesh", description="For tests.")
peer = service.role("peer", description="All.")
common = peer.var("common", Passphrase(), scope="shared", deliver={"passphrase": Delivery()})
own = peer.var("own", Passphrase(), deliver={"passphrase": Delivery()})
disk = peer.var("disk", Passphrase(), binds="the disk is encrypted with it", deliver={"passphrase": Delivery()})
