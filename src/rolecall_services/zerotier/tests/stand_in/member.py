"""A network that a node has joined: its files, what the node accepts of it, and its interface."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import struct
import subprocess
from ipaddress import IPv4Interface, IPv6Interface, ip_interface, ip_network
from typing import TYPE_CHECKING, Any

from rolecall_services.zerotier.networks import device_name, mac

if TYPE_CHECKING:
    from pathlib import Path

Json = dict[str, Any]
_LONGEST_LIST = 1023
_YES_OR_NO = 5
_TUNSETIFF, _TAP_WITHOUT_HEADER = 0x400454CA, 0x1002  # linux/if_tun.h
_PRIVATE = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "198.18.0.0/15", "fc00::/7"]


class Joined:
    """One network.

    Attributes:
        status: As the API shows it.
        config: What the controller sent last.
        cut: The members that the controller has revoked.
    """

    def __init__(self, home: Path, network: str, address: str, *, tap: bool) -> None:
        self.network, self._address, self._home = network, address, home
        self._file = home / f"networks.d/{network}.conf"
        self.status, self.cut = "REQUESTING_CONFIGURATION", set[str]()
        self.config: Json = {}
        self.allow = self._permissions()
        self._tap = -1
        self.device = device_name(network)
        content = self._file.read_bytes() if self._file.exists() else b""
        if content.strip():  # what was received last is used until the controller answers
            self.status, self.config = "OK", json.loads(content)
        else:
            self._file.write_bytes(b"\n")
        if tap:
            self._tap = _open_tap(self.device)  # OSError: the network is not listed then
        self._apply()

    def received(self, status: str, config: Json) -> None:
        """Take what the controller has sent; a member that is denied keeps its interface and addresses."""
        self.status = status
        if status == "OK" and config != self.config:
            self.config = config
            self._file.write_text(json.dumps(config))
            self._apply()

    def leave(self) -> None:
        """Remove the interface and both files."""
        self.close()
        self._file.unlink(missing_ok=True)
        self._file.with_name(f"{self.network}.local.conf").unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the interface."""
        if self._tap >= 0:
            os.close(self._tap)
            self._tap = -1

    def permit(self, **changed: bool) -> None:
        """Change what the node accepts by the API: the list of networks is lost with that."""
        self.allow = {**self.allow, **changed, "managed": []}
        names = {"allowManaged": "allowManaged", "allowGlobal": "allowGlobal", "allowDefault": "allowDefault"}
        lines = [f"{name}={self.allow.get(key, name == 'allowManaged'):d}" for name, key in names.items()]
        text = "\n".join([*lines, "allowDNS=0"]) + "\n"
        self._file.with_name(f"{self.network}.local.conf").write_text(text)

    def shown(self) -> Json:
        """Return what the API lists: what was assigned, also if the node does not accept it."""
        return {
            "id": self.network,
            "nwid": self.network,
            "status": self.status,
            "portDeviceName": self.device,
            "assignedAddresses": self.config.get("addresses", []),
            "routes": self.config.get("routes", []),
            "mac": mac(self.network, self._address),
            "mtu": self.config.get("mtu", 2800),
            "portError": 0,
            "name": self.config.get("name", ""),
            "type": self.config.get("type", "PRIVATE"),
            "dhcp": False,
            "netconfRevision": self.config.get("revision", 0),
            "bridge": False,
            "broadcastEnabled": True,
            "allowManaged": self.allow["allowManaged"],
            "allowGlobal": self.allow["allowGlobal"],
            "allowDefault": self.allow["allowDefault"],
            "allowDNS": False,
        }

    def accepted(self) -> list[str]:
        """Return the assigned addresses that the node accepts."""
        return [each for each in self.config.get("addresses", []) if self._accepts(ip_interface(each))]

    def _accepts(self, address: IPv4Interface | IPv6Interface) -> bool:
        if not self.allow["allowManaged"]:
            return False
        listed = self.allow["managed"]
        if listed and not any(
            address.version == one.version and address.ip in one and one.prefixlen <= address.network.prefixlen
            for one in listed
        ):
            return False
        private = any(address.ip in ip_network(each) for each in _PRIVATE)
        return private or bool(self.allow["allowGlobal"])

    def _permissions(self) -> Json:
        allow: Json = {"allowManaged": True, "allowGlobal": False, "allowDefault": False, "managed": []}
        path = self._file.with_name(f"{self.network}.local.conf")
        for line in path.read_text().splitlines() if path.exists() else ():
            name, _, value = line.partition("=")
            if name == "allowManaged" and len(value) > _YES_OR_NO:
                if len(value) <= _LONGEST_LIST:  # a longer one is ignored
                    allow["managed"] = [ip_network(each) for each in value.split(",")]
            elif name in allow:
                allow[name] = value[:1] in {"1", "t", "T"}
        return allow

    def _apply(self) -> None:
        if self._tap < 0:
            return
        wanted = set(self.accepted())
        argv = ["ip", "-json", "address", "show", "dev", self.device, "scope", "global"]
        shown = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout or "[]")
        there = {f"{it['local']}/{it['prefixlen']}" for link in shown for it in link.get("addr_info", ()) if it}
        for verb, addresses in (("add", wanted - there), ("del", there - wanted)):
            for each in addresses:
                subprocess.run(["ip", "address", verb, each, "dev", self.device], check=True)


def _open_tap(name: str) -> int:
    """Create an interface that ends with this process."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TAP_WITHOUT_HEADER))
        subprocess.run(["ip", "link", "set", name, "up"], check=True)
    except BaseException:
        with contextlib.suppress(OSError):
            os.close(descriptor)
        raise
    return descriptor
