"""A setting of every type, for the faults of inventories in tests/evaluate/faults.txt."""

from enum import Enum
from typing import Annotated, Literal

from pydantic import Field, field_validator

from rolecall.service import AbsolutePath, Passphrase, SecretRef, Service, Settings, SSHKeyPair, replace

service = Service("club", description="For tests.")


class Address(Settings):
    host: str = Field(description="Where it is.")
    port: int = Field(22, ge=1, le=65535)


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class Local(Settings):
    kind: Literal["local"]
    folder: str


class Remote(Settings):
    kind: Literal["remote"]
    hosts: list[str] = Field(min_length=1)


class Named(Settings):
    kind_of_name: Literal["named"]


class Other(Settings):
    kind_of_name: Literal["other"]


class Login(Settings):
    user: str
    password: SecretRef


class TalkSettings(Settings):
    word: str = Field(description="What to say.")
    times: int = 1
    loud: bool = False
    volume: float = 1
    names: list[str] = []
    ports: set[int] = set()
    kind: Literal["ask", "tell"] = "tell"
    either: int | list[str] = 0
    peer: Address | None = None
    others: dict[str, Address] = {}
    more: list[Address] = []
    base_dir: AbsolutePath = AbsolutePath("/srv")
    colour: Colour = Colour.RED
    code: str = Field("abc", pattern="^[a-z]+$", min_length=2, max_length=4)
    even: int = Field(2, gt=0, lt=10, multiple_of=2)
    pairs: dict[str, int] = Field({}, max_length=2)
    rest: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    place: Annotated[Local | Remote, Field(discriminator="kind")] | None = None
    places: dict[str, Annotated[Local | Remote, Field(discriminator="kind")]] = {}
    named: Annotated[Named | Other, Field(discriminator="kind_of_name")] | None = None
    untold: Address | Login | str = ""
    chosen: Annotated[list[Address], replace] = []
    login: Login | None = None
    secret: SecretRef | None = None
    secrets: dict[str, list[SecretRef]] = {}

    @field_validator("word")
    @classmethod
    def _check(cls, word: str) -> str:
        if word == "cough":
            raise KeyError(word)
        if not word:
            raise ValueError("say something")
        return word


lead = service.role("lead", description="One.", minimum=1, maximum=1)
talk = service.role("talk", TalkSettings, description="Any.")
talk.var("pass", Passphrase())
talk.var("key", SSHKeyPair())
