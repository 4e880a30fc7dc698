"""OTLP/gRPC by itself: what is answered to what, as google.rpc.Status, and the port that is taken."""

import contextlib
import gzip
import secrets
import signal
import socket
import threading

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from aftertrace.cli import checks, client
from aftertrace.settings import Settings

from .conftest import Server

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
WAIT_S = 60
AGAIN = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}  # exporters send what ended so again
BUSY = """
from aftertrace.receive import budget
budget.IN_FLIGHT = 1000
"""
NARROW = """
from aftertrace.receive import grpc
grpc._READERS = 1
grpc._WAIT_S = 0.2
grpc._MESSAGE_TIMEOUT_S = 3.0
"""


def spans(*ids: bytes, trace_id: bytes = b"t" * 16) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for span_id in ids:
        scope.spans.add(trace_id=trace_id, span_id=span_id, name="s", start_time_unix_nano=1, end_time_unix_nano=2)
    return request


@contextlib.contextmanager
def channel(server, *options):
    with grpc.insecure_channel(server.grpc.removeprefix("http://"), options=options) as made:
        yield made


def raw(made, message: bytes, method: str = EXPORT, **words) -> bytes:
    """The message as it is, whatever it is."""
    return made.unary_unary(method)(message, timeout=WAIT_S, **words)


def refused(call) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value


def details(error) -> status_pb2.Status:
    (found,) = [value for key, value in error.trailing_metadata() if key == "grpc-status-details-bin"]
    return status_pb2.Status.FromString(found)


def stored(server, trace_id: bytes) -> list[str]:
    return [one.span_id for one in client.bundle(trace_id.hex(), settings=server.settings).spans]


def test_partial_success(server):
    trace_id = secrets.token_bytes(16)
    with channel(server) as made:
        stub = TraceServiceStub(made)
        assert not stub.Export(spans(), timeout=WAIT_S).HasField("partial_success")
        said = stub.Export(spans(b"12345678", b"short", bytes(8), trace_id=trace_id), timeout=WAIT_S)
        assert said.partial_success.rejected_spans == 2
        assert "a span id of 5 bytes" in said.partial_success.error_message
        logs = ExportLogsServiceRequest()
        logs.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=1, trace_id=b"short")
        said = LogsServiceStub(made).Export(logs, timeout=WAIT_S)
        assert said.partial_success.rejected_log_records == 1
        metrics = ExportMetricsServiceRequest()
        metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="m").gauge.data_points.add(as_int=1)
        said = MetricsServiceStub(made).Export(metrics, timeout=WAIT_S)
        assert said.partial_success.rejected_data_points == 1
        assert "dropped" in said.partial_success.error_message
    assert stored(server, trace_id) == [b"12345678".hex()]


@pytest.mark.parametrize(
    ("message", "code", "said"),
    [
        (b"\xff garbage", grpc.StatusCode.INVALID_ARGUMENT, "not an OTLP ExportTraceServiceRequest"),
        (spans(b"12345678").SerializeToString()[:-3], grpc.StatusCode.INVALID_ARGUMENT, "not an OTLP"),
        (gzip.compress(bytes(65 << 20)), grpc.StatusCode.RESOURCE_EXHAUSTED, "64 MiB after decompression"),
        (gzip.compress(gzip.compress(bytes(65 << 20))), grpc.StatusCode.INVALID_ARGUMENT, "not an OTLP"),
        (gzip.compress(bytes(9))[:-1], grpc.StatusCode.INVALID_ARGUMENT, "not whole gzip"),
        (bytes((64 << 20) + 1), grpc.StatusCode.RESOURCE_EXHAUSTED, "larger than max"),
    ],
    ids=["garbage", "truncated", "bomb", "double", "half", "large"],
)
def test_what_cannot_be_taken(server, message, code, said):
    with channel(server, ("grpc.max_send_message_length", -1)) as made:
        error = refused(lambda: raw(made, message))
        assert error.code() == code
        assert said in error.details()
        if "larger than max" not in said:  # that one gRPC says itself
            assert details(error).code == code.value[0]
            # no RetryInfo: sending it again would not help
            assert not any(one.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for one in details(error).details)
        assert raw(made, b"") == b""  # the next one is served


def test_what_is_not_there(server):
    with channel(server) as made:
        unknown = "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export"
        assert refused(lambda: raw(made, b"", unknown)).code() == grpc.StatusCode.UNIMPLEMENTED
        deflate = refused(lambda: raw(made, bytes(5000), compression=grpc.Compression.Deflate))
        assert deflate.code() == grpc.StatusCode.UNIMPLEMENTED


def test_a_receiver_that_holds_all_it_can_says_when_to_come_again(tmp_path):
    server = Server(tmp_path / "store", changed=BUSY)
    try:
        with channel(server) as made:
            error = refused(lambda: raw(made, spans(*(secrets.token_bytes(8) for _ in range(100))).SerializeToString()))
            assert error.code() == grpc.StatusCode.UNAVAILABLE
            retry = error_details_pb2.RetryInfo()
            assert details(error).details[0].Unpack(retry)
            assert retry.retry_delay.seconds == 1
            assert raw(made, spans(b"12345678").SerializeToString()) == b""
    finally:
        assert server.end() == 0


def test_slow_senders_do_not_hold_the_others_for_long(tmp_path):
    server = Server(tmp_path / "store", changed=NARROW)
    never = threading.Event()

    def nothing():
        never.wait(WAIT_S)
        yield b""

    try:
        with channel(server) as made:
            slow = made.stream_unary(EXPORT).future(nothing(), timeout=WAIT_S)  # has headers, and never a message
            codes = set()
            while not slow.done():
                try:
                    raw(made, b"")
                    codes.add(grpc.StatusCode.OK)
                except grpc.RpcError as error:
                    codes.add(error.code())
            assert slow.code() == grpc.StatusCode.DEADLINE_EXCEEDED
            assert grpc.StatusCode.UNAVAILABLE in codes
            assert raw(made, b"") == b""
    finally:
        never.set()
        assert server.end() == 0


def test_many_at_once(server):
    trace_id = secrets.token_bytes(16)
    ids = [number.to_bytes(8) for number in range(1, 401)]
    with channel(server) as made:
        stub = TraceServiceStub(made)
        calls = [stub.Export.future(spans(one, trace_id=trace_id), timeout=WAIT_S) for one in ids]
        assert {call.result().ByteSize() for call in calls} == {0}
    assert sorted(stored(server, trace_id)) == [one.hex() for one in ids]


def test_who_is_served_when_it_ends_is_answered(tmp_path):
    """What was answered OK is there after the start; nothing that was under way hangs."""
    server = Server(tmp_path / "store")
    trace_id = secrets.token_bytes(16)
    taken: set[str] = set()
    try:
        with channel(server) as made:
            stub = TraceServiceStub(made)
            number = 0
            sending = True
            ended = threading.Thread(target=server.end, args=(signal.SIGTERM,))
            while sending:
                calls = {}
                for _ in range(20):
                    number += 1
                    one = number.to_bytes(8)
                    calls[one.hex()] = stub.Export.future(spans(one, trace_id=trace_id), timeout=WAIT_S)
                if number == 200:
                    ended.start()
                for one, call in calls.items():
                    error = call.exception()
                    if error is None:
                        taken.add(one)
                    else:
                        assert error.code() in AGAIN  # it was not begun with
                        sending = False
        ended.join(WAIT_S)
        assert not ended.is_alive()
        assert len(taken) >= 180
        server.start()
        assert taken <= set(stored(server, trace_id))
    finally:
        server.end()


def test_a_taken_port_is_told_and_the_rest_works(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        server = Server(tmp_path / "store", "--grpc-port", port)
        try:
            assert server.grpc == ""
            assert f"OTLP/gRPC is not taken: Port {port} on 127.0.0.1 is in use." in server.said()
            assert client.ask("ls", settings=server.settings)["traces"] == []
            found = {one.check: one for one in checks.server(Settings(server=server.api, endpoint=server.otlp))}
            assert (found["grpc"].state, found["endpoint"].state) == ("warn", "ok")
            assert f"Port {port}" in found["grpc"].message
        finally:
            assert server.end() == 0


def test_it_can_be_switched_off(tmp_path):
    server = Server(tmp_path / "store", AFTERTRACE_GRPC_PORT="-1")
    try:
        assert server.grpc == ""
        assert "not taken" not in server.said()
        assert client.ask("ls", settings=server.settings)["traces"] == []
    finally:
        assert server.end() == 0


def test_doctor_says_where_it_is(server):
    found = {one.check: one for one in checks.server(server.settings)}
    assert (found["grpc"].state, found["grpc"].message) == ("ok", f"It takes OTLP/gRPC at {server.grpc}.")
