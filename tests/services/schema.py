"""Settings with defaults, limits and descriptions, which the schema for editors must show."""

from typing import Literal

from pydantic import Field

from rolecall.service import SecretRef, Service, Settings


class Limits(Settings):
    soft: int = Field(10, ge=0, description="Where it warns.")
    hard: int | None = Field(None, description="Where it stops.")


class Says(Settings):
    word: str = Field(description="What is said.")
    times: int = Field(1, ge=1, le=9, description="How often.")
    tone: Literal["loud", "quiet"] = Field("quiet", description="How.")
    also: list[str] = Field([], min_length=0, description="What else.")
    limits: Limits = Field(Limits(), description="Bounds.")
    named: dict[str, Limits] = Field({}, description="Bounds by name.")
    secret: SecretRef | None = Field(None, description="Names a secret.")


service = Service("club", description="For tests of the schema.")
talk = service.role("talk", Says, description="Talks.")
lead = service.role("lead", description="Leads.")
