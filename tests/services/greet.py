"""Imports another module of its project in every way: at the top, and inside a function."""

from collections.abc import Iterator

import rolecall_project.shared as early

from rolecall.service import File, Member, Service, Settings


class Words(Settings):
    word: str = ""


service = Service("greet", description="Greets.")
everybody = service.role("all", Words, description="Is greeted.")


@everybody.configure
def greeting(_: Member[Words]) -> Iterator[File]:
    import rolecall_project.shared

    from .shared import WORD

    assert WORD == rolecall_project.shared.WORD == early.WORD
    yield File("/etc/motd", WORD)
