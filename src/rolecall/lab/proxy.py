"""A caching HTTP proxy for apt in the machines: each package is fetched once and stored on disk.

It serves only the given mirrors, so machines cannot reach this computer's network through it.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import threading
import urllib.error
import urllib.request
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

_TIMEOUT_S = 60


class Proxy(ThreadingHTTPServer):
    """The server; its handlers run in threads of their own.

    Args:
        listening: The socket on which machines reach it.
        stored: The folder in which it stores packages.
        mirrors: Prefixes of the addresses that machines may request, and the real prefixes
            (``http://`` for a machine may be ``https://``).
    """

    daemon_threads = True

    def __init__(self, listening: socket.socket, stored: Path, mirrors: Mapping[str, str]) -> None:
        super().__init__(("", 0), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.stored = stored
        self.mirrors = mirrors
        self.fetching: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        stored.mkdir(parents=True, exist_ok=True, mode=0o700)

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore a machine that disconnects in the middle of an answer."""

    def real(self, url: str) -> str | None:
        """Return the real address of a requested one, or None if it is not allowed."""
        for prefix, mirror in self.mirrors.items():
            if url.startswith(prefix + "/") and ".." not in url:
                return mirror + url[len(prefix) :]
        return None


class _Handler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Log nothing for ordinary requests."""

    def do_GET(self) -> None:
        """Answer from disk, or fetch; store what never changes (packages, lists by hash)."""
        url = self.server.real(self.path)
        if url is None:
            self.send_error(403, "not a mirror of this lab")
        elif url.endswith(".deb") or "/by-hash/" in url:
            stored = self.server.stored / hashlib.sha256(url.encode()).hexdigest()
            try:
                with self.server.fetching[url]:  # machines that install the same package fetch it once
                    if not stored.exists():
                        _fetch(url, stored)
                with stored.open("rb") as body:
                    self._answer(200, {"Content-Length": str(stored.stat().st_size)}, body)
            except OSError as error:
                self._fail(error)
        else:
            self._pass_on(url)

    def _pass_on(self, url: str) -> None:
        since = self.headers.get("If-Modified-Since")
        request = urllib.request.Request(url, headers={"If-Modified-Since": since} if since else {})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - real() chose it
                names = ("Content-Length", "Last-Modified")
                headers = {name: answer.headers[name] for name in names if name in answer.headers}
                if "Content-Length" not in headers:
                    self.close_connection = True
                self._answer(200, headers, answer)
        except OSError as error:
            self._fail(error)

    def _answer(self, code: int, headers: Mapping[str, str], body: IO[bytes] | None) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if body is not None:
            shutil.copyfileobj(body, self.wfile, 1 << 18)

    def _fail(self, error: OSError) -> None:
        code = error.code if isinstance(error, urllib.error.HTTPError) else 502
        self._answer(code, {} if code == 304 else {"Content-Length": "0"}, None)  # noqa: PLR2004


def _fetch(url: str, file: Path) -> None:
    """Download ``url`` to a file, completely or not at all.

    Raises:
        OSError: It could not be fetched.
    """
    with tempfile.NamedTemporaryFile(dir=file.parent, prefix="part-", delete=False) as temporary:
        part = Path(temporary.name)
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - real() chose it
                shutil.copyfileobj(answer, temporary, 1 << 18)
                announced = answer.headers.get("Content-Length")
            temporary.flush()
            if announced and int(announced) != part.stat().st_size:
                raise ConnectionError(f"{url} ended early")
            part.replace(file)
        finally:
            part.unlink(missing_ok=True)
