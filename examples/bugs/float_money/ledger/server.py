"""The ledger, on Python's own server. Its requests are spans of the OpenTelemetry API, made by hand."""

import json
import logging
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry import propagate, trace

from ledger import book

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
log = logging.getLogger(__name__)
tracer = trace.get_tracer("ledger")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # headers and body in one packet

    def do_GET(self) -> None:
        self._answer(200 if self.path == "/healthz" else 404, {"status": "ok"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        context = propagate.extract(self.headers)
        with tracer.start_as_current_span(f"POST {self.path}", context=context, kind=trace.SpanKind.SERVER) as span:
            status, answer = self._entry(body, span)
            span.set_attribute("http.request.method", "POST")
            span.set_attribute("http.response.status_code", status)
        self._answer(status, answer)

    def _entry(self, body: dict[str, Any], span: trace.Span) -> tuple[int, dict[str, Any]]:
        try:
            return 201, {"entry": book.enter(body)}
        except Exception as error:
            log.exception("not entered")
            span.record_exception(error)
            span.set_status(trace.StatusCode.ERROR)
            return 500, {"error": "not entered"}

    def _answer(self, status: int, answer: dict[str, Any]) -> None:
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, template: str, *args: Any) -> None:
        log.info(template, *args)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
