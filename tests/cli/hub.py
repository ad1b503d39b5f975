"""A stand-in for the hub: the few addresses that an upload asks for, and a record of what was sent."""

import json
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class Hub(ThreadingHTTPServer):
    """Listens on this machine; `created` are the repositories asked for, `files` what was committed."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.created: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.refuse = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *args: Any) -> None:
        """Stay silent."""

    def do_GET(self) -> None:
        self._reply({"id": "me/hat", "sha": "0" * 40, "siblings": []})

    def do_POST(self) -> None:
        body = self._body()
        if self.server.refuse:
            self._reply({"error": "you may not write here"}, 403)
        elif self.path == "/api/repos/create":
            self.server.created.append(json.loads(body))
            self._reply({"url": f"{self.server.url}/me/hat"})
        elif self.path == "/api/validate-yaml":
            self._reply({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            names = [file["path"] for file in json.loads(body)["files"]]
            plain = {"uploadMode": "regular", "shouldIgnore": False, "oid": None}
            self._reply({"files": [{"path": name, **plain} for name in names]})
        else:
            for line in body.decode().splitlines():
                value = json.loads(line)["value"]
                if "content" in value:
                    self.server.files[value["path"]] = b64decode(value["content"])
            commit = "1" * 40
            self._reply({"commitUrl": f"{self.server.url}/me/hat/commit/{commit}", "commitOid": commit})

    def _body(self) -> bytes:
        if "Content-Length" in self.headers:
            return self.rfile.read(int(self.headers["Content-Length"]))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _reply(self, content: dict[str, Any], code: int = 200) -> None:
        data = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def stand_in() -> Iterator[Hub]:
    hub = Hub()
    Thread(target=hub.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
