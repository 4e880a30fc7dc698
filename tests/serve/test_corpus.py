"""What nobody should send: each gets its documented answer (docs/otlp.md), and the next good request works."""

import gzip
import http.client
import itertools
import json
import math
import secrets
import zlib
from urllib.parse import urlsplit

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from google.rpc import status_pb2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from aftertrace.cli import client
from aftertrace.wire import zstd

PROTOBUF, JSON = "application/x-protobuf", "application/json"
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
YEAR_NS = 365 * 86400 * 10**9
MIB = 1 << 20


class Sender:
    """One connection to the server's HTTP port, for as long as the server keeps it."""

    def __init__(self, server) -> None:
        self.server = server
        self._connection = http.client.HTTPConnection(urlsplit(server.otlp).netloc, timeout=120)

    def send(self, body, kind: str = PROTOBUF, path: str = "/v1/traces", method: str = "POST", **headers: str):
        """The status, and the answer as what its content type says."""
        named = {"Content-Type": kind} if kind else {}
        named |= {key.replace("_", "-"): value for key, value in headers.items()}
        self._connection.request(method, path, body, named)
        with self._connection.getresponse() as answer:
            content = answer.read()
            self.headers = answer.headers
            return answer.status, _read(answer.status, answer.headers["content-type"], content)

    def close(self) -> None:
        self._connection.close()

    def works(self) -> None:
        """The next good request is served, in both kinds."""
        for kind in (PROTOBUF, JSON):
            trace_id = secrets.token_bytes(16)
            body = spans(one(trace_id, name="good"))
            status, said = self.send(as_json(body) if kind == JSON else body, kind)
            assert (status, said) == (200, {})
            (found,) = self.stored(trace_id).spans
            assert found.name == "good"

    def stored(self, trace_id: bytes):
        return client.bundle(trace_id.hex(), settings=self.server.settings)


def _read(status: int, kind: str, content: bytes):
    if kind == JSON:
        return json.loads(content)
    assert kind == PROTOBUF
    message = ExportTraceServiceResponse if status == 200 else status_pb2.Status
    return MessageToDict(message.FromString(content))


@pytest.fixture
def sender(server):
    made = Sender(server)
    yield made
    made.works()
    made.close()


def one(trace_id: bytes, span_id: bytes = b"", **fields) -> dict:
    return {
        "trace_id": trace_id,
        "span_id": span_id or secrets.token_bytes(8),
        "start_time_unix_nano": 1_700_000_000 * 10**9,
        "end_time_unix_nano": 1_700_000_001 * 10**9,
        **fields,
    }


def spans(*fields: dict) -> bytes:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for each in fields:
        scope.spans.add(**each)
    return request.SerializeToString()


def as_json(body: bytes) -> bytes:
    """The same as OTLP/JSON, for spans without bytes among their attributes."""
    said = MessageToDict(ExportTraceServiceRequest.FromString(body))
    for group in said.get("resourceSpans", []):
        for scope in group["scopeSpans"]:
            for span, plain in zip(scope["spans"], _spans(body), strict=True):
                for key, name in (("traceId", "trace_id"), ("spanId", "span_id"), ("parentSpanId", "parent_span_id")):
                    span[key] = getattr(plain, name).hex()
    return json.dumps(said).encode()


def _spans(body: bytes):
    return ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans


def attribute(key: str, **value) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(**value))


GOOD = spans(one(b"t" * 16, name="NAMENAME"))
BOMB = bytes(65 * MIB)


# -- bodies that cannot be read


@pytest.mark.parametrize(
    ("body", "kind", "encoding", "status", "code", "message"),
    [
        (b"\xff garbage", PROTOBUF, "", 400, 3, "not an OTLP ExportTraceServiceRequest"),
        (GOOD[:-1], PROTOBUF, "", 400, 3, "not an OTLP"),
        (lambda: gzip.compress(b"\n\0" * 2_600_000), PROTOBUF, "gzip", 400, 3, "more than 2,500,000 items"),
        (GOOD.replace(b"NAMENAME", b"\xff\xfe\xfd\xfc" * 2), PROTOBUF, "", 400, 3, "not an OTLP"),
        (as_json(GOOD), PROTOBUF, "", 400, 3, "not an OTLP"),
        (b"", JSON, "", 400, 3, "not JSON"),
        (as_json(GOOD)[:-1], JSON, "", 400, 3, "not JSON"),
        (as_json(GOOD).replace(b"NAMENAME", b"\xff\xfe"), JSON, "", 400, 3, "not UTF-8"),
        (GOOD, JSON, "", 400, 3, "The body is not"),
        (b"[" * 100_000 + b"]" * 100_000, JSON, "", 400, 3, "nested too deeply"),
        (b'{"resourceSpans":5}', JSON, "", 400, 3, "resourceSpans: an array is wanted"),
        (GOOD, PROTOBUF, "gzip", 400, 3, "not whole gzip"),
        (gzip.compress(GOOD)[:-1], PROTOBUF, "gzip", 400, 3, "not whole gzip"),
        (gzip.compress(GOOD) + b"more", PROTOBUF, "gzip", 400, 3, "not whole gzip"),
        (zlib.compress(GOOD)[:-1], PROTOBUF, "deflate", 400, 3, "not whole deflate"),
        (zstd.compress(GOOD)[:-1], PROTOBUF, "zstd", 400, 3, "not whole zstd"),
        (gzip.compress(gzip.compress(GOOD)), PROTOBUF, "gzip", 400, 3, "not an OTLP"),
        (gzip.compress(GOOD), PROTOBUF, "br", 415, 3, "Content-Encoding 'br' is not taken"),
        (lambda: gzip.compress(BOMB), PROTOBUF, "gzip", 413, 8, "64 MiB after decompression"),
        (lambda: gzip.compress(BOMB), JSON, "gzip", 413, 8, "64 MiB after decompression"),
        (lambda: zlib.compress(BOMB), PROTOBUF, "deflate", 413, 8, "64 MiB after decompression"),
        (lambda: zstd.compress(BOMB), PROTOBUF, "zstd", 413, 8, "64 MiB after decompression"),
        (lambda: gzip.compress(gzip.compress(BOMB)), PROTOBUF, "gzip", 400, 3, "not an OTLP"),
        (lambda: bytes(64 * MIB + 1), PROTOBUF, "", 413, 8, "64 MiB before decompression"),
    ],
    ids=itertools.count(),
)
def test_bodies_that_cannot_be_read(sender, body, kind, encoding, status, code, message):
    content = body() if callable(body) else body
    answered, said = sender.send(content, kind, **({"Content_Encoding": encoding} if encoding else {}))
    assert answered == status
    assert said["code"] == code
    assert message in said["message"]
    assert "Retry-After" not in sender.headers
    if status == 415:
        assert sender.headers["accept-encoding"] == "gzip, deflate, zstd"


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/grpc", "application/json+x", "multipart/form-data; b=c"]
)
def test_wrong_content_types(sender, kind):
    status, said = sender.send(GOOD, kind)
    assert (status, said["code"]) == (415, 3)
    assert "Send application/x-protobuf or application/json." in said["message"]


@pytest.mark.parametrize("kind", [f"{PROTOBUF}; charset=utf-8", f"{JSON};charset=UTF-8", JSON.upper()])
def test_parameters_and_case_of_content_types(sender, kind):
    body = as_json(GOOD) if JSON in kind.lower() else GOOD
    assert sender.send(body, kind) == (200, {})


def test_other_methods_and_paths(sender):
    status, said = sender.send(None, PROTOBUF, method="GET")
    assert (status, said["code"], sender.headers["allow"]) == (405, 12, "POST")
    for path in ("/v1/profiles", "/v1/traces/", "/", "/v1/%2e%2e/traces"):
        assert sender.send(GOOD, JSON, path)[0] == 404


def test_an_empty_body_of_protobuf_is_an_empty_request(sender):
    assert sender.send(b"") == (200, {})
    assert sender.send(b"{}", JSON) == (200, {})
    assert sender.send(b"", PROTOBUF, "/v1/metrics") == (200, {})


def test_chunks(sender):
    trace_id = secrets.token_bytes(16)
    body = spans(one(trace_id))
    pieces = (body[at : at + 3] for at in range(0, len(body), 3))
    assert sender.send(pieces) == (200, {})
    assert len(sender.stored(trace_id).spans) == 1


# -- spans that cannot be


@pytest.mark.parametrize("kind", [PROTOBUF, JSON])
def test_ids_that_are_none_are_rejected_by_themselves(sender, kind):
    trace_id = secrets.token_bytes(16)
    bad = [
        one(b""),
        one(bytes(16)),
        one(trace_id[:15]),
        one(trace_id + b"x"),
        one(trace_id, bytes(8)),
        one(trace_id, b"x"),
        one(trace_id, parent_span_id=b"abc"),
    ]
    body = spans(one(trace_id), *bad, one(trace_id))
    status, said = sender.send(as_json(body) if kind == JSON else body, kind)
    assert status == 200
    assert said["partialSuccess"]["rejectedSpans"] == str(len(bad))
    assert "a trace id of 0 bytes, 16 are needed" in said["partialSuccess"]["errorMessage"]
    assert len(sender.stored(trace_id).spans) == 2


def test_duplicates_are_stored_once(sender):
    trace_id = secrets.token_bytes(16)
    same = one(trace_id, name="same")
    for body in (spans(same, same), spans(same), spans(same, one(trace_id, name="other"))):
        assert sender.send(body) == (200, {})
    assert sorted(span.name for span in sender.stored(trace_id).spans) == ["other", "same"]


def asked(sender, trace_id: bytes) -> None:
    """Every question about one trace is answered."""
    for question in ("show", "why"):
        assert client.ask(question, settings=sender.server.settings, reference=trace_id.hex())


def test_parents_in_cycles(sender):
    trace_id, a, b, c, missing = secrets.token_bytes(16), *(bytes([n]) * 8 for n in range(1, 5))
    body = spans(
        one(trace_id, a, parent_span_id=b, name="a"),
        one(trace_id, b, parent_span_id=a, name="b"),
        one(trace_id, c, parent_span_id=c, name="c"),
        one(trace_id, parent_span_id=missing, name="d"),
    )
    assert sender.send(body) == (200, {})
    assert {span.name for span in sender.stored(trace_id).spans} == set("abcd")
    asked(sender, trace_id)


def test_times_that_are_far_apart_or_backwards(sender):
    trace_id, now = secrets.token_bytes(16), 1_700_000_000 * 10**9
    times = [
        (now, now + 1),
        (now - 30 * YEAR_NS, now),
        (0, 0),
        (now, 0),
        (now, now - 5),
        (2**64 - 1, 2**64 - 1),
        (1, 2**64 - 1),
    ]
    body = spans(*(one(trace_id, start_time_unix_nano=start, end_time_unix_nano=end) for start, end in times))
    assert sender.send(body) == (200, {})
    assert sorted((span.start_ns, span.end_ns) for span in sender.stored(trace_id).spans) == sorted(times)
    asked(sender, trace_id)


# -- values


def test_ten_thousand_attributes(sender):
    trace_id = secrets.token_bytes(16)
    attributes = [attribute(f"key.{n}", int_value=n) for n in range(10_000)]
    assert sender.send(spans(one(trace_id, attributes=attributes))) == (200, {})
    assert sender.stored(trace_id).spans[0].attributes == {f"key.{n}": n for n in range(10_000)}


def test_large_values(sender):
    trace_id = secrets.token_bytes(16)
    text, data = "é" * (MIB // 2), secrets.token_bytes(MIB)
    body = spans(
        one(trace_id, name=text, attributes=[attribute(text, bytes_value=data), attribute("t", string_value=text)])
    )
    assert sender.send(body) == (200, {})
    (span,) = sender.stored(trace_id).spans
    assert span.name == text
    assert span.attributes == {text: data, "t": text}


def nested(depth: int) -> AnyValue:
    value = outermost = AnyValue()
    for _ in range(depth):
        value = value.array_value.values.add()
    value.int_value = 1
    return outermost


@pytest.mark.parametrize("kind", [PROTOBUF, JSON])
def test_nesting(sender, kind):
    trace_id = secrets.token_bytes(16)
    body = spans(one(trace_id, attributes=[KeyValue(key="k", value=nested(40))]))
    assert sender.send(as_json(body) if kind == JSON else body, kind) == (200, {})
    found = sender.stored(trace_id).spans[0].attributes["k"]
    for _ in range(40):
        (found,) = found
    assert found == 1


def test_strings_that_mean_something_elsewhere(sender):
    trace_id = secrets.token_bytes(16)
    words = [
        "",
        "\0",
        "a\0b",
        "\r\n",
        "'; DROP TABLE spans --",
        "{x:String}",
        "$bytes",
        "\\",
        "\x1b[31m",
        "</script>",
        "%s{}",
        "\u2028\ufeff",
    ]
    attributes = [attribute(word, string_value=word) for word in words]
    inner = AnyValue()
    inner.kvlist_value.values.add(key="$bytes").value.string_value = "AA=="
    attributes.append(KeyValue(key="map", value=inner))
    assert sender.send(
        spans(*(one(trace_id, name=word, attributes=attributes, trace_state=word) for word in words))
    ) == (200, {})
    found = sender.stored(trace_id).spans
    assert sorted(span.name for span in found) == sorted(words)
    for span in found:
        assert span.attributes == {**{word: word for word in words}, "map": {"$bytes": "AA=="}}
    asked(sender, trace_id)


@pytest.mark.parametrize("kind", [PROTOBUF, JSON])
def test_values_keep_their_types(sender, kind):
    trace_id = secrets.token_bytes(16)
    values = {
        "zero": (0, {"int_value": 0}),
        "low": (-(2**63), {"int_value": -(2**63)}),
        "one": (1.0, {"double_value": 1.0}),
        "minus": (-0.0, {"double_value": -0.0}),
        "tiny": (5e-324, {"double_value": 5e-324}),
        "infinite": (math.inf, {"double_value": math.inf}),
        "nan": (math.nan, {"double_value": math.nan}),
        "no": (False, {"bool_value": False}),
        "empty": ("", {"string_value": ""}),
        "nothing": (None, {}),
        "bytes": (b"", {"bytes_value": b""}),
    }
    body = spans(one(trace_id, attributes=[attribute(key, **made) for key, (_, made) in values.items()]))
    assert sender.send(as_json(body) if kind == JSON else body, kind) == (200, {})
    found = sender.stored(trace_id).spans[0].attributes
    assert {key: repr(value) for key, value in found.items()} == {
        key: repr(value) for key, (value, _) in values.items()
    }


# -- the same over gRPC


@pytest.mark.parametrize(
    "body",
    [GOOD.replace(b"NAMENAME", b"\xff\xfe\xfd\xfc" * 2), as_json(GOOD), GOOD[:-1]],
    ids=["no text", "JSON", "truncated"],
)
def test_grpc_refuses_the_same(sender, body):
    with grpc.insecure_channel(sender.server.grpc.removeprefix("http://")) as made:
        with pytest.raises(grpc.RpcError) as caught:
            made.unary_unary(EXPORT)(body, timeout=60)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
