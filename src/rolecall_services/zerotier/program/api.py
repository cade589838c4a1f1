"""The daemon's own API: HTTP on the loopback interface, with a token that the daemon keeps in its home folder."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from typing import TYPE_CHECKING, Any

from .declared import Problem

if TYPE_CHECKING:
    from .tree import Tree

_SECONDS = 10
_PAUSE = 0.2
_OK, _NOT_FOUND = 200, 404


class Silence(Exception):  # noqa: N818 - the daemon does not answer
    """The daemon does not answer; it may not have started yet."""


class Api:
    """Asks the daemon of a home folder."""

    def __init__(self, home: Tree) -> None:
        self._home = home
        self._connection: http.client.HTTPConnection | None = None
        self._token = ""

    def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """Return what is at a path; None if nothing is.

        Raises:
            Silence: When the daemon does not answer.
            Problem: When it refuses.
        """
        return self.ask("GET", path)

    def ask(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        """Return the answer to a request; None if nothing is at the path. Raises as `get`."""
        status, text = self._request(method, path, None if body is None else json.dumps(body))
        if status == _NOT_FOUND:
            return None
        if status != _OK:
            raise Problem(f"the daemon refuses {method} {path}: HTTP status {status}")
        try:
            return json.loads(text) if text else None
        except ValueError:
            raise Problem(f"the daemon's answer to {method} {path} is not JSON") from None

    def has_controller(self) -> bool:
        """Return whether the daemon has a network controller. Raises as `get`, also while its database is loaded."""
        status, text = self._request("GET", "/controller", None)
        found: Any = None
        with contextlib.suppress(ValueError):
            found = json.loads(text)
        there = isinstance(found, dict) and found.get("controller") is True
        if there and not found.get("databaseReady", True):
            raise Silence("its controller is not ready yet")
        return there and status == _OK

    def wait(self, seconds: float) -> Any:  # noqa: ANN401 - JSON
        """Return what the daemon says about itself, once it answers.

        Raises:
            Problem: When it does not in time.
        """
        until = time.monotonic() + seconds
        while True:
            try:
                return self.get("/status")
            except Silence as silence:
                if time.monotonic() > until:
                    raise Problem(
                        f"the daemon does not answer: {silence}; see `systemctl status zerotier-one`"
                    ) from None
            time.sleep(_PAUSE)

    def _request(self, method: str, path: str, body: str | None) -> tuple[int, str]:
        again = self._connection is not None  # which the daemon may have closed meanwhile
        try:
            return self._send(method, path, body)
        except (OSError, http.client.HTTPException) as error:
            self._connection = None
            if not again:
                raise Silence(str(error) or type(error).__name__) from None
        return self._request(method, path, body)

    def _send(self, method: str, path: str, body: str | None) -> tuple[int, str]:
        if self._connection is None:
            port, token = (self._home.read(name) for name in ("zerotier-one.port", "authtoken.secret"))
            if not port or not token:
                raise Silence(f"{self._home.top} has no port or token yet")
            self._token = token.decode().strip()
            self._connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=_SECONDS)
        self._connection.request(method, path, body, {"X-ZT1-Auth": self._token})
        answer = self._connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
