"""A key pair, and nothing that uses it."""

from rolecall.service import Service, SSHKeyPair

service = Service("mesh", description="For tests.")
peer = service.role("peer", description="Has a key.")
key = peer.var("key", SSHKeyPair())
