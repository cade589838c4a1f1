"""A file and a check, on a machine that an earlier version installed."""

from collections.abc import Iterator

from rolecall.service import Check, File, Member, NoSettings, Service

service = Service("q", description="For tests.")
r = service.role("r", description="For tests.")


@r.configure
def configure(_: Member[NoSettings]) -> Iterator[File]:
    yield File("/etc/a", "x", mode=0o644)


@r.check
def check(_: Member[NoSettings]) -> Iterator[Check]:
    yield Check("works", ("works",))
