"""The next service, added to a copy of the checkout: a file with the machine's name."""

from collections.abc import Iterator

from rolecall.service import File, Member, NoSettings, Service

service = Service("toy", description="A toy.")
user = service.role("user", description="A role.")


@user.configure
def configure(me: Member[NoSettings]) -> Iterator[File]:
    yield File("/etc/toy", me.machine)
