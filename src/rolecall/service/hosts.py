"""Names and addresses of hosts, as ssh(1), URLs and files of known hosts write them."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

# RFC 1123, 2.1; with the underscores that names in /etc/hosts and on private networks have.
_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
SSH_PORT: Final = 22
_NAME: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\Z")


def is_host_address(text: str) -> bool:
    """Return whether a text is a host name or an IP address, without user, port, brackets or zone."""
    return "%" not in text if is_ip(text) else bool(_NAME.match(text))


def is_ip(text: str) -> bool:
    """Return whether a text is an IP address, perhaps with a zone."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def host_and_port(address: str, port: int, *, default: int = SSH_PORT) -> str:
    """Return a host as URLs have it: an IPv6 address in brackets, and the port unless it is the default."""
    host = f"[{address}]" if ":" in address else address
    return host if port == default else f"{host}:{port}"


def known_hosts(address: str, port: int, host_keys: Iterable[str]) -> str:
    """Return the lines of a known_hosts file (sshd(8)) for a host, one for each key ``TYPE BASE64``."""
    name = address if port == SSH_PORT else f"[{address}]:{port}"
    return "".join(f"{name} {key}\n" for key in host_keys)
