"""How machines are reached from outside, as far as `deploy.targetHost` does not say it."""

from collections.abc import Iterator

from pydantic import Field

from rolecall.service import HostAddress, Member, Network, Service, Settings

service = Service("internet", description="How machines are reached from outside: host, port, user and jump host.")


class MachineSettings(Settings):
    """Where the machine's SSH server is reached."""

    host: HostAddress = Field(description="Name or IP address.")
    port: int | None = Field(None, ge=1, le=65535, description="Port; without one, that of the target, or 22.")
    user: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$",
        description="User to log in as; without one, that of the target, or what your ssh_config says.",
    )
    jump: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]*$",
        description="Machine of the inventory through which this computer reaches it.",
    )
    priority: int = Field(1000, description="Of several networks, the one with the highest priority is tried first.")


default = service.role("default", MachineSettings, description="Is reached from outside.")


@default.exports(Network)
def offer_network(me: Member[MachineSettings]) -> Iterator[Network]:
    """Yield what the settings say."""
    settings = me.settings
    yield Network(
        address=settings.host,
        priority=settings.priority,
        purpose="the internet",
        user=settings.user or "",
        port=settings.port or 0,
        jump=settings.jump or "",
    )
