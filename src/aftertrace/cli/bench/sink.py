"""Where the measured tools send what they have: a process that reads it all and answers as their servers would.

``python sink.py``: prints its port. ``GET /-/bytes`` gives the bytes of bodies by their path's
first part. OTLP gets an empty Export response, Sentry an id, Datadog's agent its rates.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_JSON, _PROTOBUF = "application/json", "application/x-protobuf"
received: Counter[str] = Counter()
_lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/-/bytes":
            self._answer(_JSON, json.dumps(received).encode())
        elif self.path.endswith("/v1/info"):  # Logfire asks whose token it is
            self._answer(_JSON, b'{"project_name": "bench", "project_url": "http://127.0.0.1"}')
        elif self.path.endswith("/info"):  # Datadog's agent says what it takes
            self._answer(_JSON, b'{"endpoints": ["/v0.4/traces", "/v0.5/traces"], "version": "7.0.0"}')
        else:
            self._answer(_JSON, b"{}")

    def do_POST(self) -> None:
        size = len(self._body())
        with _lock:
            received[self.path.split("/")[1]] += size
        if self.path.endswith(("/v1/traces", "/v1/logs", "/v1/metrics")):
            self._answer(_PROTOBUF, b"")
        elif self.path.endswith("/traces"):
            self._answer(_JSON, b'{"rate_by_service": {}}')
        else:
            self._answer(_JSON, b'{"id": "00000000000000000000000000000000"}')

    do_PUT = do_POST  # noqa: N815  # http.server's name

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name
        """Nothing: it would be one line for each batch."""


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
