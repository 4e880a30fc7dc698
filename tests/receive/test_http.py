"""What senders are answered when the store is behind, fails, or refuses; the store here is one that does so at will."""

import asyncio
import json
import threading
from concurrent.futures import Future

import httpx
import pytest
from google.protobuf.json_format import Parse
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from aftertrace.errors import StoreError, Unavailable
from aftertrace.receive import budget, http, receiver
from aftertrace.receive.receiver import Receiver

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json; charset=utf-8"}


class Moody:
    """A sink that gives what it is told to."""

    def __init__(self, *, error: Exception | None = None, late: Exception | None = None, refused: tuple[str, ...] = ()):
        self.error, self.late, self.refused = error, late, refused
        self.taken: list = []

    def submit_spans(self, spans):
        return self._submit(spans, None)

    def submit_logs(self, logs):
        return self._submit(logs, list(self.refused))

    def _submit(self, items, result):
        if self.error:
            raise self.error
        self.taken += items
        done: Future = Future()
        done.set_exception(self.late) if self.late else done.set_result(result)
        return done


def post(sink: Moody, path: str, content: bytes, headers: dict | None = None) -> httpx.Response:
    async def go() -> httpx.Response:
        taker = Receiver(sink)
        try:
            transport = httpx.ASGITransport(http.app(taker), raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://otlp") as client:
                return await client.post(path, content=content, headers=PROTOBUF if headers is None else headers)
        finally:
            taker.close()
            assert taker.budget.held == 0

    return asyncio.run(go())


def spans(*ids: bytes) -> bytes:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for span_id in ids:
        scope.spans.add(trace_id=b"t" * 16, span_id=span_id)
    return request.SerializeToString()


@pytest.mark.parametrize("moment", ["error", "late"])
def test_a_store_that_is_behind_is_503_with_retry_after(moment):
    answer = post(Moody(**{moment: Unavailable("store-behind", "Behind.", "Later.")}), "/v1/traces", spans(b"12345678"))
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["content-type"] == "application/x-protobuf"
    said = status_pb2.Status.FromString(answer.content)
    assert (said.code, said.message) == (14, "Behind. Later.")  # UNAVAILABLE
    retry = error_details_pb2.RetryInfo()
    assert said.details[0].Unpack(retry)
    assert retry.retry_delay.seconds == int(answer.headers["retry-after"])


@pytest.mark.parametrize("error", [StoreError("x", "Refused.", ""), ZeroDivisionError("a bug of ours")])
def test_a_store_that_fails_is_500_and_never_200(error):
    answer = post(Moody(late=error), "/v1/traces", spans(b"12345678"))
    assert answer.status_code == 500
    assert answer.content.startswith(b"\x08\x0d\x12")
    assert b"ZeroDivision" not in answer.content


def test_partial_success_is_set_only_when_something_was_rejected():
    sink = Moody()
    answer = post(sink, "/v1/traces", spans(b"12345678", b"short", bytes(8)))
    said = ExportTraceServiceResponse.FromString(answer.content)
    assert (answer.status_code, said.partial_success.rejected_spans, len(sink.taken)) == (200, 2, 1)
    assert "a span id of 5 bytes" in said.partial_success.error_message
    assert post(Moody(), "/v1/traces", spans(b"12345678")).content == b""


def test_logs_that_the_store_refuses_are_rejected():
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=1)
    answer = post(Moody(refused=("aftertrace.kept: it has no trace id",)), "/v1/logs", request.SerializeToString())
    said = ExportLogsServiceResponse.FromString(answer.content)
    assert (answer.status_code, said.partial_success.rejected_log_records) == (200, 1)
    assert "no trace id" in said.partial_success.error_message


@pytest.mark.parametrize(
    ("path", "headers", "status", "kind"),
    [
        ("/v1/traces", {"content-type": "application/json"}, 400, "application/json"),
        ("/v1/traces", {**JSON, "content-encoding": "br"}, 415, "application/json"),
        ("/v1/nothing", JSON, 404, "application/json"),
        ("/v1/traces", {"content-type": "text/plain"}, 415, "application/x-protobuf"),
        ("/v1/traces", {}, 415, "application/x-protobuf"),
        ("/v1/traces", {**PROTOBUF, "content-encoding": "br"}, 415, "application/x-protobuf"),
        ("/v1/traces", {**PROTOBUF, "content-encoding": "gzip"}, 400, "application/x-protobuf"),
        ("/v1/nothing", PROTOBUF, 404, "application/x-protobuf"),
    ],
)
def test_failures_are_answered_in_kind(path, headers, status, kind):
    answer = post(Moody(), path, b"\xff garbage", headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == kind
    assert "retry-after" not in answer.headers
    said = (
        status_pb2.Status.FromString(answer.content) if "json" not in kind else Parse(answer.text, status_pb2.Status())
    )
    bad = error_details_pb2.BadRequest()
    assert [one.Unpack(bad) for one in said.details] == [True] * (status == 400)
    assert [one.description for one in bad.field_violations] == [said.message] * (status == 400)


def test_content_type_parameters_are_understood():
    assert (
        post(Moody(), "/v1/traces", b"", {"content-type": "Application/X-Protobuf; charset=utf-8"}).status_code == 200
    )


def test_more_in_flight_than_can_be_held(monkeypatch):
    monkeypatch.setattr(budget, "IN_FLIGHT", 10)
    assert post(Moody(), "/v1/traces", spans(b"12345678")).status_code == 503


def test_json_is_answered_in_json():
    span = {"traceId": "AB" * 16, "spanId": "cd" * 8, "name": "n"}
    bad = [{**span, "spanId": bad} for bad in ("", "00" * 8, "ab", "W47/95gDgQM=", "x" * 16)]
    content = {"resourceSpans": [{"scopeSpans": [{"spans": [span, *bad]}]}]}
    sink = Moody()
    answer = post(sink, "/v1/traces", json.dumps(content).encode(), JSON)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    said = answer.json()["partialSuccess"]
    assert said["rejectedSpans"] == "5"  # an int64 is a string
    assert "a span id is not hex" in said["errorMessage"]
    assert [(one.trace_id, one.span_id) for one in sink.taken] == [("ab" * 16, "cd" * 8)]
    assert post(Moody(), "/v1/logs", b"{}", JSON).content == b"{}"


def test_a_store_that_is_behind_says_so_in_json():
    sink = Moody(error=Unavailable("store-behind", "Behind.", "Later."))
    span = {"traceId": "ab" * 16, "spanId": "cd" * 8}
    answer = post(
        sink, "/v1/traces", json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode(), JSON
    )
    assert answer.status_code == 503
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1s"}
    assert answer.json() == {"code": 14, "message": "Behind. Later.", "details": [retry]}


def test_long_answers_are_packed_where_that_is_asked_for():
    content = spans(*(bytes(size) for size in range(1, 8)))
    packed = post(Moody(), "/v1/traces", content, {**PROTOBUF, "accept-encoding": "gzip"})
    plain = post(Moody(), "/v1/traces", content, {**PROTOBUF, "accept-encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content  # httpx unpacked it


def test_many_spans_go_to_the_store_in_pieces_that_wait_for_one_another(monkeypatch):
    class Narrow(Moody):
        """Has room for two pieces; the writer takes one when somebody waits for it."""

        def __init__(self):
            super().__init__()
            self.waiting: list = []

        def submit_spans(self, some):
            if len(self.waiting) == 2:
                threading.Timer(0.01, self.write).start()
                raise Unavailable("store-behind", "Behind.", "Later.")
            done: Future = Future()
            self.waiting.append((some, done))
            if len(self.taken) + sum(len(one) for one, _ in self.waiting) == 7:
                threading.Timer(0.01, lambda: (self.write(), self.write())).start()
            return done

        def write(self):
            some, done = self.waiting.pop(0)
            self.taken += some
            done.set_result(None)

    monkeypatch.setattr(receiver, "_AT_ONCE", 2)
    sink = Narrow()
    assert post(sink, "/v1/traces", spans(*(bytes([1] * 7 + [n]) for n in range(7)))).status_code == 200
    assert len(sink.taken) == 7
