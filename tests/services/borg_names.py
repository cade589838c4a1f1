"""Has the names of borgbackup's role and var, but does not bind the var."""

from rolecall.service import Passphrase, Service

service = Service("other", description="For tests.")
one = service.role("client", description="x")
key = one.var("repokey", Passphrase())
