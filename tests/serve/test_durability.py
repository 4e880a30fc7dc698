"""kill -9 in the middle of ingest: what was acknowledged is there, once, every time."""

import contextlib
import http.client
import secrets
import threading
import time
from urllib.parse import urlsplit

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from aftertrace.cli import client

from .conftest import Server

ROUNDS, SENDERS, BATCH = 4, 4, 25


def batch(trace_id: bytes) -> tuple[bytes, set[str]]:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    ids = {secrets.token_bytes(8) for _ in range(BATCH)}
    for span_id in ids:
        scope.spans.add(trace_id=trace_id, span_id=span_id, name="s", start_time_unix_nano=1, end_time_unix_nano=2)
    return request.SerializeToString(), {span_id.hex() for span_id in ids}


class Sender(threading.Thread):
    """Sends batches until the server is gone; each is sent twice, as a retry would."""

    def __init__(self, address: str, trace_id: bytes) -> None:
        super().__init__()
        self._address = urlsplit(address).netloc
        self._trace_id = trace_id
        self.acknowledged: set[str] = set()
        self.unanswered: tuple[bytes, set[str]] = (b"", set())
        self.answers: set[int] = set()

    def run(self) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=30)
        try:
            while True:
                self.unanswered = batch(self._trace_id)
                for _ in range(2):
                    self.answers.add(send(connection, self.unanswered[0]))
                    self.acknowledged |= self.unanswered[1]
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()


def send(connection: http.client.HTTPConnection, body: bytes) -> int:
    connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
    response = connection.getresponse()
    response.read()
    return response.status


def test_nothing_acknowledged_is_lost_or_doubled(tmp_path):
    server = Server(tmp_path / "store")
    try:
        for round_number in range(ROUNDS):
            kill_during_ingest(server, pause_s=0.05 + 0.11 * round_number)
    finally:
        assert server.end() == 0


def kill_during_ingest(server: Server, pause_s: float) -> None:
    trace_id = secrets.token_bytes(16)
    senders = [Sender(server.otlp, trace_id) for _ in range(SENDERS)]
    for sender in senders:
        sender.start()
    deadline = time.monotonic() + 30
    while not all(sender.acknowledged for sender in senders):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(pause_s)
    server.kill()
    for sender in senders:
        sender.join(40)
    server.start()
    with contextlib.closing(http.client.HTTPConnection(urlsplit(server.otlp).netloc, timeout=30)) as connection:
        for sender in senders:  # what was not answered is sent again: it may be there already
            assert sender.answers == {200}
            assert send(connection, sender.unanswered[0]) == 200
    sent = set().union(*(sender.acknowledged | sender.unanswered[1] for sender in senders))
    stored = [span.span_id for span in client.bundle(trace_id.hex(), settings=server.settings).spans]
    assert set(stored) == sent
    assert len(stored) == len(sent)
