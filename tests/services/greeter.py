"""One role with one setting, for lists of services; tests give it other names."""

from rolecall.service import Service, Settings


class Greets(Settings):
    name: str


service = Service("greeter", description="Greets.")
service.role("greeter", Greets, description="Says it.", maximum=1)
