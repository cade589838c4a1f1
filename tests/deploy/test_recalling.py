"""Generations from a machine, which may send anything."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import pytest

from rolecall.deploy.recalling import recalled
from rolecall_agent.configuration import Configuration
from rolecall_agent.frames import MAX_MESSAGE, ProtocolError
from rolecall_agent.resources import File

ONE = Configuration.of("m", [File("/etc/one", "1")])
META = {"run": "r", "user": "u", "commit": "", "at": "2026-01-01T00:00:00+00:00", "back": None}


def pieces(data: Any) -> list[str]:  # noqa: ANN401 - any JSON
    return [base64.b64encode(zlib.compress(json.dumps(data).encode())).decode()]


def generation(configuration: Configuration) -> dict[str, Any]:
    meta = {**META, "number": 1, "digest": configuration.digest}
    return {"generation": meta, "configuration": configuration.as_json(), "provenance": None}


def test_a_generation_is_read() -> None:
    (found,) = recalled(pieces([generation(ONE)]), 1)
    assert found.configuration.resources == ONE.resources
    assert found.generation == {**META, "number": 1, "digest": ONE.digest}


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (["%%%"], "invalid generations: "),
        ([base64.b64encode(b"plain").decode()], "invalid generations: "),
        ([base64.b64encode(zlib.compress(b" " * (MAX_MESSAGE + 1))).decode()], "invalid generations: "),
        (pieces(1), "invalid generations: "),
        (pieces([{}]), "invalid generations: "),
        (pieces([]), "it returned other generations"),
        (pieces([generation(ONE), generation(ONE)]), "it returned other generations"),
        (pieces([{**generation(ONE), "configuration": {**ONE.as_json(), "machine": "n"}}]), "another content than"),
        (pieces([{**generation(ONE), "provenance": {"inputs": 1}}]), "invalid answer: inputs is invalid"),
    ],
)
def test_anything_else_is_refused(answer: list[str], problem: str) -> None:
    with pytest.raises(ProtocolError, match=problem):
        recalled(answer, 1)
