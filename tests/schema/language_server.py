"""A small client of language servers: opens a file, hears what is wrong with it, asks what could stand somewhere.

The protocol: JSON-RPC in frames with a `Content-Length` header (Language Server Protocol 3.17, "Base Protocol").
"""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PATIENCE = 60  # seconds for one answer; a server that starts cold on a busy machine is slow


class LanguageServer:
    """One server, for as long as a `with` block runs."""

    def __init__(self, command: Sequence[str | Path], folder: Path, settings: dict[str, Any] | None = None) -> None:
        self.folder = folder
        self.settings = settings or {}
        self.process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.heard: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.calls = 0
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()

    def __enter__(self) -> Self:
        capabilities = {
            "workspace": {"configuration": True},
            "textDocument": {
                "completion": {"completionItem": {"snippetSupport": True}},
                "publishDiagnostics": {},
            },
        }
        root = self.folder.as_uri()
        start = {
            "processId": None,
            "rootUri": root,
            "capabilities": capabilities,
            "workspaceFolders": [{"uri": root, "name": "project"}],
        }
        self.ask("initialize", {**start, "initializationOptions": {"cachePath": str(self.folder)}})
        self._send({"method": "initialized", "params": {}})
        self._send({"method": "workspace/didChangeConfiguration", "params": {"settings": self.settings}})
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.listener.join()
        with self.process:  # closes the pipes and waits
            pass

    def open(self, file: Path, language: str) -> None:
        """Show it a file."""
        document = {"uri": file.as_uri(), "languageId": language, "version": 1, "text": file.read_text()}
        self._send({"method": "textDocument/didOpen", "params": {"textDocument": document}})

    def wrong(self, file: Path) -> list[tuple[int, str]]:
        """Return line, from 1, and message of what it finds wrong, once it finds something."""
        while True:
            message = self._next()
            if message.get("method") == "textDocument/publishDiagnostics" and message["params"]["uri"] == file.as_uri():
                found = message["params"]["diagnostics"]
                if found:
                    return [(each["range"]["start"]["line"] + 1, each["message"]) for each in found]

    def offers(self, file: Path, line: int, column: int) -> list[str]:
        """Return what it would complete at a place, both counted from 1."""
        place = {"line": line - 1, "character": column - 1}
        answer = self.ask("textDocument/completion", {"textDocument": {"uri": file.as_uri()}, "position": place})
        items = answer["items"] if isinstance(answer, dict) else answer or []
        return [item["label"] for item in items]

    def ask(self, method: str, params: dict[str, Any]) -> Any:  # noqa: ANN401 - whatever the method answers
        """Call the server and wait for its answer."""
        self.calls += 1
        self._send({"id": self.calls, "method": method, "params": params})
        while True:
            message = self._next()
            if message.get("id") == self.calls and "method" not in message:
                assert "error" not in message, message
                return message["result"]

    def _next(self) -> dict[str, Any]:
        """Return what it says next; what it asks of an editor is answered."""
        message = self.heard.get(timeout=PATIENCE)
        assert message is not None, "the server has ended"
        if "id" in message and "method" in message:
            sections = [each.get("section") for each in message.get("params", {}).get("items", [])]
            result = [self.settings.get(section) for section in sections] if sections else None
            self._send({"id": message["id"], "result": result})
        return message

    def _send(self, message: dict[str, Any]) -> None:
        content = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self.process.stdin
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(content), content))
        self.process.stdin.flush()

    def _listen(self) -> None:
        stream = self.process.stdout
        assert stream
        while header := stream.readline():
            length = 0
            while header.strip():
                name, _, value = header.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
                header = stream.readline()
            self.heard.put(json.loads(stream.read(length)))
        self.heard.put(None)
