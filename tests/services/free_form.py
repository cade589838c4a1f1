"""Settings that take any data."""

from rolecall.service import FreeForm, Service, Settings


class Anything(Settings, extra="allow"):
    free: FreeForm = {}
    many: list[FreeForm] = []
    count: int = 0


service = Service("mine", description="For tests.")
service.role("r", Anything, description="Takes anything.")
