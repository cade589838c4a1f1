"""Installs the secrets of all members of another role on one machine, where their paths can conflict."""

from collections.abc import Iterator

from rolecall.service import File, Member, NoSettings, Passphrase, Service, secret_file

service = Service("mine", description="For tests.")
reader = service.role("reader", description="Has the secrets of all.")
writer = service.role("writer", description="Has one.")
words = writer.var("words", Passphrase())


@reader.configure
def read(me: Member[NoSettings]) -> Iterator[File]:
    for peer in me.members(writer):
        yield secret_file(peer[words].secret)
