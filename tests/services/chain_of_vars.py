"""Three vars, each made from the one before; the first one has a file that tests rename."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rolecall.service import Context, File, Member, NoSettings, Secret, Service, VarFile


@dataclass(frozen=True)
class Text:
    file: str

    @property
    def files(self) -> tuple[VarFile, ...]:
        return (VarFile(self.file, secret=False),)

    def generate(self, context: Context) -> Mapping[str, bytes]:
        known = "+".join(value.decode() for files in context.inputs.values() for value in files.values())
        return {self.file: f"{self.file}({known})".encode()}

    def view(self, files: Mapping[str, str | Secret]) -> str:
        text = files[self.file]
        assert isinstance(text, str)
        return text


service = Service("mine", description="For tests.")
one = service.role("one", description="One.")
two = service.role("two", description="Has nothing.")
first = one.var("first", Text("one"))
second = one.var("second", Text("two"), needs=[first])
third = one.var("third", Text("three"), needs=[second])


@one.configure
def show(me: Member[NoSettings]) -> Iterator[File]:
    yield File("/third", me[third])
