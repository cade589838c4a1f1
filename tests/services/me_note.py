"""What the service @me/note of a Clan becomes: a file, for all machines of its one role."""

from collections.abc import Iterator

from rolecall.service import File, Member, NoSettings, Service

service = Service("me-note", description="A note.")
role = service.role("default", description="Has the note.")


@role.configure
def configure(_: Member[NoSettings]) -> Iterator[File]:
    yield File(path="/etc/note", content="x")
