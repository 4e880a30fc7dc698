"""What goes into the store comes out the same, once; ids are found by prefix, by span, as ``last``."""

import hashlib
import json
import math
import struct
import subprocess
import sys
import threading
import zlib

import pytest

from aftertrace import store as stores
from aftertrace.errors import Ambiguous, NotFound, StoreError, UsageError
from aftertrace.model import Keep, LogRecord, Resource, SpanEvent, SpanKind, SpanLink, StatusCode
from aftertrace.store import groups
from aftertrace.wire import zstd

from .conftest import NOW, Maker

ATTRIBUTES = {
    "text": "é\x00'\"\\\n\t{x:String}",
    "int": 2**63 - 1,
    "float": 1.0,
    "tiny": 5e-324,
    "true": True,
    "bytes": b"\xff\x00",
    "none": None,
    "list": ["a", 1, 1.5, b"x", None, [True]],
    "map": {"$bytes": "no", "x": {"y": []}},
    "http.response.status_code": 503,
    "http.route": "/cart/{id}",
}


def test_spans_come_back_as_they_were(store, make):
    root = make.span(
        "GET /",
        kind=SpanKind.SERVER,
        start_ns=2**64 - 2,
        end_ns=2**64 - 1,
        status=StatusCode.ERROR,
        status_message="no",
        attributes=ATTRIBUTES,
        events=(SpanEvent(1, "exception", {"exception.type": "KeyError"}), SpanEvent(2, "x")),
        links=(SpanLink("ab" * 16, "cd" * 8, {"n": 1}),),
        scope="s",
        trace_state="a=b",
        flags=2**32 - 1,
    )
    long_ago = make.span("years apart", start_ns=0, end_ns=0, resource=Resource({"host": [1, {"a": b"b"}]}))
    store.add_spans([root, long_ago])
    assert store.trace(make.trace_id).spans == [long_ago, root]
    types = {key: type(value) for key, value in store.trace(make.trace_id).spans[1].attributes.items()}
    assert types == {key: type(value) for key, value in ATTRIBUTES.items()}


def test_floats_without_a_number(store, make):
    store.add_spans([make.span("f", attributes={"nan": math.nan, "inf": -math.inf})])
    back = store.trace(make.trace_id).spans[0].attributes
    assert math.isnan(back["nan"])
    assert back["inf"] == -math.inf


def test_the_same_batch_twice_is_stored_once(store, make):
    spans = [make.span(str(n)) for n in range(5)]
    same = {"severity": 9, "time_ns": NOW, "body": "again", "resource": Resource({}), "trace_id": make.trace_id}
    logs = [LogRecord(**same), LogRecord(**same), make.keep(), make.piece(zstd.compress(b"r"), 0, 1)]
    for _ in range(3):
        store.add_spans(spans)
        assert store.add_logs(logs) == []
    trace = store.trace(make.trace_id)
    assert trace.spans == spans
    assert len(trace.logs) == 2  # said twice in one batch: two
    assert len(trace.keeps) == len(trace.recordings) == 1


def test_a_span_that_ended_replaces_its_open_state_in_either_order(store, make):
    for first, second in ((0, 1), (1, 0)):
        ended = make.span("s", attributes={"done": True})
        states = [ended, make.span("s", span_id=ended.span_id, start_ns=ended.start_ns, end_ns=0)]
        store.add_spans([states[first]])
        store.add_spans([states[second]])
        assert [span for span in store.trace(make.trace_id).spans if span.span_id == ended.span_id] == [ended]


def recording(sources: dict) -> bytes:
    payload = json.dumps(sources).encode()
    head = struct.pack("<BI", 6, len(payload))
    return b"ATREC\r\n\x01" + head + struct.pack("<I", zlib.crc32(head + payload)) + payload


def source(make: Maker, data: bytes, sha256: str | None = None) -> LogRecord:
    attributes = {
        "aftertrace.source.sha256": sha256 or hashlib.sha256(data).hexdigest(),
        "aftertrace.source.path": "/app/a.py",
    }
    return make.record("aftertrace.source", zstd.compress(data), attributes, trace_id="")


def test_recordings_keeps_and_sources_are_put_together(store, make):
    utf8, latin = "x = 'é'\n".encode(), "# coding: latin-1\nx = 'é'\n".encode("latin-1")
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in (("/a.py", utf8), ("/b.py", latin))}
    whole = recording({**hashes, "/not-sent.py": "0" * 64})
    packed = zstd.compress(whole)
    logs = [
        make.piece(packed[10:], 1, 2),
        source(make, utf8),
        make.piece(packed[:10], 0, 2),
        source(make, latin),
        make.piece(b"half", 0, 2, "33" * 16),
        make.piece(b"not zstd", 0, 1, "44" * 16),
        make.keep("keep", "because", service="gateway", time_ns=7),
        make.record("", {"msg": [1]}, {"k": b"v"}, span_id="ab" * 8, severity=17, scope="app"),
    ]
    assert store.add_logs(logs) == []
    trace = store.trace(make.trace_id)
    assert trace.recordings == [whole]
    assert trace.sources == {hashes["/a.py"]: "x = 'é'\n", hashes["/b.py"]: "# coding: latin-1\nx = 'é'\n"}
    assert trace.logs == [logs[-1]]
    group, title = groups.of("gateway", "keep", "because")
    assert trace.keeps == [Keep(make.trace_id, "keep", "because", "gateway", "11" * 16, 7, group=group, title=title)]
    incomplete, unreadable = trace.problems
    assert incomplete == "Recording 33333333 of orders (process 11111111) is incomplete: 1 of 2 pieces arrived."
    assert unreadable.startswith("Recording 44444444 of orders (process 11111111) cannot be read: not a zstd frame")


def test_records_that_only_claim_to_be_ours_are_refused(store, make):
    wrong = {
        "no trace id": make.keep(trace_id=""),
        "reason is missing or no str": make.record("aftertrace.kept", None, {"aftertrace.keep.trigger": "x"}),
        "piece 2 of 2 cannot be": make.piece(b"", 2, 2),
        "piece -1 of 2 cannot be": make.piece(b"", -1, 2),
        "piece 0 of 1000000 cannot be": make.piece(b"", 0, 1_000_000),
        "piece is missing or no int": make.piece(b"", True, 2),
        "the recording's id is not 32 hex digits": make.piece(b"", 0, 1, "Z" * 32),
        "its body is over": make.piece(bytes((1 << 20) + 1), 0, 1),
        "does not have the hash": source(make, b"x", "0" * 64),
        "its body is not bytes": make.record("aftertrace.source", "text", {"aftertrace.source.sha256": "0" * 64}),
    }
    for problem, record in wrong.items():
        told = store.add_logs([record])
        assert len(told) == 1
        assert problem in told[0]
    with pytest.raises(NotFound):
        store.trace(make.trace_id)


def test_ids_are_found_by_prefix_span_and_last(store, make):
    root = make.span("root")
    store.add_spans([root])
    prefixes = (make.trace_id, make.trace_id[:12], make.trace_id[:15].upper(), f" {make.trace_id[:16]} ")
    for reference in (*prefixes, root.span_id):
        assert store.resolve(reference) == make.trace_id
    store.add_logs([make.keep(time_ns=2**63)])
    assert store.resolve("last") == make.trace_id


def test_a_prefix_that_fits_several_names_them(store):
    ids = [f"fedcba98{n:024x}" for n in range(7)]
    for trace_id in ids:
        store.add_spans([Maker(trace_id).span("x")])
    with pytest.raises(Ambiguous) as caught:
        store.resolve("fedcba98")
    assert ids[0] in caught.value.hint
    assert caught.value.hint.endswith(" ...")
    assert store.resolve(ids[3][:32]) == ids[3]


@pytest.mark.parametrize("reference", ["", "abc", "'; DROP TABLE spans; --", "{trace:String}"])
def test_what_is_no_id(store, reference):
    with pytest.raises(UsageError) as caught:
        store.resolve(reference)
    assert caught.value.slug == "bad-id"


def test_unknown_ids(store):
    for unknown in ("0123456789abcdef", "ff00ff00ff00ff00" * 2, "g" * 32, "a" * 33):
        with pytest.raises(NotFound):
            store.resolve(unknown)
    with pytest.raises(NotFound):
        store.trace("ff00ff00ff00ff00" * 2)


def test_many_writers_and_readers_at_once(store, make):
    batches = [[make.span(f"{n}-{i}") for i in range(20)] for n in range(24)]
    store.add_spans([make.span("first")])
    failures: list[BaseException] = []
    counts: list[int] = []

    def guarded(work):
        try:
            work()
        except BaseException as error:
            failures.append(error)

    def read():
        for _ in range(10):
            counts.append(len(store.trace(make.trace_id).spans))

    threads = [threading.Thread(target=guarded, args=(lambda b=batch: store.add_spans(b),)) for batch in batches]
    threads += [threading.Thread(target=guarded, args=(read,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(counts) == 40
    assert len(store.trace(make.trace_id).spans) == 1 + 24 * 20


def test_a_second_process_is_refused_and_told_who_holds_it(store, make):
    import os

    directory = store._engine._path.removesuffix("/chdb")
    code = (
        "import sys; from pathlib import Path; from aftertrace import store, errors\n"
        "try: store.open(Path(sys.argv[1]))\nexcept errors.StoreError as e: print(e.slug, e.message)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, directory], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.startswith("store-locked")
    assert f"process {os.getpid()}." in done.stdout


def test_a_directory_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as caught:
        stores.open(tmp_path / "file" / "store")
    assert caught.value.slug == "store-directory"
