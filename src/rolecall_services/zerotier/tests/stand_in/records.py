"""The network controller: records in memory, read from files at the start alone, and written when they change."""

from __future__ import annotations

import json
import re
import time
from ipaddress import ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING, Any

from rolecall_services.zerotier.networks import rfc4193, sixplane

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Json = dict[str, Any]
_NETWORK_FILE = re.compile(r"[0-9a-fA-F]{16}\.json")
_MEMBER_FILE = re.compile(r"[0-9a-fA-F]{10}\.json")
_ADDRESS = re.compile(r"[0-9a-f]{10}")
_TRIALS = 1000
_MOST_ADDRESSES = 32
_ACCEPT = [{"not": False, "or": False, "type": "ACTION_ACCEPT"}]


def truth(value: object, default: bool) -> bool:  # noqa: FBT001 - as the daemon's own function
    """Return a value as the daemon reads it: texts count by their first letter, and "yes" is false."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return bool(value)
    return value[:1] in {"t", "T", "1"} if isinstance(value, str) else default


def now() -> int:
    """Return the time in milliseconds."""
    return int(time.time() * 1000)


class Controller:
    """All records.

    Attributes:
        networks: Networks by id.
        members: Members by network and id.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / "controller.d/network"
        self._folder.mkdir(parents=True, exist_ok=True)
        (home / "controller.d/trace").mkdir(exist_ok=True)
        self.networks: dict[str, Json] = {}
        self.members: dict[str, dict[str, Json]] = {}
        for path in sorted(self._folder.iterdir()):
            if _NETWORK_FILE.fullmatch(path.name) and (record := _loaded(path, "id")):
                self.networks[str(record["id"])] = record
        for network in self.networks:
            self.members[network] = {}
            folder = self._folder / network / "member"
            for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                record = _loaded(path, "id", "nwid") if _MEMBER_FILE.fullmatch(path.name) else None
                if record and record["nwid"] in self.networks and _ADDRESS.fullmatch(record["id"]):
                    self.members.setdefault(record["nwid"], {})[record["id"]] = record

    def post_network(self, network: str, body: Json) -> Json:
        """Change a network by the API, which creates it, fills in defaults, and ignores what it does not know."""
        record = self.networks.setdefault(network, {})
        defaults: Json = {
            "private": True,
            "creationTime": now(),
            "name": "",
            "multicastLimit": 32,
            "enableBroadcast": True,
            "v4AssignMode": {"zt": False},
            "v6AssignMode": {"rfc4193": False, "zt": False, "6plane": False},
            "authTokens": [None],
            "capabilities": [],
            "tags": [],
            "routes": [],
            "ipAssignmentPools": [],
            "mtu": 2800,
            "remoteTraceTarget": None,
            "remoteTraceLevel": 0,
            "rulesSource": "",
            "rules": _ACCEPT,
            "dns": [],
            "ssoEnabled": False,
            "clientId": "",
            "authorizationEndpoint": "",
        }
        for name, value in defaults.items():
            record.setdefault(name, value)
        record["objtype"] = "network"
        for name, read in _FIELDS.items():
            if name in body and (value := read(body[name])) is not _IGNORED:
                record[name] = value
        record["id"] = record["nwid"] = network
        record["revision"] = record.get("revision", 0) + 1
        self.members.setdefault(network, {})
        self._write(self._folder / f"{network}.json", record)
        return record

    def post_member(self, network: str, address: str, body: Json) -> Json:
        """Change a member by the API; it does not take an identity."""
        record = self.members[network].setdefault(address, {})
        _fill(record)
        if "authorized" in body and (wanted := truth(body["authorized"], default=False)) != record["authorized"]:
            record["authorized"] = wanted
            record["lastAuthorizedTime" if wanted else "lastDeauthorizedTime"] = now()
            if wanted:
                record["lastAuthorizedCredentialType"] = "api"
        for name in ("activeBridge", "noAutoAssignIps"):
            if name in body:
                record[name] = truth(body[name], default=False)
        if isinstance(body.get("ipAssignments"), list):
            record["ipAssignments"] = [str(ip_interface(each).ip) for each in body["ipAssignments"]]
        for name in ("tags", "capabilities"):
            if isinstance(body.get(name), list):
                record[name] = body[name]
        self._save(network, address, record)
        return record

    def delete_network(self, network: str) -> Json:
        """Forget a network and its members."""
        record = self.networks.pop(network)
        for address in [*self.members.get(network, {})]:
            self.delete_member(network, address)
        (self._folder / f"{network}.json").unlink(missing_ok=True)
        return record

    def delete_member(self, network: str, address: str) -> Json:
        """Forget a member."""
        record = self.members[network].pop(address)
        self._path(network, address).unlink(missing_ok=True)
        return record

    def request(self, network: str, identity: str) -> tuple[str, Json]:
        """Answer a member's request: a status, and for OK its configuration."""
        settings = self.networks.get(network)
        if settings is None:
            return "NOT_FOUND", {}
        address = identity[:10]
        record = self.members[network].get(address)
        before = json.dumps(record, sort_keys=True)
        record = dict(record or {})
        _fill(record)
        if record.get("identity") and record["identity"] != identity:
            return "ACCESS_DENIED", {}
        record["identity"] = identity
        if not truth(settings.get("private"), default=True) and not truth(record["authorized"], default=False):
            record.update(authorized=True, lastAuthorizedCredentialType="public", lastAuthorizedTime=now())
        authorized = truth(record["authorized"], default=False)
        given = self._assign(network, settings, address, record) if authorized else []
        if json.dumps(record, sort_keys=True) != before:
            self._save(network, address, record)
        if not authorized:
            return "ACCESS_DENIED", {}
        public = not truth(settings.get("private"), default=True)
        config = {
            "name": settings.get("name", "")[:127],
            "mtu": settings.get("mtu", 2800),
            "addresses": given,
            "routes": settings.get("routes") or [],
            "type": "PUBLIC" if public else "PRIVATE",
            "revision": settings.get("revision", 0),
            "dns": settings.get("dns") or {},
            "passes": bool(settings.get("rules")),  # without a rule, no packet passes
        }
        return "OK", config

    def _assign(self, network: str, settings: Json, address: str, record: Json) -> list[str]:
        """Return a member's addresses; one from a pool is added to its record."""
        mode4, mode6 = (settings.get(name) for name in ("v4AssignMode", "v6AssignMode"))
        mode4, mode6 = (mode if isinstance(mode, dict) else {} for mode in (mode4, mode6))
        automatic = not truth(record["noAutoAssignIps"], default=False)
        found = []
        if automatic and truth(mode6.get("rfc4193"), default=False):
            found.append(str(rfc4193(network, address)))
        if automatic and truth(mode6.get("6plane"), default=False):
            found.append(str(sixplane(network, address)))
        families = set()
        for text in record["ipAssignments"]:
            one = ip_interface(text).ip
            families.add(one.version)
            if (prefix := _prefix(settings, str(one))) is not None:
                found.append(f"{one}/{prefix}")
        if automatic and truth(mode4.get("zt"), default=False) and 4 not in families:
            taken = {str(ip_interface(each).ip) for it in self.members[network].values() for each in _addresses(it)}
            if (chosen := _from_pool(settings, address, taken)) is not None:
                record["ipAssignments"] = [*record["ipAssignments"], chosen]
                found.append(f"{chosen}/{_prefix(settings, chosen)}")
        return found[:_MOST_ADDRESSES]

    def _path(self, network: str, address: str) -> Path:
        return self._folder / network / "member" / f"{address}.json"

    def _save(self, network: str, address: str, record: Json) -> None:
        record.update(id=address, address=address, nwid=network, revision=record.get("revision", 0) + 1)
        self.members[network][address] = record
        self._write(self._path(network, address), record)

    def _write(self, path: Path, record: Json) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, sort_keys=True, separators=(",", ":")))
        path.chmod(0o600)


_IGNORED: Any = object()


def _list(read: Callable[[Json], Json | None]) -> Callable[[Any], Any]:
    """Return a function that reads a list of objects, and ignores anything else."""

    def listed(value: Any) -> Any:  # noqa: ANN401 - JSON
        return [one for each in value if (one := read(each))] if isinstance(value, list) else _IGNORED

    return listed


def _modes(value: Json) -> Json:
    return {name: truth(on, default=False) for name, on in sorted(value.items())}


_FIELDS: dict[str, Callable[[Any], Any]] = {
    "name": str,
    "private": lambda value: truth(value, default=True),
    "enableBroadcast": lambda value: truth(value, default=False),
    "multicastLimit": int,
    "mtu": lambda value: max(1280, min(10000, value)),
    "v4AssignMode": lambda value: {"zt": truth(value.get("zt"), default=False)},
    "v6AssignMode": _modes,
    "routes": _list(lambda each: {"target": each["target"], "via": each.get("via")} if "/" in each["target"] else None),
    "ipAssignmentPools": _list(lambda each: {name: each[name] for name in ("ipRangeStart", "ipRangeEnd")}),
    "rules": _list(lambda each: {"not": False, "or": False, **each}),
    "authTokens": lambda value: (value or None) if isinstance(value, dict) else _IGNORED,
    "dns": lambda value: (
        {name: value.get(name) for name in ("domain", "servers")} if isinstance(value, dict) else _IGNORED
    ),
}
"""How the API reads each field of a network that it knows."""


def _loaded(path: Path, *needed: str) -> Json | None:
    """Return a record, without a word about one that is unusable."""
    try:
        record = json.loads(path.read_text())
    except ValueError:
        return None
    usable = isinstance(record, dict) and all(isinstance(record.get(name), str) for name in needed)
    return record if usable else None


def _fill(record: Json) -> None:
    defaults: Json = {
        "authorized": False,
        "ssoExempt": False,
        "ipAssignments": [],
        "activeBridge": False,
        "tags": [],
        "capabilities": [],
        "creationTime": now(),
        "noAutoAssignIps": False,
        "revision": 0,
        "lastDeauthorizedTime": 0,
        "lastAuthorizedTime": 0,
        "lastAuthorizedCredentialType": None,
        "lastAuthorizedCredential": None,
        "authenticationExpiryTime": 0,
        "remoteTraceTarget": None,
        "remoteTraceLevel": 0,
        "vMajor": -1,
        "vMinor": -1,
        "vRev": -1,
        "vProto": -1,
    }
    for name, value in defaults.items():
        record.setdefault(name, value)
    record["objtype"] = "member"


def _addresses(record: Json) -> list[str]:
    found = record.get("ipAssignments")
    return found if isinstance(found, list) else []


def _prefix(settings: Json, address: str) -> int | None:
    """Return the prefix length of the longest route that contains an address; None if it is dropped silently."""
    one, found = ip_address(address), []
    for route in settings.get("routes") or ():
        network = ip_network(route["target"], strict=False)
        if one in network:
            found.append(network.prefixlen)
    return max(found, default=None)


def _from_pool(settings: Json, address: str, taken: set[str]) -> str | None:
    """Return an IPv4 address: never the end of a pool, and none in a route with host bits."""
    routes = [each["target"] for each in settings.get("routes") or () if not each.get("via")]
    exact = [ip_network(each) for each in routes if str(ip_network(each, strict=False)) == each]
    for pool in settings.get("ipAssignmentPools") or ():
        start, end = ip_address(pool["ipRangeStart"]), ip_address(pool["ipRangeEnd"])
        span = int(end) - int(start)
        if start.version != 4:
            continue
        for trial in range(_TRIALS):
            offset = (int(address, 16) % 2**32 + trial) % span if span else 0
            chosen = start + offset
            last = int(chosen) % 256 == 255
            if not last and str(chosen) not in taken and any(chosen in network for network in exact):
                return str(chosen)
    return None
