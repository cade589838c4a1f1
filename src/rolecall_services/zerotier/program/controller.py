"""What the controller has of its networks, and what it must have.

Its files are read at its start alone, so what changes later goes through the API: only that revokes a member at once.
The API cannot say which key a member has; only a file can, before a start.
"""

from __future__ import annotations

import contextlib
import json
from ipaddress import ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING, NamedTuple

from .declared import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .api import Api
    from .declared import Declared, Json
    from .tree import Tree

_PATH = "/controller/network"
_FILES = "controller.d/network"
_SHOWN = 5
NO_CONTROLLER = (
    "this zerotier-one has no network controller, so nothing was changed; packages of 1.16 and later leave it out by "
    "default: install one that has it, or give the role `controller` to another machine"
)


class Change(NamedTuple):
    """Something that differs, and the request that mends it; without a path, none does."""

    what: str
    path: str = ""
    body: Json | None = None  # None: it is deleted


def reconcile(api: Api, declared: Declared) -> list[str]:
    """Bring the controller to what is declared, verify that, and return what has changed.

    Raises:
        Problem: When the daemon has no controller (nothing is changed then), or something differs afterwards.
        Silence: When the daemon does not answer.
    """
    state = declared.state
    if not declared.controlled and not state.controlled:
        return []
    if not api.has_controller():
        if not declared.controlled:  # whoever removed it has removed the networks
            return []
        raise Problem(NO_CONTROLLER)
    state.controlled |= declared.controlled.keys()
    state.save()
    done = [*changes(api, declared)]
    for change in done:
        if change.path and change.body is None:
            api.ask("DELETE", change.path)
        elif change.path:
            answer = api.ask("POST", change.path, change.body)
            if change.body == {"authorized": False} and (answer or {}).get("authorized") is not False:
                raise Problem(f"the controller does not revoke: {change.what}")
    if left := [change.what for change in changes(api, declared)]:
        more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        raise Problem(f"the controller is not as declared: {'; '.join(left[:_SHOWN])}{more}")
    state.controlled = set(declared.controlled)
    state.save()
    return [change.what for change in done]


def revoke(api: Api, declared: Declared) -> None:
    """Revoke members that are no longer declared, and forget them; `reconcile` verifies that. Raises as `Api.ask`."""
    revoked = set()
    for change in [*changes(api, declared)]:
        if change.body == _REVOKED:
            api.ask("POST", change.path, change.body)
            revoked.add(change.path)
        elif change.body is None and change.path in revoked:
            api.ask("DELETE", change.path)


def changes(api: Api, declared: Declared) -> Iterator[Change]:
    """Yield what differs, revocations first. Raises as `Api.get`."""
    for network in sorted(declared.state.controlled - declared.controlled.keys()):
        yield from _ended(api, network)
    for network, wanted in declared.controlled.items():
        path = f"{_PATH}/{network}"
        there = api.get(path)
        records = {} if there is None else _records(api, network)
        yield from _undeclared(path, wanted, records)
        if there is None:
            yield Change(f"the network {network} does not exist", path, wanted["network"])
        elif differing := {name: value for name, value in wanted["network"].items() if not _same(there, name, value)}:
            yield Change(f"the network {network} has another {', '.join(differing)}", path, differing)
        # Declared addresses first: a member that has lost one to another member gets a free one at once.
        for address, member in sorted(wanted["members"].items(), key=lambda pair: not pair[1]["addresses"]):
            yield from _member(f"{path}/member/{address}", member, records.get(address), wanted)


def _records(api: Api, network: str) -> dict[str, Json]:
    listed = api.get(f"{_PATH}/{network}/member") or {}
    found = {address: api.get(f"{_PATH}/{network}/member/{address}") for address in sorted(listed)}
    return {address: record for address, record in found.items() if record is not None}


def _ended(api: Api, network: str) -> Iterator[Change]:
    """Yield the end of a network that is no longer declared: its members must not go on talking."""
    path = f"{_PATH}/{network}"
    if api.get(path) is None:
        return
    for address, record in _records(api, network).items():
        if record.get("authorized"):
            yield Change(f"{address} is in the undeclared network {network}", f"{path}/member/{address}", _REVOKED)
    yield Change(f"the network {network} is not declared", path)


_REVOKED: Json = {"authorized": False}


def _undeclared(path: str, wanted: Json, records: dict[str, Json]) -> Iterator[Change]:
    """Yield what differs for members that are not declared: they have no right to be there, unless all have."""
    for address, record in records.items():
        if address in wanted["members"]:
            continue
        member = f"{path}/member/{address}"
        if wanted["network"]["private"]:
            if record.get("authorized"):  # others that have asked are known, too
                yield Change(f"{address} is authorized, but not declared", member, _REVOKED)
                yield Change(f"{address} is known, but not declared", member)
        else:
            kept = _kept(record, wanted, [])
            if {*kept} != {*_assigned(record)}:
                yield Change(f"{address} has addresses of others", member, {"ipAssignments": kept})


def _member(path: str, member: Json, record: Json | None, wanted: Json) -> Iterator[Change]:
    """Yield what differs for a declared member."""
    record = record or {}
    known = record.get("identity")
    if member["identity"] and known and known != member["identity"]:
        if record.get("authorized"):
            yield Change(f"{member['name']} has another key", path, _REVOKED)
        yield Change(f"{member['name']} is known with another key; a restart of zerotier-one mends that")
        return
    addresses = [*member["addresses"], *_kept(record, wanted, member["addresses"])]
    fields = {**_PLAIN, "ipAssignments": addresses}
    differing = {name: value for name, value in fields.items() if not _same(record, name, value)}
    if not record:
        yield Change(f"{member['name']} is not known", path, fields)
    elif differing:
        yield Change(f"{member['name']} has another {', '.join(differing)}", path, differing)


_PLAIN: Json = {"authorized": True, "activeBridge": False, "noAutoAssignIps": False, "tags": [], "capabilities": []}
"""What every member has, whatever somebody changed by hand."""


def _kept(record: Json, wanted: Json, declared: list[str]) -> list[str]:
    """Return the addresses of a record that come from a range, and that the member may keep."""
    families = {ip_address(each).version for each in declared}
    of_others = {address for member in wanted["members"].values() for address in member["addresses"]}
    ranges = [(ip_address(each["ipRangeStart"]), ip_address(each["ipRangeEnd"])) for each in _ranges(wanted)]
    return [
        each
        for each in _assigned(record)
        if each not in of_others
        and ip_address(each).version not in families
        and any(_within(each, str(start), str(end)) for start, end in ranges)
    ]


def _ranges(wanted: Json) -> list[dict[str, str]]:
    found: list[dict[str, str]] = wanted["network"]["ipAssignmentPools"]
    return found


def _within(address: str, start: str, end: str) -> bool:
    one, first, last = ip_address(address), ip_address(start), ip_address(end)
    return one.version == first.version and int(first) <= int(one) <= int(last)


def _assigned(record: Json) -> list[str]:
    """Return the addresses of a record, without prefixes, which the controller ignores, as it does other values."""
    there = record.get("ipAssignments")
    found = []
    for each in there if isinstance(there, list) else ():
        with contextlib.suppress(ValueError):
            found.append(str(ip_interface(each).ip))
    return found


def _same(record: Json, name: str, value: object) -> bool:
    """Return whether a field is as declared; the daemon writes an empty one in several forms."""
    there = record.get(name)
    if name == "ipAssignments":
        return {*_assigned(record)} == {*value} if isinstance(value, list) else False
    if name in {"v4AssignMode", "v6AssignMode"}:
        return _true_ones(there) == _true_ones(value)
    if name == "authTokens":
        return not (isinstance(there, dict) and there)
    if name == "dns":
        return _dns(there) == _dns(value)
    if name == "routes":
        return _routes(there) == _routes(value)
    return there == value


def _true_ones(value: object) -> set[str]:
    return {name for name, on in value.items() if on} if isinstance(value, dict) else set()


def _dns(value: object) -> tuple[str, list[str]]:
    return (value.get("domain") or "", value.get("servers") or []) if isinstance(value, dict) else ("", [])


def _routes(value: object) -> list[tuple[str, str]]:
    return [_route(each) for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _route(each: Json) -> tuple[str, str]:
    """Return network and gateway of a route in the form in which they are declared."""
    target, via = str(each.get("target")), each.get("via")
    with contextlib.suppress(ValueError):
        target = str(ip_network(target))  # one with host bits stays as it is
    with contextlib.suppress(ValueError):
        via = str(ip_address(via)) if via else ""
    return target, str(via)


def place(home: Tree, declared: Declared) -> None:
    """Write the controller's files, while the daemon is stopped: what is declared counts from its first moment.

    Files of members that are not declared stay: `reconcile` revokes them by the API, which tells the other members.
    """
    for network, wanted in declared.controlled.items():
        path = f"{_FILES}/{network}.json"
        before = _read(home, path)
        record = {**before, **wanted["network"], "id": network, "nwid": network, "objtype": "network"}
        for name in ("authTokens", "dns"):
            if _same({}, name, record[name]):
                del record[name]
        _write(home, path, record, before)
        for address, member in wanted["members"].items():
            path = f"{_FILES}/{network}/member/{address}.json"
            before = _read(home, path)
            known = before if before.get("identity", "") in {"", member["identity"]} or not member["identity"] else {}
            addresses = [*member["addresses"], *_kept(known, wanted, member["addresses"])]
            own = {"id": address, "nwid": network, **_PLAIN, "ipAssignments": addresses}
            pinned = {"identity": member["identity"]} if member["identity"] else {}
            _write(home, path, {**known, **own, **pinned}, before)


def remove(home: Tree, networks: set[str]) -> None:
    """Remove the files of networks, while the daemon is stopped."""
    for network in networks:
        home.remove(f"{_FILES}/{network}.json")
        home.clear(f"{_FILES}/{network}", itself=True)


def _read(home: Tree, path: str) -> Json:
    """Return a record; {} if it is missing, or unusable for the daemon, too."""
    try:
        found = json.loads(home.read(path) or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _write(home: Tree, path: str, record: Json, before: Json) -> None:
    if record != before:
        home.write(path, json.dumps(record, sort_keys=True, separators=(",", ":")).encode())
