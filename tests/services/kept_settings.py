"""Settings of the plain types, with defaults, for the rows of docs/reference/clan.md."""

from rolecall.service import Service, Settings


class Kept(Settings):
    count: int = 0
    ratio: float = 0.5
    items: list[str] = []
    label: str | None = "none"
    table: dict[str, int] = {}


service = Service("svc", description="A service.")
role = service.role("default", Kept, description="A role.")
