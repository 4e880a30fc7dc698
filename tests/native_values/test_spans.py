"""Spans, the context variable, logs and keep(): what reaches the ring, and that bad arguments never raise."""

from __future__ import annotations

import asyncio
import contextvars
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from native_decoder import records_of, ring_of
from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

from aftertrace import _native
from aftertrace._native import Span, attach, current, detach


def recorded(code: str, tmp_path: Path) -> list[dict[str, Any]]:
    return records_of(ring_of(code, tmp_path / "ring"))


def plain(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: [i.value for i in v.items] if v.items else v.value for name, v in attributes.items()}


# -- identity ---------------------------------------------------------------------------------------------------------


def test_roots_children_and_remote_parents() -> None:
    root = Span("root", parent=None)
    child = Span("child", 3, root)
    assert (root.parent_id, root.trace_flags, root.trace_state) == (0, 3, "")  # sampled, random
    assert (child.trace_id, child.parent_id, child.kind) == (root.trace_id, root.span_id, 3)
    remote = Span("server", 2, (2**127 + 5, 7, 0, "vendor=1"))
    assert (remote.trace_id, remote.parent_id, remote.trace_flags) == (2**127 + 5, 7, 0)
    assert remote.parent_is_remote
    assert Span("below", parent=remote).trace_state == "vendor=1"
    assert Span("below", parent=remote).trace_flags == 0
    unsampled = Span("root", parent=(0, 0, 0, ""))
    assert (unsampled.trace_id != 0, unsampled.parent_id, unsampled.trace_flags) == (True, 0, 2)


def test_a_span_made_elsewhere_keeps_its_identity() -> None:
    own = (2**127 + 1, 2**63 + 3, 0, "vendor=1")
    mirrored = Span("sdk", 2, None, context=own)
    assert (mirrored.trace_id, mirrored.span_id, mirrored.trace_flags, mirrored.trace_state) == own
    assert (mirrored.parent_id, mirrored.parent_is_remote) == (0, False)
    below = Span("below", 1, mirrored, context=(own[0], 9, 1, ""))
    assert (below.span_id, below.parent_id, below.parent_is_remote) == (9, mirrored.span_id, False)
    remote = Span("server", 2, (own[0], 7, 1, "x=y"), context=own)
    assert (remote.parent_id, remote.parent_is_remote, remote.trace_state) == (7, True, "vendor=1")
    assert Span("child", 1, remote).trace_id == own[0]
    other = Span("stray", 1, (5, 7, 1, ""), context=own)
    assert (other.trace_id, other.parent_id, other.parent_is_remote) == (own[0], 0, False)  # another trace is no parent


@pytest.mark.parametrize("own", [(0, 3, 1, ""), (3, 0, 1, ""), (2**128, 3, 1, ""), (3, -1, 1, ""), (1, 2), "no", 7])
def test_an_identity_that_is_none_is_refused(own: Any) -> None:
    before = _native.status()["refused"]
    span = Span("s", parent=None, context=own)
    assert (span.trace_id != 3, span.span_id != 3, span.trace_flags) == (True, True, 3)
    assert _native.status()["refused"] == before + 1


def test_traceparent() -> None:
    span = Span("s", parent=(0xABC, 0xDEF, 1, ""))
    assert span.traceparent() == f"00-{0xABC:032x}-{span.span_id:016x}-01"


def test_ids_are_unique_and_never_zero() -> None:
    spans = [Span("s", parent=None) for _ in range(20_000)]
    assert len({s.trace_id for s in spans}) == len({s.span_id for s in spans}) == 20_000
    assert 0 not in {s.span_id for s in spans}


def test_a_forked_child_has_other_ids() -> None:
    Span("seed")
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, Span("s", parent=None).trace_id.to_bytes(16, "big"))
        os._exit(0)
    mine = Span("s", parent=None).trace_id
    assert os.waitpid(pid, 0)[1] == 0
    assert int.from_bytes(os.read(read, 16), "big") != mine
    os.close(read)
    os.close(write)


# -- context ----------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _own_context() -> Iterator[None]:
    token = attach(None)
    yield
    detach(token)


def test_attach_and_detach_nest() -> None:
    outer, inner = Span("outer"), Span("inner")
    a = attach(outer)
    assert current() is outer
    assert Span("s").parent_id == outer.span_id
    b = attach(inner)
    assert current() is inner
    detach(b)
    assert current() is outer
    detach(a)
    assert current() is None


def test_foreign_and_used_tokens_are_ignored() -> None:
    token = attach(Span("s"))
    detach(token)
    detach(token)
    other: list[Any] = []
    contextvars.copy_context().run(lambda: other.append(attach(Span("t"))))
    detach(other[0])
    detach(contextvars.ContextVar("x").set(1))  # type: ignore[arg-type]
    detach(None)  # type: ignore[arg-type]
    assert current() is None


def test_attach_of_nonsense_changes_nothing() -> None:
    span = Span("s")
    token = attach(span)
    bad = attach(3)  # type: ignore[arg-type]
    assert current() is span
    detach(bad)
    detach(token)


def test_asyncio_tasks_inherit_and_do_not_leak() -> None:
    async def work(n: int) -> tuple[int, int]:
        parent = current()
        token = attach(Span(f"task {n}"))
        for _ in range(5):
            await asyncio.sleep(0)
            assert current() is not None
            assert current().name == f"task {n}"  # type: ignore[union-attr]
        detach(token)
        assert current() is parent
        return n, parent.span_id if parent else 0

    async def main() -> None:
        span = Span("request")
        token = attach(span)
        results = await asyncio.gather(*(work(n) for n in range(20)))
        assert results == [(n, span.span_id) for n in range(20)]
        assert current() is span
        detach(token)

    asyncio.run(main())
    assert current() is None


def test_threads_begin_outside() -> None:
    token = attach(Span("s"))
    seen: list[Any] = []
    thread = threading.Thread(target=lambda: seen.append(current()))
    thread.start()
    thread.join()
    detach(token)
    assert seen == [None]


def test_the_context_holds_the_only_reference() -> None:
    span = Span("s")
    before = sys.getrefcount(span)
    token = attach(span)
    for _ in range(100):
        current()
    detach(token)
    del token
    assert sys.getrefcount(span) == before


# -- records ----------------------------------------------------------------------------------------------------------


def test_a_span_s_life_in_the_ring(tmp_path: Path) -> None:
    records = recorded(
        """
        attributes = {"http.method": "GET", "n": 1, "ok": True, "f": 1.5, "l": ["a", "b"]}
        root = n.Span("GET /", 2, (0xabc, 0xdef, 1, "k=v"), attributes, [(1, 2, {"why": "x"})], 5, "scope")
        token = n.attach(root)
        child = n.Span("query", 3)
        child.set_attribute("rows", 3)
        child.set_attributes({"a": 1, "b": 2})
        child.add_event("hit", {"key": "k"}, 77)
        child.add_link(3, 4, {"z": 1})
        child.update_name("query users")
        child.record_exception(ValueError("bad"))
        child.set_status(2, "broke")
        child.end(99)
        child.end()
        child.set_attribute("late", 1)
        n.detach(token)
        root.end()
        assert child.ended and not child.is_recording() and child.name == "query users"
        """,
        tmp_path,
    )
    kinds = [r["record"] for r in records if r["record"] != "SEGMENT"]
    assert kinds == ["START", "LINK", "START", "ATTR", "ATTR", "EVENT", "LINK", "NAME", "EVENT", "STATUS", "END", "END"]
    root, root_link, child, attr, attrs, event, link, name, exception, status, end, _ = (
        r for r in records if r["record"] != "SEGMENT"
    )
    assert (root["trace"], root["parent"], root["kind"], root["flags"], root["remote"]) == (
        f"{0xABC:032x}",
        f"{0xDEF:016x}",
        2,
        1,
        1,
    )
    assert (root["start"], root["name"], root["scope"], root["in"]) == (5, "GET /", "scope", None)
    assert plain(root["attrs"]) == {"http.method": "GET", "n": 1, "ok": True, "f": 1.5, "l": ["a", "b"]}
    assert (root_link["trace"], root_link["other"], plain(root_link["attrs"])) == (
        f"{1:032x}",
        f"{2:016x}",
        {"why": "x"},
    )
    assert (child["parent"], child["remote"], child["in"]) == (root["span"], 0, root["trace"])
    assert plain(attr["attrs"]) | plain(attrs["attrs"]) == {"rows": 3, "a": 1, "b": 2}
    assert (event["name"], event["time"], plain(event["attrs"])) == ("hit", 77, {"key": "k"})
    assert (link["trace"], link["other"]) == (f"{3:032x}", f"{4:016x}")
    assert (name["name"], status["code"], status["text"], end["end"]) == ("query users", 2, "broke", 99)
    assert plain(exception["attrs"]) == {"exception.type": "ValueError", "exception.message": "bad"}


def test_with_records_the_exception_and_ends(tmp_path: Path) -> None:
    records = recorded(
        """
        try:
            with n.Span("s") as s:
                raise KeyError("k")
        except KeyError:
            assert s.ended
        with n.Span("fine"):
            pass
        """,
        tmp_path,
    )
    kinds = [r["record"] for r in records if r["record"] != "SEGMENT"]
    assert kinds == ["START", "EVENT", "STATUS", "END", "START", "END"]
    status = next(r for r in records if r["record"] == "STATUS")
    assert (status["code"], status["text"]) == (2, "KeyError: k")


def test_more_attributes_than_one_record_holds(tmp_path: Path) -> None:
    records = recorded(
        """
        s = n.Span("s", 1, None, {f"key {i} " + "x" * 100: "v" * 1000 for i in range(100)})
        s.end()
        """,
        tmp_path,
    )
    names = [name for r in records if r["record"] in {"START", "ATTR"} for name in r["attrs"]]
    assert [name.split()[1] for name in names] == [str(i) for i in range(100)]


def test_status_follows_open_telemetry(tmp_path: Path) -> None:
    records = recorded(
        """
        from opentelemetry.trace import Status, StatusCode
        ignored = [(0,), (StatusCode.UNSET,), ("x",), (7,), (None,)]
        for given in [(StatusCode.ERROR, "a"), (Status(StatusCode.ERROR, "b"),), (2, "c"), *ignored]:
            n.Span("s").set_status(*given)
        s = n.Span("ok")
        s.set_status(StatusCode.OK, "dropped")
        s.set_status(StatusCode.ERROR, "too late")
        """,
        tmp_path,
    )
    assert [(r["code"], r["text"]) for r in records if r["record"] == "STATUS"] == [
        (2, "a"),
        (2, "b"),
        (2, "c"),
        (1, ""),
    ]


def test_log_and_keep(tmp_path: Path) -> None:
    log, keep = (
        r
        for r in recorded(
            """
            class Loud:
                def __str__(self): raise SystemExit("was formatted")
                __repr__ = __str__
            n.log(17, "app.orders", "failed %s", (Loud(), 3), "orders.py", 42, "place", ValueError("bad"))
            n.keep("my reason", {"order": 7})
            """,
            tmp_path,
        )
        if r["record"] in {"LOG", "KEEP"}
    )
    assert (log["severity"], log["logger"], log["file"], log["line"], log["function"]) == (
        17,
        "app.orders",
        "orders.py",
        42,
        "place",
    )
    assert log["message"].value == "failed %s"
    assert [item.tag for item in log["args"].items] == ["OBJECT", "INT"]
    assert log["exception"].type == "ValueError"
    assert (keep["reason"], plain(keep["attrs"])) == ("my reason", {"order": 7})


def test_the_largest_log_fits(tmp_path: Path) -> None:
    records = recorded(
        """
        big = {f"k{i}" * 40: "ä" * 9000 for i in range(200)}
        n.log(9, "é" * 900, [big] * 50, (big,) * 50, "ü" * 900, 2**31 - 1, "f" * 900, ValueError(big, big))
        n.keep("é" * 9000, big)
        s = n.Span("é" * 9000, 1, None, big, scope="s" * 900)
        s.record_exception(ValueError(big), big)
        s.add_event("é" * 900, big)
        s.set_status(2, "é" * 9000)
        n.log(9, "after", "m", (), "f", 1, "g", None)
        """,
        tmp_path,
    )
    assert records[-1]["logger"] == "after"
    assert next(r for r in records if r["record"] == "LOG")["exception"].tag == "EXCEPTION"


def test_segments_follow_the_context(tmp_path: Path) -> None:
    records = recorded(
        """
        import asyncio
        async def work(i):
            token = n.attach(n.Span(f"t{i}", 1, None))
            for _ in range(3):
                await asyncio.sleep(0)
                n.attach(n.current())  # what the recorder does at each resume
                n.log(9, str(n.current().trace_id), "m", (), "f", 1, "g", None)
        async def main():
            await asyncio.gather(*(work(i) for i in range(5)))
        asyncio.run(main())
        """,
        tmp_path,
    )
    logs = [r for r in records if r["record"] == "LOG"]
    assert len(logs) == 15
    assert all(int(r["in"], 16) == int(r["logger"]) for r in logs)


# -- what callers get wrong ------------------------------------------------------------------------------------------


class Angry:
    """Raises whatever is asked of it."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __iter__(self) -> Any:
        raise RuntimeError

    def keys(self) -> Any:
        raise RuntimeError


NONSENSE: list[Any] = [
    None,
    0,
    -1,
    2**200,
    "",
    "é\ud800",
    b"",
    1.5,
    (),
    [1],
    {1: 2},
    {"a": Angry()},
    object(),
    Angry(),
    (1, 2),
    (1, 2, 3, 4),
    Span,
]


@pytest.mark.parametrize("index", range(len(NONSENSE)))
def test_nothing_raises(index: int) -> None:
    bad = NONSENSE[index]
    spans = [
        Span(bad),
        Span(),
        Span("s", bad),
        Span("s", 1, bad),
        Span("s", 1, None, bad),
        Span("s", links=bad),
        Span("s", links=[bad]),
    ]  # type: ignore[call-arg]
    spans += [Span("s", links=[(bad, bad, bad)]), Span("s", start_time=bad), Span("s", scope=bad), Span("s", wrong=bad)]  # type: ignore[call-arg]
    spans += [Span("s", 1, (bad, bad, bad, bad)), Span(*[bad] * 9)]
    span = spans[-1]
    for one in spans:
        assert one.trace_id
        assert one.span_id
        assert isinstance(one.name, str)
        assert isinstance(one.trace_state, str)
    names = "set_attribute set_attributes add_event add_link set_status update_name record_exception"
    for method in (getattr(span, name) for name in names.split()):
        for args in ((), (bad,), (bad, bad), (bad, bad, bad), (bad,) * 9):
            method(*args)
        method(unknown=bad)
    _native.log(bad, bad, bad, bad, bad, bad, bad, bad)
    _native.log()  # type: ignore[call-arg]
    _native.keep(bad, bad)
    span.end(bad)
    assert span.ended


def test_mappings_that_are_no_dicts_and_links_by_context() -> None:
    refused = _native.status()["refused"]
    span = Span("s", attributes=MappingProxyType({"a": 1}))
    span.add_link(SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(1)), {"a": 1})
    span.set_status(Status(StatusCode.ERROR))
    assert _native.status()["refused"] == refused
    span.set_status(object())
    assert _native.status()["refused"] == refused + 1


def test_get_span_context_asks_the_factory() -> None:
    span = Span("s")
    try:
        _native.set_span_context_factory(lambda s: SpanContext(s.trace_id, s.span_id, is_remote=False))
        context = span.get_span_context()
        assert (context.trace_id, context.span_id, context.is_valid) == (span.trace_id, span.span_id, True)
        _native.set_span_context_factory(lambda s: 1 / 0)
        assert span.get_span_context() is None
    finally:
        _native.set_span_context_factory(None)
    assert span.get_span_context() is None


def test_spans_leave_nothing_behind() -> None:
    attributes = {"a": 1, "b": "x"}

    def once() -> None:
        remote = (1, 2, 1, f"vendor={id(attributes)}")
        span = Span("name" + str(len(attributes)), 1, remote, attributes, [(1, 2, attributes)], scope="s")
        token = attach(span)
        Span("child").end()
        detach(token)
        span.record_exception(ValueError("x"), attributes)
        span.end()

    for _ in range(100):
        once()
    before = sys.getallocatedblocks()
    for _ in range(2000):
        once()
    assert sys.getallocatedblocks() - before < 50
