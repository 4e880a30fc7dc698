"""W3C trace context and baggage: every MUST of levels 1 and 2 that a header can break, and any input at all."""

from __future__ import annotations

import string
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aftertrace._native import Span, attach, detach
from aftertrace.record import propagation
from aftertrace.record.propagation import (
    BAGGAGE,
    TRACEPARENT,
    TRACESTATE,
    parse_baggage,
    parse_traceparent,
    parse_tracestate,
    read,
    read_mapping,
)

TRACE, SPAN = "12345678901234567890123456789012", "1234567890123456"
IDS = (int(TRACE, 16), int(SPAN, 16))


@pytest.fixture(autouse=True)
def defaults() -> Iterator[None]:
    propagation.configure({})
    yield
    propagation.configure({})


# -- traceparent


@pytest.mark.parametrize(
    "header",
    [
        f"00-{TRACE}-{SPAN}-01.",
        f"00-{TRACE}-{SPAN}-01-what-the-future-will-be-like",
        f"cc-{TRACE}-{SPAN}-01.what-the-future-will-be-like",
        f"ff-{TRACE}-{SPAN}-01",
        f".0-{TRACE}-{SPAN}-01",
        f"0.-{TRACE}-{SPAN}-01",
        f"000-{TRACE}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-.{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}0-{SPAN}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN[1:]}.-01",
        f"00-{TRACE}-{SPAN}0-01",
        f"00-{TRACE}-{SPAN[1:]}-01",
        f"00-{TRACE}-{SPAN}-.0",
        f"00-{TRACE}-{SPAN}-001",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01",
        f"00-{TRACE[:-1]}A-{SPAN}-01",
        f"00_{TRACE}_{SPAN}_01",
        f"00-{TRACE}-{SPAN}-01\n",
        f"\x0b00-{TRACE}-{SPAN}-01",
        f"00-{TRACE[:-1]}\u0661-{SPAN}-01",
        "",
    ],
)
def test_a_broken_traceparent_counts_as_absent(header: str):
    assert parse_traceparent(header) is None
    assert read([header], ["a=1"]) is None


@pytest.mark.parametrize(
    ("header", "flags"),
    [
        (f"00-{TRACE}-{SPAN}-01", 1),
        (f"00-{TRACE}-{SPAN}-00", 0),
        (f"00-{TRACE}-{SPAN}-03", 3),  # level 2: the trace id is random
        (f"00-{TRACE}-{SPAN}-ff", 3),  # flags that nobody knows are not passed on
        (f"cc-{TRACE}-{SPAN}-01", 1),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", 1),
        (f"\t 00-{TRACE}-{SPAN}-01 \t", 1),
    ],
)
def test_a_good_traceparent(header: str, flags: int):
    assert parse_traceparent(header) == (*IDS, flags)


def test_two_traceparents_are_as_good_as_none():
    assert read([f"00-{TRACE}-{SPAN}-01", f"00-{TRACE[::-1]}-{SPAN}-01"], []) is None
    assert read([], ["a=1"]) is None


@given(
    st.text() | st.text("0123456789abcdef-", max_size=60) | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-.*")
)
@example("00-" + "1" * 32 + "-" + "1" * 16 + "-01" + "-" * 100_000)
def test_any_traceparent(header: str):
    found = parse_traceparent(header)
    if found is not None:
        trace, span, flags = found
        assert f"{trace:032x}-{span:016x}" in header
        assert trace
        assert span
        assert flags in range(4)


ids = st.tuples(st.integers(1, (1 << 128) - 1), st.integers(1, (1 << 64) - 1), st.sampled_from([0, 1]))


@given(ids, st.sampled_from(["", "a=1", "a=1,b@c=2"]))
def test_what_is_written_is_read_back(caller: tuple[int, int, int], state: str):
    span = Span("x", 3, (*caller, state))
    carrier: dict[str, str] = {}
    propagation.write(span, carrier)
    assert read_mapping(carrier) == (caller[0], span.span_id, caller[2], state)
    assert len(carrier[TRACEPARENT]) == 55
    assert carrier[TRACEPARENT].startswith("00-")


def test_a_remote_parent_makes_a_child_with_an_id_of_its_own():
    remote = read([f"cc-{TRACE}-{SPAN}-01-more"], ["a=1"])
    span = Span("x", 2, remote)
    assert span.traceparent() == f"00-{TRACE}-{span.span_id:016x}-01"
    assert span.span_id != IDS[1]


# -- tracestate


@pytest.mark.parametrize(
    ("headers", "state"),
    [
        (["foo=1,bar=2"], "foo=1,bar=2"),
        (["foo=1,bar=2", "rojo=1,congo=2", "baz=3"], "foo=1,bar=2,rojo=1,congo=2,baz=3"),
        ([""], ""),
        (["  "], ""),
        ([","], ""),
        (["foo=1", ""], "foo=1,"),  # empty members are allowed
        (["", "foo=1"], ",foo=1"),
        ([" foo=1 \t , \t bar=2, \t baz=3 "], "foo=1 \t , \t bar=2, \t baz=3"),
        (["foo=1,foo=1"], "foo=1,foo=1"),  # level 2: a key that comes twice loses nobody's others
        (["foo=1", "foo=2", "bar=3"], "foo=1,foo=2,bar=3"),
        (["foo =1"], ""),
        (["FOO=1"], ""),
        (["foo.bar=1"], ""),
        (["@foo=1,bar=2"], ""),
        (["foo=bar=baz"], ""),
        (["foo=,bar=3"], ""),
        (["foo=bar\x00"], ""),
        (["foo=bar\xe9"], ""),
        (["foo"], ""),
        (["=1"], ""),
        ([",".join(f"bar{n:02}={n:02}" for n in range(1, 33))], ",".join(f"bar{n:02}={n:02}" for n in range(1, 33))),
        ([",".join(f"bar{n:02}={n:02}" for n in range(1, 34))], ""),
        ([f"{'z' * 256}=1"], f"{'z' * 256}=1"),
        ([f"{'z' * 257}=1"], ""),
        ([f"{'t' * 241}@{'v' * 14}=1"], f"{'t' * 241}@{'v' * 14}=1"),
        ([f"a={'v' * 256}"], f"a={'v' * 256}"),
        ([f"a={'v' * 257}"], ""),
        (["0a=1"], "0a=1"),  # level 2: a key may begin with a digit
        (["foo@bar@baz=1"], "foo@bar@baz=1"),  # level 2: @ stands for nothing
    ],
)
def test_tracestate(headers: list[str], state: str):
    assert parse_tracestate(headers) == state
    assert read([f"00-{TRACE}-{SPAN}-01"], headers) == (*IDS, 1, state)


def test_all_allowed_characters():
    key = string.ascii_lowercase + string.digits + "_-*/"
    value = "".join(map(chr, [*range(0x20, 0x2C), *range(0x2D, 0x3D), *range(0x3E, 0x7F)]))
    for state in (f"{key}={value}", f"{key}@a-z0-9_-*/={value}"):
        assert parse_tracestate([state]) == state


@given(st.lists(st.text() | st.text("ab=,@ \t", max_size=80), max_size=4))
def test_any_tracestate(headers: list[str]):
    state = parse_tracestate(headers)
    if state:
        assert state == parse_tracestate([state])
        members = [member.strip(" \t") for member in state.split(",") if member.strip(" \t")]
        assert members == [m.strip(" \t") for header in headers for m in header.split(",") if m.strip(" \t")]
        assert len(members) <= 32


# -- baggage


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        (["a=1"], "a=1"),
        (["a=1,b=2;p;q=r ; s = t"], "a=1,b=2;p;q=r ; s = t"),
        (["a = 1 , b = %20"], "a = 1 , b = %20"),
        (["a=1", "b=2"], "a=1,b=2"),
        (["a=1,b"], "a=1"),
        (["a=1,=2,c=3"], "a=1,c=3"),
        (["a=\xe9,b=2"], "b=2"),
        (['a="x",b=2'], "b=2"),
        (["a=x y"], ""),
        (["a b=x"], ""),
        (["a="], "a="),
        (["a=1,,b=2"], "a=1,,b=2"),
        ([""], ""),
        (["a=1\r\nEvil: 1"], ""),
        (["k=" + "v" * 8190], "k=" + "v" * 8190),
        (["k=" + "v" * 8191], ""),
        ([",".join(f"k{n}=v" for n in range(180))], ",".join(f"k{n}=v" for n in range(180))),
        ([",".join(f"k{n}=v" for n in range(181))], ""),
    ],
)
def test_baggage(headers: list[str], kept: str):
    assert parse_baggage(headers) == kept


@given(st.lists(st.text() | st.text('ab=;,% \t"', max_size=80), max_size=4))
@example(["a=b" + " \t" * 4000])
@example(["a=b" + ";c= \t" * 1600])
@example(["a=b;" + "c" * 8000])
def test_any_baggage(headers: list[str]):
    kept = parse_baggage(headers)
    assert parse_baggage([kept]) == kept
    assert kept.isascii()
    assert not set(kept) & set("\r\n\0")
    kept.encode("latin-1")


def test_current_baggage_is_entered_and_left():
    entered = propagation.enter_baggage("a=1")
    inner = propagation.enter_baggage("b=2")
    assert propagation.current_baggage() == "b=2"
    propagation.leave_baggage(inner)
    assert propagation.current_baggage() == "a=1"
    propagation.leave_baggage(propagation.enter_baggage(""))
    propagation.leave_baggage(entered)
    assert propagation.current_baggage() == ""


# -- out


def test_a_carriers_own_words_stand():
    entered = propagation.enter_baggage("a=1")
    span = Span("x", 3, (*IDS, 1, "s=1"))
    own = {TRACEPARENT: "mine"}
    assert propagation.write(span, own) == [(BAGGAGE, "a=1")]
    assert own == {TRACEPARENT: "mine", BAGGAGE: "a=1"}
    own = {TRACESTATE: "mine", BAGGAGE: "mine"}
    assert propagation.write(span, own) == [(TRACEPARENT, span.traceparent())]
    propagation.leave_baggage(entered)


@pytest.mark.parametrize(
    ("names", "context", "bags"),
    [
        ("", True, True),
        ("tracecontext,baggage", True, True),
        (" TraceContext ", True, False),
        ("baggage,b3", False, True),
        ("b3", False, False),
        ("none", False, False),
        ("tracecontext,none", False, False),
    ],
)
def test_propagators(names: str, context: bool, bags: bool):
    propagation.configure({"OTEL_PROPAGATORS": names})
    entered = propagation.enter_baggage("a=1")
    carrier: dict[str, str] = {}
    propagation.write(Span("x"), carrier)
    propagation.leave_baggage(entered)
    assert (TRACEPARENT in carrier, BAGGAGE in carrier) == (context, bags)
    assert (read([f"00-{TRACE}-{SPAN}-01"], []) is not None) is context


@pytest.mark.parametrize(
    ("name", "root", "below_sampled", "below_unsampled"),
    [
        ("", 1, 1, 0),
        ("parentbased_always_on", 1, 1, 0),
        ("parentbased_always_off", 0, 1, 0),
        ("always_on", 1, 1, 1),
        ("always_off", 0, 0, 0),
        ("nobody-knows", 1, 1, 0),
    ],
)
def test_samplers_decide_the_flag_that_goes_out(name: str, root: int, below_sampled: int, below_unsampled: int):
    propagation.configure({"OTEL_TRACES_SAMPLER": name})
    assert Span("x", 2, propagation.sampler.root()).trace_flags & 1 == root
    for sent, wanted in ((1, below_sampled), (0, below_unsampled)):
        remote = read([f"00-{TRACE}-{SPAN}-0{sent}"], [])
        assert remote is not None
        assert Span("x", 2, remote).trace_flags & 1 == wanted


@pytest.mark.parametrize("argument", ["0.25", "1", "0", "2", "-1", "nan", "x", ""])
def test_a_ratio(argument: str):
    propagation.configure({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": argument})
    share = {"0.25": 0.25, "0": 0.0}.get(argument, 1.0)
    roots = sum(propagation.sampler.root()[2] for _ in range(4000)) / 4000
    below = [propagation.sampler.flags(n << 62 | n, 1) for n in range(4)]
    assert abs(roots - share) < 0.05
    assert sum(below) == round(4 * share)


def test_the_parent_of_what_begins_now():
    assert propagation.parent() == (0, 0, 1, "")
    received = (*IDS, 1, "a=1")
    token = propagation.remote.set(received)
    assert propagation.parent() == received
    span = Span("x")
    attached = attach(span)
    assert propagation.parent() is span
    detach(attached)
    propagation.remote.reset(token)
