"""Which requests are kept, from the records of the real recorder, in a time that the test makes."""

import json
import os
import random
import subprocess
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aftertrace import _native
from aftertrace.agent.judge import Judge
from aftertrace.agent.latency import KNOWN, LAG_S, Latency
from aftertrace.agent.overlap import MOST as MOST_NEIGHBOURS
from aftertrace.agent.overlap import Overlaps
from aftertrace.agent.requests import Origin, Request
from aftertrace.agent.routes import MANY, Route, Routes
from aftertrace.agent.siblings import MOST, PAUSE_S, WINDOW_S, Siblings
from aftertrace.agent.storms import FULL, Storms
from aftertrace.agent.tell import Counts
from aftertrace.agent.watch import Trigger, Watch

MS = 1_000_000


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Kept:
    """Stands where the Keeper does: what was kept, and why."""

    def __init__(self):
        self.triggers = []
        self.forgotten = set()

    def trigger(self, _, trigger):
        self.triggers.append(trigger)

    def has_failed(self, trace):
        return any(one.trace == trace and one.role == "failure" for one in self.triggers)

    def weight_of(self, trace):
        weights = [one.weight for one in self.triggers if one.trace == trace and one.role == "failure"]
        return max(weights, default=0.0)

    def remembers(self, trace):
        return trace not in self.forgotten

    def named(self, name):
        return [one for one in self.triggers if one.name == name]


class Host:
    """A judge over one service; requests end at the test's word."""

    def __init__(self, hang_s=10.0):
        self.clock, self.kept, self.counts = Clock(), Kept(), Counts()
        self.process = SimpleNamespace(
            ring=SimpleNamespace(service="orders"), watch=Watch(self.clock), ns=lambda ticks: ticks
        )
        self.judge = Judge(self.kept, lambda: [self.process], self.counts, hang_s, self.clock)
        self.ticks = 0
        self.chance = random.Random(7)

    def request(self, ms=10.0, name="GET /cart", trigger="", handled=(), logged=(), trace=b"", begun=0, status=200):
        trace = trace or self.chance.randbytes(16)
        end = max(begun + int(ms * MS), self.ticks) if begun else self.ticks + int(ms * MS)
        request = Request(trace, trace.hex()[:16], name, begun or self.ticks, self.clock.now, end, status=status)
        self.ticks = end + MS
        request.failed = bool(trigger)
        for kind in handled:
            request.handle(Origin(kind, 1, 2))
        for place in logged:
            request.log(place, end)
        self.process.watch.ended.append(request)
        found = [Trigger(trace, trigger, request.span, end)] if trigger else []
        self.judge.take(self.process, found)
        return trace


def test_a_slow_request_is_kept_by_what_is_usual_on_its_route():
    host = Host()
    for ms in [30, 31, 33, 29, 30, 35, 31, 30, 32, 28, 30, 34]:
        host.request(ms)
    assert host.kept.triggers == []
    slow = host.request(910)
    (trigger,) = host.kept.named("latency")
    assert (trigger.trace, trigger.route) == (slow, "GET /cart")
    assert trigger.reason.startswith("910 ms (p50 31 ms, p99 3")


def test_a_first_request_that_is_slow_is_no_news_and_does_not_hide_a_later_one():
    host = Host()
    host.request(400)
    for _ in range(14):
        host.request(host.chance.uniform(8, 14))
    assert host.kept.triggers == []
    host.request(90)
    assert len(host.kept.named("latency")) == 1


def test_of_usual_requests_hardly_one_in_a_hundred_is_called_slow():
    host = Host()
    for _ in range(5000):
        host.request(host.chance.lognormvariate(3.0, 0.5))
    assert len(host.kept.named("latency")) <= 50


def test_all_of_a_jam_are_kept_until_it_is_what_is_usual():
    """Each joined it a little later than the one before: the first would make a p99 that the last is hardly above."""
    host = Host()
    for _ in range(150):
        host.request(host.chance.uniform(9, 13))
    jam = [host.request(100 + 10 * number) for number in range(14)]
    assert [one.trace for one in host.kept.named("latency")] == jam
    host.clock.now += 60
    host.request(10)
    host.request(200)
    assert len(host.kept.named("latency")) == len(jam)


def test_an_exception_that_is_handled_is_kept_where_it_is_rare():
    host = Host()
    for number in range(400):
        host.request(handled=["KeyError"] if number % 10 == 0 else [])
    before = len(host.kept.named("handled-exception"))
    assert before == 0  # a cache misses
    odd = host.request(handled=["ValueError", "KeyError"])
    (trigger,) = host.kept.named("handled-exception")
    assert (trigger.trace, trigger.origin.type) == (odd, "ValueError")


def test_what_always_happens_is_no_news_however_few_requests_there_were():
    host = Host()
    for _ in range(30):
        host.request(handled=["LookupError"], logged=["app:1"])
    assert host.kept.triggers == []


def test_how_generators_and_tasks_end_is_no_news():
    host = Host()
    for _ in range(20):
        host.request()
    host.request(handled=["StopIteration", "GeneratorExit", "StopAsyncIteration", "asyncio.exceptions.CancelledError"])
    assert host.kept.triggers == []


def test_an_error_record_that_is_rare_is_kept():
    host = Host()
    for _ in range(20):
        host.request()
    host.request(logged=["shop.mail:12ab"])
    (trigger,) = host.kept.named("error-log")
    assert trigger.reason == "ERROR logged by shop.mail"


def test_a_failure_brings_healthy_siblings_whose_weights_count_what_went_well():
    host = Host()
    for _ in range(500):
        host.request()
    for _ in range(40):
        host.request(name="GET /other")
    host.request(trigger="unhandled-exception")
    siblings = [one for one in host.kept.triggers if one.role == "sibling"]
    assert len(siblings) == MOST
    assert sum(one.weight for one in siblings) == pytest.approx(500)
    assert {one.route for one in siblings} == {"GET /cart"}
    host.request(trigger="unhandled-exception")
    assert len([one for one in host.kept.triggers if one.role == "sibling"]) == MOST  # just now, and nothing new


def test_rates_from_what_was_kept_are_those_that_were():
    """One request in ten has a mark; among siblings the weights say so, over many windows."""
    host, marked = Host(), set()
    for number in range(20_000):
        trace = host.request()
        if number % 10 == 0:
            marked.add(trace)
        if number % 400 == 399:
            host.clock.now += PAUSE_S + 1
            host.request(trigger="unhandled-exception")
    siblings = [one for one in host.kept.triggers if one.role == "sibling"]
    estimate = sum(one.weight for one in siblings if one.trace in marked)
    assert sum(one.weight for one in siblings) == pytest.approx(20_000)
    assert 1600 < estimate < 2400  # 2,000; four standard deviations of 1,200 draws are 350


def test_what_is_no_longer_remembered_is_no_sibling():
    clock = Clock()
    siblings = Siblings(clock, seed=1)
    traces = [bytes([n]) * 16 for n in range(10)]
    for trace in traces:
        siblings.add(("s", "r"), trace)
    found = siblings.take(("s", "r"), lambda trace: trace[0] % 2 == 0)
    assert [(trace[0], weight) for trace, weight in found] == [(n, 2.0) for n in range(0, 10, 2)]
    assert siblings.take(("s", "r"), lambda _: True) == []
    clock.now += WINDOW_S
    assert siblings.take(("s", "r"), lambda _: True) == []


def test_requests_that_overlapped_one_that_failed_are_kept_with_it():
    host = Host()
    before = host.request(10)
    began = host.ticks
    beside = [host.request(5) for _ in range(3)]
    failed = host.request(begun=began - MS // 2, trigger="keep")
    after = host.request(10)
    neighbours = [one for one in host.kept.triggers if one.role == "neighbour"]
    assert {one.trace for one in neighbours} == set(beside)
    assert {one.of for one in neighbours} == {failed}
    assert before not in host.kept.triggers
    assert after not in {one.trace for one in neighbours}


def test_of_many_neighbours_those_of_the_same_route_that_went_well_come_first():
    overlaps = Overlaps()
    chance = random.Random(3)
    mine = [chance.randbytes(16) for _ in range(MOST_NEIGHBOURS - 2)]
    for trace in mine:
        overlaps.add("s", Request(trace, "", "POST /reserve", 100, 0.0, 110, status=200))
    for _ in range(50):
        overlaps.add("s", Request(chance.randbytes(16), "", "GET /stock", 0, 0.0, 1000))
        overlaps.add("s", Request(chance.randbytes(16), "", "POST /reserve", 0, 0.0, 1000, status=409))
    found = overlaps.of("s", Request(b"x" * 16, "", "POST /reserve", 50, 0.0, 200), [])
    assert len(found) == MOST_NEIGHBOURS
    assert set(mine) <= set(found)


@pytest.mark.parametrize("per_s", [5, 100, 1000])
def test_a_storm_is_thinned_out_and_its_weights_count_it(per_s):
    """Over many storms: the sum of weights is what there was, within four standard deviations."""
    chance, total, kept, weights, squares = random.Random(per_s), 0, 0, 0.0, 0.0
    for _ in range(20):
        clock, storms = Clock(), Storms(None)
        storms._clock = clock
        for _second in range(30):
            for _ in range(per_s):
                clock.now += 1 / per_s
                total += 1
                weight = storms.admit(("g",), chance.randbytes(16))
                kept += weight > 0
                weights += weight
                squares += weight * (weight - 1) if weight else 0.0  # unbiased estimate of the variance
    assert kept <= 20 * (FULL + 30 * 1.3 + 25)
    assert abs(weights - total) <= 4 * squares**0.5 + 1


def test_agents_that_see_the_same_storm_keep_the_same_traces():
    chance, clock = random.Random(5), Clock()
    one, two = Storms(clock), Storms(clock)
    both = either = 0
    for _ in range(5000):
        clock.now += 0.002
        trace = chance.randbytes(16)
        kept = [storms.admit((name,), trace) > 0 for name, storms in (("inner", one), ("outer", two))]
        both, either = both + all(kept), either + any(kept)
    assert both == either > FULL


def test_a_trace_that_is_kept_takes_its_later_triggers_with_it_and_one_turned_away_does_not():
    host = Host()
    traces = [host.request(trigger="unhandled-exception", name="POST /pay") for _ in range(2000)]
    kept = {one.trace for one in host.kept.triggers if one.role == "failure"}
    assert FULL <= len(kept) < 200
    assert host.counts.turned_away == len(traces) - len(kept)


def test_a_request_that_stays_open_is_told_once():
    host = Host(hang_s=5.0)
    for _ in range(20):
        host.request()
    trace = b"h" * 16
    host.process.watch.at_work[trace] = Request(trace, "ab" * 8, "GET /cart", host.ticks, host.clock.now)
    host.judge.look()
    assert host.kept.triggers == []
    for _ in range(3):
        host.clock.now += 4
        host.judge.look()
    (trigger,) = host.kept.named("in-flight")
    assert (trigger.trace, trigger.reason) == (trace, "open for 8.00 s")


def test_routes_are_bounded():
    routes = Routes()
    found = [routes.of("s", f"GET /{n}") for n in range(5000)]
    assert len({id(one) for one in found}) <= 1001
    assert found[-1] is found[-2]


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**13), min_size=1, max_size=300), st.floats(0.01, 1.0))
def test_quantiles_are_those_of_the_durations(durations, share):
    latency = Latency()
    for number, one in enumerate(durations):
        latency.add(one, number * 2 * LAG_S)  # each counts when the next one comes
    durations = durations if len(durations) <= KNOWN else durations[:-1]
    exact = sorted(durations)[max(int(-(-share * len(durations) // 1)) - 1, 0)]
    found = latency.quantile(share)
    assert found <= max(exact, 1024) * 1.1
    assert found >= min(exact, 2**41) * 0.99 - 1


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.1, 100)), max_size=200))
def test_a_route_never_grows_without_bound_or_stumbles(events):
    route = Route("s", "r")
    for kind, ms in events:
        request = Request(b"t" * 16, "s", "r", 0, 0.0)
        request.handle(Origin(f"{kind}{ms}", 1, 1))
        list(route.judge(request, int(ms * MS)))
        route.add(request, int(ms * MS))
    assert route.count == len(events)
    assert MANY > 0


RECORD = """
import json, os, runpy, sys
from aftertrace import _native
path = sys.argv[1]
_native.start(2, ring_bytes=1 << 20, defs_bytes=1 << 18, roots=[path.rpartition("/")[0] + "/"], libraries=[])
app = runpy.run_path(path)
for name in sys.argv[2:]:
    span = _native.Span("GET", 2, None)
    token = _native.attach(span)
    try:
        app[name]()
    except Exception as error:
        span.record_exception(error)
        span.set_status(2, "no")
    _native.detach(token)
    span.update_name("GET /" + name)
    span.end()
reader = _native.Reader(_native.ring_fd())
print(json.dumps([(p, t and t.hex(), r.hex()) for p, t, _, r in reader.poll()]))
_native.close()
"""
PROGRAM = """
import logging

def deeper():
    return int("15 %")

def swallowed():
    try:
        deeper()
    except Exception:
        logging.getLogger("app").error("never mind")

def raised_anew():
    try:
        deeper()
    except ValueError as error:
        raise KeyError("x") from error

def cleaned_up():
    try:
        with open("/dev/null"):
            deeper()
    except ValueError:
        pass

def many():
    for _ in range(5):
        try:
            deeper()
        except ValueError:
            pass

def looped():
    return sum(value for value in iter([1, 2]))
"""


def test_exceptions_of_real_recordings_are_laid_to_their_requests(tmp_path):
    path = tmp_path / "app.py"
    path.write_text(PROGRAM)
    argv = [sys.executable, "-P", "-c", RECORD, str(path), "swallowed", "raised_anew", "cleaned_up", "many", "looped"]
    done = subprocess.run(argv, capture_output=True, check=True, text=True, env=os.environ)
    watch, triggers = Watch(), []
    for position, trace, records in json.loads(done.stdout):
        data = bytes.fromhex(records)
        triggers += watch.take(position, trace and bytes.fromhex(trace), data, _native.survey(data))[0]
    swallowed, anew, *cleaned, looped = watch.ended
    assert [one.name for one in watch.ended] == [f"GET /{name}" for name in argv[5:]]
    assert [one.type for one in swallowed.handled.values()] == ["ValueError"]
    assert (swallowed.raised, swallowed.failed) == (None, False)
    assert [one.type for one in anew.handled.values()] == ["ValueError"]
    assert anew.raised is not None
    assert anew.raised.type == "KeyError"
    assert [(one.name, one.origin) for one in triggers] == [("unhandled-exception", anew.raised)]
    assert [[origin.type for origin in one.handled.values()] for one in cleaned] == [["ValueError"]] * 2
    assert (looped.handled, looped.raised) == ({}, None)
    assert watch.at_work == {}
