"""Clients that are slow, half-closed, gone or too many: each is let go in time, and the others are served."""

import contextlib
import http.client
import secrets
import signal
import socket
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from aftertrace.cli import client

from .conftest import Server

PATIENCE = """
from aftertrace.receive import http
from aftertrace.serve import port
http._BODY_TIMEOUT_S = 2.0
port.HEADER_S = 2.0
port._REST_S = 2.0
port._KEEP_ALIVE_S = 3
port._MOST_CONNECTIONS = 40
"""
HEAD = b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\n"
WAIT_S = 60


@pytest.fixture(scope="module", params=["", "import sys; sys.modules['httptools'] = None"], ids=["httptools", "h11"])
def hasty(request, tmp_path_factory):
    """With either of the two parsers that uvicorn may find."""
    running = Server(tmp_path_factory.mktemp("hasty") / "store", changed=request.param + PATIENCE)
    yield running
    assert running.end() == 0


def span(trace_id: bytes, **fields) -> bytes:
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(
        trace_id=trace_id, span_id=secrets.token_bytes(8), start_time_unix_nano=1, end_time_unix_nano=2, **fields
    )
    return request.SerializeToString()


def connect(server) -> socket.socket:
    parts = urlsplit(server.otlp)
    return socket.create_connection((parts.hostname, parts.port), timeout=WAIT_S)


def rest(sock: socket.socket) -> bytes:
    """All that comes until the server closes."""
    parts = []
    while part := sock.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def post(server, body: bytes) -> int:
    with contextlib.closing(http.client.HTTPConnection(urlsplit(server.otlp).netloc, timeout=WAIT_S)) as connection:
        connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
        answer = connection.getresponse()
        answer.read()
        return answer.status


@pytest.mark.parametrize(
    "begun",
    [b"", b"POST", HEAD, HEAD + b"X-More: "],
    ids=["nothing", "a word", "half of the headers", "half of a header"],
)
def test_headers_that_do_not_come(hasty, begun):
    with connect(hasty) as sock:
        sock.sendall(begun)
        assert rest(sock).startswith(b"HTTP/1.1 408 ")
    assert post(hasty, b"") == 200


def test_headers_that_come_a_byte_at_a_time(hasty):
    with connect(hasty) as sock:
        with contextlib.suppress(OSError):
            for at in range(10_000):
                sock.sendall(HEAD[at % len(HEAD) :][:1])
                time.sleep(0.05)
        with contextlib.suppress(ConnectionResetError):
            assert rest(sock).startswith((b"HTTP/1.1 408 ", b"HTTP/1.1 400 "))
    assert post(hasty, b"") == 200


def test_headers_without_end(hasty):
    with connect(hasty) as sock, contextlib.suppress(ConnectionResetError, BrokenPipeError):
        sock.sendall(b"POST /v1/traces HTTP/1.1\r\n")
        for _ in range(64 << 10):  # more than the sockets' own buffers hold
            sock.sendall(b"X-A: " + b"a" * 1017 + b"\r\n")
        pytest.fail("it took 64 MiB of headers")
    assert post(hasty, b"") == 200


def test_a_body_that_does_not_come(hasty):
    with connect(hasty) as sock:
        sock.sendall(HEAD + b"Content-Length: 10\r\n\r\nabc")
        answer = rest(sock)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"The body did not arrive in time." in answer
    assert post(hasty, b"") == 200


def test_the_rest_of_a_body_that_was_answered_already(hasty):
    """What comes is thrown away for a while, then the connection ends."""
    with connect(hasty) as sock:
        sock.sendall(HEAD.replace(b"x-protobuf", b"nothing") + b"Content-Length: 300000\r\n\r\n" + bytes(100_000))
        assert sock.recv(12) == b"HTTP/1.1 415"
        rest(sock)
    assert post(hasty, b"") == 200


def test_an_idle_connection_is_closed_in_the_end_and_not_before(hasty):
    with connect(hasty) as sock:
        for _ in range(3):
            sock.sendall(HEAD + b"Content-Length: 0\r\n\r\n")
            assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")
            time.sleep(0.5)
        assert rest(sock) == b""


def test_a_half_closed_client_is_answered(hasty):
    trace_id = secrets.token_bytes(16)
    body = span(trace_id)
    with connect(hasty) as sock:
        sock.sendall(HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        sock.shutdown(socket.SHUT_WR)
        assert rest(sock).startswith(b"HTTP/1.1 200 ")
    assert len(client.bundle(trace_id.hex(), settings=hasty.settings).spans) == 1


def test_a_client_that_ends_in_the_middle_is_let_go(hasty):
    with connect(hasty) as sock:
        sock.sendall(HEAD + b"Content-Length: 1000\r\n\r\nabc")
        sock.shutdown(socket.SHUT_WR)
        assert rest(sock) == b""
    assert post(hasty, b"") == 200


def test_too_many_connections(hasty):
    with contextlib.ExitStack() as held:
        socks = [held.enter_context(connect(hasty)) for _ in range(45)]
        answers = [sock.recv(4096) for sock in socks]  # 503 at once, or 408 in the end
    told = [answer.split(b" ")[1] for answer in answers]
    assert set(told) == {b"408", b"503"}
    assert told.count(b"503") >= 5
    assert all(b"Retry-After: 1" in answer for answer in answers if b" 503 " in answer)
    assert post(hasty, b"") == 200


def test_what_it_took_is_answered_when_it_ends(tmp_path):
    """SIGTERM while a body is coming: it is taken, stored and answered; new connections are not."""
    server = Server(tmp_path / "store")
    trace_id = secrets.token_bytes(16)
    body = span(trace_id, name="n" * 100_000)
    with connect(server) as sock:
        sock.sendall(HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body[:50_000])
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + WAIT_S
        with contextlib.suppress(ConnectionRefusedError):
            while time.monotonic() < deadline:
                connect(server).close()
                time.sleep(0.05)
        sock.sendall(body[50_000:])
        assert rest(sock).startswith(b"HTTP/1.1 200 ")
    assert server.process.wait(WAIT_S) == 0
    server.process.stdout.close()
    server.start()
    try:
        assert len(client.bundle(trace_id.hex(), settings=server.settings).spans) == 1
    finally:
        assert server.end() == 0


def peak_mib(server) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) >> 10


def test_memory_is_bounded(tmp_path):
    """32 senders of 40 MiB each, all at once: some are asked to come again, none is lost, and the server does not hold
    them all."""
    server = Server(tmp_path / "store")
    body = span(b"t" * 16, name="n" * (40 << 20))
    before = peak_mib(server)
    answers: list[int] = []
    senders = [threading.Thread(target=lambda: answers.append(post(server, body))) for _ in range(32)]
    try:
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join(150)
        assert len(answers) == 32
        assert set(answers) == {200, 503}
        assert peak_mib(server) - before < 1100
        assert post(server, b"") == 200
    finally:
        assert server.end() == 0
