"""Settings that the daemon would silently ignore are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from rolecall_services.zerotier.permissions import local_conf
from rolecall_services.zerotier.settings import AddressRange, ControllerSettings, MoonSettings, PeerSettings

if TYPE_CHECKING:
    from rolecall.service import Settings

ROUTES = [{"target": "10.1.0.0/16"}, {"target": "10.1.3.0/24"}, {"target": "fd77::/64"}]
ROUTES += [{"target": "192.168.7.0/24", "via": "10.1.3.1"}]
NETWORK = "3d9fe93b2d00000a"
MEMBER = "6e68f9a484"


def assigned(start: str, end: str) -> dict[str, Any]:
    return {"routes": ROUTES, "dynamicIp": {"enable": True, "ranges": [{"start": start, "end": end}]}}


def test_the_settings_of_the_documents_are_accepted() -> None:
    assert ControllerSettings.model_validate({"dynamicIp": {"enable": True}}).dynamic_ip.enable
    assert PeerSettings.model_validate({"ipRanges": ["all"]}).ip_ranges == ["all"]


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (ControllerSettings, {"routes": ROUTES, "allowedIds": ["6e68f9a484"]}),
        (ControllerSettings, assigned("10.1.3.100", "10.1.3.254")),
        (ControllerSettings, assigned("10.1.3.100", "10.1.3.100")),
        (ControllerSettings, assigned("fd77::", "fd77::ffff:ffff:ffff:ffff")),
        (ControllerSettings, {"dns": {"domain": "zt.example", "servers": ["10.1.3.1"]}}),
        (PeerSettings, {"ipRanges": ["10.0.0.0/8", "fd00::/8"], "addresses": ["10.1.3.5", "fd77::5"]}),
        (MoonSettings, {"stableEndpoints": ["203.0.113.5/9993", "2001:db8::1/9993"]}),
    ],
)
def test_settings_that_work_are_accepted(model: type[Settings], values: dict[str, Any]) -> None:
    assert model.model_validate(values).model_dump(by_alias=True, exclude_unset=True, exclude_none=True) == values


@pytest.mark.parametrize(
    ("model", "values", "reason"),
    [
        (ControllerSettings, {"routes": [{"target": "10.1.15.1/24"}]}, "has host bits set"),
        (ControllerSettings, {"routes": [{"target": "10.1.15.0"}]}, "has no prefix length"),
        (ControllerSettings, {"routes": [{"target": "10.1.0.0/16", "via": "fd77::1"}]}, "of different families"),
        (ControllerSettings, {"routes": [*ROUTES, ROUTES[0]]}, "several routes to 10.1.0.0/16"),
        (ControllerSettings, {"routes": [{"target": f"10.0.{i}.0/24"} for i in range(129)]}, "at most 128"),
        (ControllerSettings, assigned("10.2.0.1", "10.2.0.9"), "no route without a gateway contains all of 10.2.0.1"),
        (ControllerSettings, assigned("192.168.7.1", "192.168.7.9"), "no route without a gateway"),
        (ControllerSettings, assigned("10.1.3.9", "10.1.4.9"), "no route without a gateway"),
        (ControllerSettings, assigned("10.1.3.9", "10.1.3.255"), "the broadcast address of 10.1.3.0/24"),
        (ControllerSettings, assigned("10.1.3.9", "10.1.3.8"), "which is not after 10.1.3.9"),
        (ControllerSettings, assigned("10.1.3.9", "fd77::9"), "which is not after 10.1.3.9"),
        (ControllerSettings, {"allowedIds": ["6E68F9A484"]}, "pattern"),
        (ControllerSettings, {"allowedIds": ["6e68f9a484\n"]}, "pattern"),
        (ControllerSettings, {"allowedIds": ["ff68f9a484"]}, "is a reserved address"),
        (ControllerSettings, {"dns": {"domain": "é" * 64, "servers": ["10.1.3.1"]}}, "longer than 127 bytes"),
        (ControllerSettings, {"dns": {"domain": "a", "servers": ["10.1.3.1"] * 5}}, "at most 4"),
        (PeerSettings, {"addresses": ["10.1.3.5/24"]}, "does not appear to be an IPv4 or IPv6 address"),
        (PeerSettings, {"addresses": ["::"]}, "is not the address of a host"),
        (PeerSettings, {"ipRanges": ["all", "10.0.0.0/8"]}, "'all' cannot be combined with other ranges"),
        (PeerSettings, {"ipRanges": ["everything"]}, "has no prefix length"),
        (PeerSettings, {"ipRanges": []}, "at least 1"),
        (MoonSettings, {"stableEndpoints": ["sara.example/9993"]}, "does not appear to be an IPv4 or IPv6 address"),
        (MoonSettings, {"stableEndpoints": []}, "at least 1"),
        (MoonSettings, {}, "required"),
    ],
)
def test_settings_that_do_not_are_refused(model: type[Settings], values: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        model.model_validate(values)


@pytest.mark.parametrize(
    ("address", "network"),
    [("10.1.3.5", "10.1.3.0/24"), ("10.1.4.5", "10.1.0.0/16"), ("fd77::5", "fd77::/64"), ("192.168.7.5", "None")],
)
def test_the_narrowest_route_contains_an_address(address: str, network: str) -> None:
    assert str(ControllerSettings.model_validate({"routes": ROUTES}).covering(address)) == network


@pytest.mark.parametrize(
    ("ip_ranges", "managed", "everywhere", "default"),
    [
        (["private"], "1", 0, 0),
        (["global"], "1", 1, 0),
        (["all"], "1", 1, 1),
        (["10.147.60.0/24", "192.168.0.0/16"], "10.147.60.0/24,192.168.0.0/16,fd3d:9fe9:3b2d:0:a99:9300::/88", 0, 0),
        (["172.0.0.0/8"], "172.0.0.0/8,fd3d:9fe9:3b2d:0:a99:9300::/88", 1, 0),
        (["8.8.8.0/24"], "8.8.8.0/24,fd3d:9fe9:3b2d:0:a99:9300::/88", 1, 0),
        (["::/0"], "::/0,fd3d:9fe9:3b2d:0:a99:9300::/88", 1, 1),
    ],
)
def test_a_member_accepts_what_it_is_set_to(ip_ranges: list[str], managed: str, everywhere: int, default: int) -> None:
    expected = f"allowManaged={managed}\nallowGlobal={everywhere}\nallowDefault={default}\nallowDNS=0\n"
    assert local_conf(NETWORK, MEMBER, ip_ranges) == expected


def test_a_list_that_the_daemon_ignores_is_refused() -> None:
    networks = [f"10.{number}.100.0/24" for number in range(100, 161)]
    assert local_conf(NETWORK, MEMBER, networks[:60]).count(",") == 60
    with pytest.raises(ValueError, match="1,006 characters long, but can have at most 1,000"):
        local_conf(NETWORK, MEMBER, networks)


@pytest.mark.parametrize(
    ("start", "end", "written"),
    [
        ("10.1.3.100", "10.1.3.104", "10.1.3.105"),
        ("10.1.3.100", "10.1.3.100", "10.1.3.100"),
        ("fd77::", "fd77::ffff:ffff:ffff:ffff", "fd77::ffff:ffff:ffff:ffff"),
    ],
)
def test_the_last_address_of_a_range_can_be_assigned(start: str, end: str, written: str) -> None:
    assert AddressRange(start=start, end=end).pool() == {"ipRangeStart": start, "ipRangeEnd": written}
