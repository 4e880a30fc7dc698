"""Requests that hang and calls that nobody answers, really recorded: where they stand, and who is silent."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from aftertrace.explain.why import ask, why
from aftertrace.reconstruct.build import build
from aftertrace.show import why as rendering
from aftertrace.show.console import Console
from aftertrace.wire.bundle import TraceData

from ..reconstruct.services import Services, running
from .shops import Traces, as_siblings, kept_for

FRONT = """
from bus import call
def total_of(skus):
    total = 0
    for sku in skus:
        total += call("back", "/prices", {"sku": sku})
    return total
def handle(path, body):
    return total_of(body["skus"])
"""
BACK = """
import threading, time
LOCK = threading.Lock()
LOCK.acquire()
def price_of(sku):
    if sku == "sleeps":
        time.sleep(60)
    if sku == "locked":
        with LOCK:
            return 0
    if sku == "busy":
        return sum(work(n) for n in range(100_000_000))
    return 7
def work(n):
    time.sleep(0.004)
    return n % 7
def handle(path, body):
    return price_of(body["sku"])
"""
PATIENT = """
import contextvars
from concurrent.futures import ThreadPoolExecutor
from bus import call
POOL = ThreadPoolExecutor(1)
def price_of(sku):
    asked = POOL.submit(contextvars.copy_context().run, call, "back", "/prices", {"sku": sku})
    try:
        return asked.result(timeout=0.3)
    except TimeoutError:
        return 0
def handle(path, body):
    return price_of(body["skus"][0])
"""


def line_of(text: str, wanted: str) -> int:
    return 1 + next(n for n, line in enumerate(text.split("\n")) if wanted in line)


def hanging(services: Services, sku: str) -> TraceData:
    trace_id = services.request("front", "/x", {"skus": ["a", sku]}, timeout=0.8)
    return kept_for(services.trace(trace_id), "in-flight", time.time_ns())


def told(trace: TraceData) -> dict[str, Any]:
    said = why(build(trace)).to_json()
    json.dumps(said)
    assert len(rendering.render(said, Console(100)).splitlines()) <= 19
    return said


def test_where_it_stands(tmp_path: Path) -> None:
    """The line of the service two borders down, and everybody who waits for it."""
    with running(tmp_path, {"front": FRONT, "back": BACK}) as services:
        trace = hanging(services, "sleeps")
        said = told(trace)
        cause, finding = said["cause"], said["finding"]
        assert finding["kind"] == "silence"
        assert (cause["status"], cause["service"]) == ("verified", "back")
        assert cause["line"] == line_of(BACK, "time.sleep")
        assert (cause["name"], cause["value"]["value"]["scalar"]) == ("sku", "sleeps")
        assert "sleeps here since" in cause["says"]
        assert finding["stood"]["for_ns"] > 0.6e9
        assert [one["service"] for one in finding["open"]] == ["front", "back"]
        assert said["request"]["duration_ns"] == finding["duration_ns"] > 0.7e9
        assert "NOT ENDED  front POST /x " in rendering.render(said, Console(100))
        lines = [(one["service"], one["line"]) for one in said["chain"]]
        assert lines == [
            ("back", line_of(BACK, 'price_of(body["sku"])')),
            ("front", line_of(FRONT, "call(")),
            ("front", line_of(FRONT, "total_of(body")),
        ]
        without = told(replace(trace, keeps=[replace(trace.keeps[0], trigger="latency")]))
        assert without["cause"]["status"] in {"likely", "unknown"}  # nothing says that it still stands there


def test_a_lock(tmp_path: Path) -> None:
    with running(tmp_path, {"front": FRONT, "back": BACK}) as services:
        said = told(hanging(services, "locked"))
    assert (said["cause"]["status"], said["cause"]["line"]) == ("verified", line_of(BACK, "with LOCK"))
    assert said["cause"]["says"].startswith("waits for a lock here since")
    assert "who held the lock" in said["unknown"]


def test_one_that_still_works_does_not_stand(tmp_path: Path) -> None:
    with running(tmp_path, {"front": FRONT, "back": BACK}) as services:
        said = told(hanging(services, "busy"))
    assert said["finding"]["kind"] == "slow"
    assert said["finding"]["ended"] is False
    assert (said["cause"]["service"], said["cause"]["line"]) == ("back", line_of(BACK, "work(n) for"))
    assert said["finding"]["repeated"]["count"] > 20


def test_a_service_that_never_answered(tmp_path: Path) -> None:
    """The caller gave up, and answered without it."""
    back = BACK.replace("time.sleep(60)", "time.sleep(3)")
    with running(tmp_path, {"front": PATIENT, "back": back}) as services:
        services.request("front", "/x", {"skus": ["a"]})
        trace = services.trace(services.request("front", "/x", {"skus": ["sleeps"]}))
    said = told(trace)
    assert said["finding"]["kind"] == "silence"
    assert (said["cause"]["service"], said["cause"]["line"]) == ("back", line_of(back, "time.sleep"))
    assert said["cause"]["status"] == "likely"  # its end may have been lost
    assert said["cause"]["doubts"]


def test_a_service_that_recorded_nothing(tmp_path: Path) -> None:
    """It is known from a sibling that somebody answers there."""
    back = BACK.replace("time.sleep(60)", "time.sleep(0.3)")
    with running(tmp_path, {"front": FRONT, "back": back}) as services:
        healthy = services.trace(services.request("front", "/x", {"skus": ["a"]}))
        slow = services.trace(services.request("front", "/x", {"skus": ["sleeps"]}))
    spans = [one for one in slow.spans if one.service == "front"]
    silent = replace(slow, spans=spans, recordings=slow.recordings[:1])
    assert told(silent)["finding"] is None  # nobody says that it would have been recorded
    sources = Traces([silent, *as_siblings([healthy])], [healthy.trace_id])
    said = ask(sources, reference=silent.trace_id).to_json()
    assert said["finding"]["kind"] == "silence"
    assert said["finding"]["unanswered"][0]["peer"] == "back"
    assert (said["cause"]["status"], said["cause"]["line"]) == ("likely", line_of(FRONT, "call("))
    assert said["cause"]["says"].startswith("back recorded nothing of POST http://back/prices")
    assert any("what back did" in one for one in said["unknown"])
    rendering.render(said, Console(100))


def test_a_healthy_request_has_none(tmp_path: Path) -> None:
    with running(tmp_path, {"front": FRONT, "back": BACK}) as services:
        trace = services.trace(services.request("front", "/x", {"skus": ["a", "b"]}))
    said = told(trace)
    assert said["finding"] is None
    assert said["cause"]["status"] == "unknown"
