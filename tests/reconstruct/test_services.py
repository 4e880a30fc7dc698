"""Requests through several real processes: one order of steps, whatever clocks say and whatever is missing."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from aftertrace.model import SpanKind
from aftertrace.reconstruct.build import build
from aftertrace.reconstruct.cursor import Cursor
from aftertrace.reconstruct.execution import Execution, StepKind
from aftertrace.reconstruct.tree import SpanTree
from aftertrace.wire import recording
from aftertrace.wire.bundle import TraceData

from .services import SHOP, Services, running, shifted

MINUTE = 60 * 10**9


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with running(tmp_path_factory.mktemp("shop"), SHOP) as services:
        yield services


@pytest.fixture(scope="module")
def sold(shop: Services) -> TraceData:
    """A request through three services and a queue."""
    trace_id = shop.request("gateway", "/checkout", {"country": "DE", "pieces": [1, 2]})
    shop.wait_for_span("worker", trace_id, "process")
    return shop.trace(trace_id)


@pytest.fixture(scope="module")
def failed(shop: Services) -> TraceData:
    """A request that fails two services down."""
    return shop.trace(shop.request("gateway", "/checkout", {"country": "CH", "pieces": [1, 2]}))


def story(execution: Execution) -> list[tuple[str, str, int]]:
    """Service, function and line of every step of user code, in order."""
    found = []
    for step in execution.steps:
        frame = execution.frame(step)
        if frame is not None:
            found.append((execution.processes[step.process].service, frame.code.qualname, step.line))
    return found


def hold_order(execution: Execution) -> None:
    """What must hold of any execution, whatever is missing."""
    steps = execution.steps
    assert [step.index for step in steps] == list(range(len(steps)))
    assert all(a.time_ns <= b.time_ns for a, b in pairwise(steps))
    assert len({step.address for step in steps}) == len(steps)
    numbers: dict[tuple[int, int], int] = {}
    for step in steps:
        number = int(step.address.rpartition(".")[2])
        key = (step.process, step.activation)
        assert number == numbers.get(key, -1) + 1 or not step.activation  # a frame's steps in the ring's order
        numbers[key] = number
    tree = SpanTree(execution.spans)
    starts = {step.span_id: step.index for step in steps if step.kind is StepKind.SPAN_START}
    ends = {step.span_id: step.index for step in steps if step.kind is StepKind.SPAN_END}
    for span in execution.spans.values():
        parent = tree.parent(span.span_id)
        if parent is None or span.kind not in {SpanKind.SERVER, SpanKind.CONSUMER}:
            continue
        own = [step.index for step in steps if tree.entry(step.span_id) == span.span_id]
        if own and parent.span_id in starts:
            assert starts[parent.span_id] < min(own)
        if own and parent.kind is SpanKind.CLIENT and parent.span_id in ends and span.end_ns:
            assert max(own) < ends[parent.span_id]


def test_one_order_over_three_services_and_a_queue(sold: TraceData) -> None:
    execution = build(sold)
    hold_order(execution)
    assert execution.gaps == []
    services = list(dict.fromkeys(one for one, _, _ in story(execution)))
    assert services == ["gateway", "orders", "inventory", "worker"]
    lines = [(service, line) for service, _, line in story(execution)]
    # the gateway's line that calls, all of orders with all of inventory inside, and the line after it
    call, after = lines.index(("gateway", 10)), lines.index(("gateway", 11))
    within = [service for service, _ in lines[call + 1 : after] if service != "gateway"]
    assert within == sorted(within, key=lambda one: one == "inventory")[: within.index("inventory")] + [
        "inventory"
    ] * within.count("inventory") + ["orders"] * (len(within) - within.index("inventory") - within.count("inventory"))
    assert lines.index(("worker", 6)) > lines.index(("gateway", 11))


def test_the_same_data_gives_the_same_addresses_in_any_order(sold: TraceData) -> None:
    turned = replace(sold, recordings=sold.recordings[::-1], spans=sold.spans[::-1])
    assert [step.address for step in build(turned).steps] == [step.address for step in build(sold).steps]


@pytest.mark.parametrize("minutes", [-7, -0.0001, 0.0001, 3, 90])
@pytest.mark.parametrize("service", ["gateway", "orders", "inventory", "worker"])
def test_a_clock_that_is_off_changes_nothing_in_the_order_of_a_waiting_call(
    sold: TraceData, service: str, minutes: float
) -> None:
    by = int(minutes * MINUTE)
    straight, skewed = build(sold), build(shifted(sold, service, by))
    hold_order(skewed)
    called = [one for one in story(straight) if one[0] != "worker"]
    assert [one for one in story(skewed) if one[0] != "worker"] == called  # the queue's time is anybody's guess
    moved = {process.service: process.skew_ns for process in skewed.processes}
    if abs(by) >= MINUTE and service in {"orders", "inventory"}:
        assert abs(moved[service] + by) < 10**9
    for span in skewed.spans.values():
        known = straight.spans[span.span_id]
        assert span.end_ns - span.start_ns == known.end_ns - known.start_ns


def test_a_producer_whose_clock_is_late_still_comes_before_its_consumer(sold: TraceData) -> None:
    lines = [(service, line) for service, _, line in story(build(shifted(sold, "worker", -90 * MINUTE)))]
    assert lines.index(("worker", 6)) > lines.index(("gateway", 11))


def test_stepping_goes_into_the_next_service_and_out_again(sold: TraceData) -> None:
    cursor = Cursor(build(sold))
    cursor.run_to("gateway.py:10")
    here = cursor.index
    assert place(cursor.into_calls) == ("orders", "handle", 9)
    assert [(entry.service, entry.line) for entry in cursor.stack()] == [("orders", 9), ("gateway", 10)]
    border = cursor.stack()[1].border
    assert border is not None
    assert border.kind == "http"
    assert place(cursor.next) == ("orders", "handle", 10)
    assert place(cursor.into_calls) == ("inventory", "handle", 7)
    assert [entry.service for entry in cursor.stack()] == ["inventory", "orders", "gateway"]
    assert cursor.up()
    assert {one.binding.name for one in cursor.locals()} == {"path", "body", "total"}
    assert place(cursor.back_out) == ("orders", "handle", 10)
    assert place(cursor.back_out) == ("gateway", "handle", 10)
    assert cursor.index == here
    assert place(cursor.next) == ("gateway", "handle", 11)
    answer = next(one.binding for one in cursor.locals() if one.binding.name == "answer")
    assert answer.value.entries[0][1].scalar == "O-1"
    assert place(cursor.back_over) == ("gateway", "handle", 10)


def test_out_of_a_service_comes_to_the_line_that_called_it(sold: TraceData) -> None:
    cursor = Cursor(build(sold))
    cursor.run_to("inventory.py:4")
    assert place(cursor.out) == ("inventory", "handle", 11)
    assert place(cursor.out)[0] == "orders"
    assert place(cursor.out)[0] == "gateway"


def test_the_queue_is_a_border_too(sold: TraceData) -> None:
    cursor = Cursor(build(sold))
    cursor.run_to("worker.py:3")
    stack = [(entry.service, entry.frame.code.qualname, entry.line) for entry in cursor.stack()]
    assert stack == [("worker", "invoice", 3), ("worker", "handle", 6), ("gateway", "handle", 11)]
    border = cursor.stack()[2].border
    assert border is not None
    assert border.kind == "queue"
    cursor.back_out()
    assert place(cursor.back_out) == ("gateway", "handle", 11)


def test_backwards_through_services(failed: TraceData) -> None:
    cursor = Cursor(build(failed))
    cursor.goto_failure()
    assert (cursor.stack()[0].service, cursor.step.line) == ("inventory", 4)
    seen = [cursor.stack()[0].service]
    while cursor.back().reason != "start of recording":
        service = cursor.stack()[0].service
        if service != seen[-1]:
            seen.append(service)
    assert seen == ["inventory", "orders", "gateway"]


def place(move: object) -> tuple[str, str, int]:
    assert callable(move)
    move()
    cursor: Cursor = move.__self__  # type: ignore[attr-defined]
    entry = cursor.stack()[0]
    return entry.service, entry.frame.code.qualname, cursor.step.line


# -- what is missing


def test_a_service_that_sent_nothing_is_passed_over(failed: TraceData) -> None:
    without = replace(
        failed,
        spans=[span for span in failed.spans if span.service != "orders"],
        recordings=[data for data in failed.recordings if recording.read(data).meta.service != "orders"],
    )
    execution = build(without)
    hold_order(execution)
    assert {service for service, _, _ in story(execution)} == {"gateway", "inventory"}
    cursor = Cursor(execution)
    cursor.goto_failure()
    assert [entry.service for entry in cursor.stack()] == ["inventory", "inventory"]


def test_a_service_with_spans_and_no_recording(failed: TraceData) -> None:
    without = replace(
        failed, recordings=[data for data in failed.recordings if recording.read(data).meta.service != "orders"]
    )
    execution = build(without)
    hold_order(execution)
    assert {service for service, _, _ in story(execution)} == {"gateway", "inventory"}
    assert {span.service for span in execution.spans.values()} == {"gateway", "orders", "inventory"}
    cursor = Cursor(execution)
    cursor.run_to("gateway.py:10")
    for _ in range(200):
        if cursor.into_calls().reason != "step":
            break


def test_spans_that_were_never_sent_are_told_by_the_recordings(failed: TraceData) -> None:
    execution = build(replace(failed, spans=[]))
    hold_order(execution)
    told = {span.name for span in execution.spans.values() if span.kind is SpanKind.CLIENT}
    assert told == {"POST"}
    assert len(execution.steps) > 30


def test_circles_of_parents_end(failed: TraceData) -> None:
    first, second = failed.spans[0], failed.spans[-1]
    turned = [replace(span, parent_id=second.span_id) if span is first else span for span in failed.spans]
    hold_any(build(replace(failed, spans=turned)))
    own = [replace(span, parent_id=span.span_id) for span in failed.spans]
    hold_any(build(replace(failed, spans=own)))


def hold_any(execution: Execution) -> None:
    assert [step.index for step in execution.steps] == list(range(len(execution.steps)))
    cursor = Cursor(execution)
    while cursor.into_calls().reason == "step":
        assert len(cursor.stack()) < 100
    while cursor.back().reason == "step":
        pass


@pytest.mark.parametrize("service", ["gateway", "orders", "inventory"])
def test_a_recording_cut_anywhere_keeps_the_order(failed: TraceData, service: str) -> None:
    at = next(i for i, data in enumerate(failed.recordings) if recording.read(data).meta.service == service)
    whole = failed.recordings[at]
    for size in range(0, len(whole), 97):
        recordings = [*failed.recordings[:at], whole[:size], *failed.recordings[at + 1 :]]
        execution = build(replace(failed, recordings=recordings))
        hold_any(execution)
        if size < len(whole) - 20:
            assert execution.gaps


def test_a_process_killed_in_the_middle_has_its_last_steps(tmp_path: Path) -> None:
    with running(tmp_path, SHOP) as shop:
        inventory = shop.services["inventory"]
        found: list[str] = []
        asking = threading.Thread(
            target=lambda: found.append(shop.request("orders", "/orders", {"pieces": [1], "region": "hang"}))
        )
        asking.start()
        for _ in range(500):
            inventory.read()
            if any(owner is not None for _, owner, _, _ in inventory.slices):
                break
            time.sleep(0.01)
        time.sleep(0.1)
        os.kill(inventory.process.pid, signal.SIGKILL)
        inventory.process.wait()
        asking.join()
        execution = build(shop.trace(found[0]))
    hold_order(execution)
    hung = next(span for span in execution.spans.values() if span.service == "inventory")
    assert hung.end_ns == 0
    lines = [(service, line) for service, _, line in story(execution)]
    assert [line for service, line in lines if service == "inventory"][-1] == 10  # time.sleep(60)
    # the caller's exception comes after the dead service's last step
    raised = next(step for step in execution.steps if step.kind is StepKind.RAISE)
    assert execution.processes[raised.process].service == "orders"
    last = max(step.index for step in execution.steps if execution.processes[step.process].service == "inventory")
    assert last < raised.index
    cursor = Cursor(execution)
    cursor.run_to("inventory.py:9")
    assert not cursor.is_last_of_process()
    cursor.run_to("inventory.py:10")
    assert cursor.is_last_of_process()
    assert cursor.next().step.index >= cursor.index


PING_PONG = {
    "a": """
from bus import call
def inner(n):
    return n + 1
def handle(path, body):
    if path == "/inner":
        return inner(body)
    first = call("b", "/there", body)
    second = call("b", "/there", first)
    return second
""",
    "b": """
from bus import call
def handle(path, body):
    got = call("a", "/inner", body)
    more = got * 2
    return more
""",
}


@pytest.mark.parametrize("minutes", [0, -5, 5])
def test_services_that_call_each_other_both_ways(tmp_path: Path, minutes: int) -> None:
    with running(tmp_path, PING_PONG) as services:
        trace = services.trace(services.request("a", "/outer", 1))
    execution = build(shifted(trace, "b", minutes * MINUTE))
    hold_order(execution)
    way = [(service, line) for service, function, line in story(execution) if function == "inner" or service == "b"]
    assert [line for service, line in way if service == "a"] == [3, 4, 4] * 2
    cursor = Cursor(execution)
    cursor.run_to("a.py:4")
    assert [entry.service for entry in cursor.stack()] == ["a", "a", "b", "a"]
