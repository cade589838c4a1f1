"""Host names and IP addresses."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, Final

from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

# RFC 1123, 2.1; with the underscores that names in /etc/hosts and on private networks have.
_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
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


def is_own_host(host: str) -> bool:
    """Return whether a host means the computer itself that uses it."""
    name = host.removesuffix(".")
    if is_ip(name):
        address = ip_address(name)
        return address.is_loopback or address.is_unspecified
    return name.casefold().split(".")[-1] == "localhost"  # RFC 6761, 6.3


def problem_for_peers(host: str) -> str:
    """Return why other machines cannot be given this host of a target, judged by its form alone; "" if they can."""
    name = host.removesuffix(".")  # a name from the root of DNS on
    if not is_host_address(name):
        return f"{host!r} is not a valid host name"
    if is_own_host(host):
        return f"{host!r} means a different machine on each machine"
    if not is_ip(name) and "." not in name:
        return f"{host!r} has no domain and may be known to this computer only, such as an alias in ssh_config"
    return ""


def _host_address(text: str) -> str:
    if is_host_address(text):
        return text
    raise PydanticCustomError("host_address", "is not a host name or an IP address; a port does not belong to it")


HostAddress = Annotated[
    str, AfterValidator(_host_address), WithJsonSchema({"type": "string", "format": "host-address", "minLength": 1})
]
"""A host name or an IP address."""
