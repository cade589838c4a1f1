"""Names and addresses of hosts, as ssh(1), URLs and files of known hosts write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

SSH_PORT: Final = 22


def host_and_port(address: str, port: int, *, default: int = SSH_PORT) -> str:
    """Return a host as URLs have it: an IPv6 address in brackets, and the port unless it is the default."""
    host = f"[{address}]" if ":" in address else address
    return host if port == default else f"{host}:{port}"


def known_hosts(address: str, port: int, host_keys: Iterable[str]) -> str:
    """Return the lines of a known_hosts file (sshd(8)) for a host, one for each key ``TYPE BASE64``."""
    name = address if port == SSH_PORT else f"[{address}]:{port}"
    return "".join(f"{name} {key}\n" for key in host_keys)
