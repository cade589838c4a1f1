"""The service `any`, whose resources a test declares one by one, on the machine jon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conftest import Desk


def resource(kind: str, /, *, with_password: bool = False, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - any kind's
    return {"name": kind, "arguments": arguments, "withPassword": with_password}


def declare(desk: Desk, *resources: dict[str, Any]) -> None:
    role = {"settings": {"resources": list(resources)}, "machines": {"jon": {}}}
    made = {"module": {"name": "any", "input": "self"}, "roles": {"node": role}}
    desk.write(machines={"jon": {}}, instances={"made": made})


def update(desk: Desk, *resources: dict[str, Any]) -> str:
    """Declare resources and update, and return what it printed; nothing is left to do afterwards."""
    declare(desk, *resources)
    printed = desk.rolecall("update", "--yes").stdout
    assert "nothing changes" in desk.rolecall("plan").stdout
    return printed
