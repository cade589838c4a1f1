"""Generators of a text that a function returns, public or secret; the beginning of services that use them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rolecall.service import Context, Interface, Secret, Service, VarFile

service = Service("mine", description="For tests.")
one = service.role("one", description="One.")
two = service.role("two", description="Two.")


@dataclass(frozen=True)
class Tells:
    what: Callable[[Context], str]
    files: tuple[VarFile, ...] = (VarFile("text", secret=False),)

    def generate(self, context: Context) -> Mapping[str, bytes]:
        return {"text": self.what(context).encode()}

    def view(self, files: Mapping[str, str | Secret]) -> str:
        text = files["text"]
        assert isinstance(text, str)
        return text


@dataclass(frozen=True)
class Hides:
    what: Callable[[Context], str]
    files: tuple[VarFile, ...] = (VarFile("text"),)

    def generate(self, context: Context) -> Mapping[str, bytes]:
        return {"text": self.what(context).encode()}

    def view(self, files: Mapping[str, str | Secret]) -> str | Secret:
        return files["text"]


class Name(Interface):
    text: str
