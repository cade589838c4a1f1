"""Names and addresses of hosts, as ssh(1), URLs and files of known hosts read them alike."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final

# RFC 1123, 2.1; with the underscores that names in /etc/hosts and on private networks have.
_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\Z")


def is_host_address(text: str) -> bool:
    """Return whether a text is a host name or an IP address, without user, port, brackets or zone."""
    try:
        return "%" not in str(ip_address(text))
    except ValueError:
        return bool(_NAME.match(text))
