"""Needs two seconds after its switch, before the next wave begins."""

from collections.abc import Iterator

from rolecall.service import Check, Member, NoSettings, Service

service = Service("slow", description="For tests.")
slow = service.role("slow", description="Needs two seconds after its switch, before the next wave begins.")


@slow.check
def wait(_: Member[NoSettings]) -> Iterator[Check]:
    yield Check("slow", ("sleep", "2"))
