"""Celery with a real worker and a real Redis: a task and what it sets off stay in the trace of who sent it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import textwrap
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from .conftest import CONSUMER, PRODUCER, Agent, Recorded, Runner
from .test_uvicorn import free_port

TASKS = """
import json, os, time
from celery import Celery, Task
from aftertrace import _native
app = Celery("shop", broker=os.environ["REDIS"] + "/0", backend=os.environ["REDIS"] + "/1")
app.conf.task_default_queue = os.environ["QUEUE"]
app.conf.broker_connection_retry_on_startup = True
app.conf.task_protocol = int(os.environ.get("PROTOCOL", "2"))
app.conf.worker_hijack_root_logger = False
def here():
    span = _native.current()
    return None if span is None else format(span.span_id, "016x")
@app.task
def add(a, b): return a + b
@app.task
def total(values): return sum(values)
@app.task
def where(): return here()
@app.task(bind=True, max_retries=3)
def flaky(self):
    if self.request.retries < 2:
        try: raise ValueError(f"try {self.request.retries}")
        except ValueError as error: raise self.retry(exc=error, countdown=0.05)
    return "at last"
@app.task(bind=True)
def waits(self):
    if not self.request.retries: raise self.retry(countdown=0.05)
    return "ready"
@app.task
def fails(x): raise KeyError(x)
class Announced(Exception): pass
@app.task(throws=(Announced,))
def announces(): raise Announced("no news")
@app.task(bind=True)
def passes_on(self):
    add.apply_async((1, 1), headers=self.request.headers)
    return self.request.headers
@app.task(bind=True)
def replaces(self): raise self.replace(add.s(20, 1))
@app.task
def told(error): return None
"""
SEND = """
import json
from aftertrace import _native
from celery import chain, chord
from tasks import *
def wait(result): return result.get(timeout=30, propagate=False)
"""


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Redis of our own."""
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("redis-server is not installed")
    port, home = free_port(), tmp_path_factory.mktemp("redis")
    words = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(home)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < until
                time.sleep(0.02)
        yield f"redis://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


class Shop:
    """One queue, and who works on it."""

    def __init__(self, runner: Runner, agent: Agent, stack: ExitStack, redis: str) -> None:
        self.runner, self.agent, self._stack = runner, agent, stack
        (runner.home / "tasks.py").write_text(TASKS)
        self.log = runner.home / "worker.log"
        self.queue = f"q{os.getpid()}{time.monotonic_ns()}"  # one Redis for all tests
        self.env = {"REDIS": redis, "QUEUE": self.queue, "C_FORCE_ROOT": "1", "PYTHONWARNINGS": "ignore"}

    def worker(self, *options: str, recorded: bool = True) -> None:
        words = [self.runner.python, "-m", "celery", "-A", "tasks", "worker", "-c", "2", "-l", "INFO", *options]
        words += ["--without-mingle", "--without-gossip", "--without-heartbeat", "-n", f"{self.queue}@here"]
        self._stack.enter_context(self._process(words, recorded))

    @contextmanager
    def _process(self, words: list[str], recorded: bool) -> Iterator[None]:
        with self.log.open("a") as log:
            process = subprocess.Popen(
                self.runner.words(self.agent if recorded else None, words),
                cwd=self.runner.home,
                env=self.runner.environment(**self.env),
                stdout=log,
                stderr=log,
            )
            try:
                yield
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(30)

    def send(self, program: str, *, recorded: bool = True) -> Any:
        script = self.runner.script(SEND + textwrap.dedent(program), "send.py")
        done = subprocess.run(
            self.runner.words(self.agent if recorded else None, [self.runner.python, str(script)]),
            cwd=self.runner.home,
            env=self.runner.environment(**self.env),
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr + self.log.read_text()
        return json.loads(done.stdout)

    def recorded(self, consumed: int) -> Recorded:
        return self.agent.recorded(lambda found: sum(span.ended for span in found.of(CONSUMER)) >= consumed)


@pytest.fixture
def shop(runner: Runner, agent: Agent, redis: str) -> Iterator[Shop]:
    with ExitStack() as stack:
        yield Shop(runner, agent, stack, redis)


ALL = """
with _native.Span("order") as span:
    token = _native.attach(span)
    first = add.delay(1, 2)
    results = [first, chain(add.s(1, 2), add.s(4), where.si()).apply_async(), flaky.delay(), waits.delay(),
        fails.apply_async(("x",), link_error=told.s()), announces.delay(), app.send_task("tasks.add", (5, 6)),
        add.apply_async((7, 8), countdown=0.1), passes_on.delay(), replaces.delay(),
        chord([add.s(1, 1), add.s(2, 2)])(total.s())]
    out = [wait(result) for result in results]
    _native.detach(token)
print(json.dumps([first.id, [repr(one) if isinstance(one, Exception) else one for one in out]]))
"""


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_a_task_and_what_it_sets_off_belong_to_the_sender(shop: Shop, pool: str):
    shop.worker("-P", pool)
    first, out = shop.send(ALL)
    assert out[0] == 3
    assert out[2:8] == ["at last", "ready", "KeyError('x')", "Announced('no news')", 11, 15]
    assert out[9:] == [21, 6]
    found = shop.recorded(1 + 3 + 3 + 2 + 2 + 1 + 1 + 1 + 2 + 2 + 3)
    (order,) = found.named("order")
    ours = [span for span in found.spans if span.kind in {PRODUCER, CONSUMER}]
    by_id = {span.id: span for span in ours}
    assert {span.trace for span in ours} == {order.trace}
    assert all(span.ended for span in ours)
    worked = found.of(CONSUMER)
    for span in worked:
        assert (by_id[span.parent].kind, len(span.links)) == (PRODUCER, 1)
        assert span.attributes["aftertrace.task"] == by_id[span.parent].attributes["aftertrace.task"]
    sent, done = (found.one(kind, messaging__message__id=first) for kind in (PRODUCER, CONSUMER))
    assert (sent.parent, done.parent, done.start.remote, done.links) == (
        order.id,
        sent.id,
        True,
        [(sent.trace, sent.id)],
    )
    assert sent.pid != done.pid
    assert (sent.name, done.name) == (f"send {shop.queue}", f"process {shop.queue}")
    assert done.attributes == {
        "messaging.system": "celery",
        "messaging.destination.name": shop.queue,
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.message.id": first,
        "messaging.celery.retries": 0,
        "aftertrace.task": "tasks.add",
    }
    (last,) = found.of(CONSUMER, aftertrace__task="tasks.where")
    assert out[1] == last.id
    before = by_id[by_id[last.parent].parent]
    assert (before.kind, before.attributes["aftertrace.task"]) == (CONSUMER, "tasks.add")
    flaky = sorted(
        found.of(CONSUMER, aftertrace__task="tasks.flaky"), key=lambda span: span.attributes["messaging.celery.retries"]
    )
    assert [(s.attributes["messaging.celery.retries"], s.status) for s in flaky] == [(0, 2), (1, 2), (2, 0)]
    assert [s.attributes.get("error.type") for s in flaky] == ["ValueError", "ValueError", None]
    assert [by_id[s.parent].parent for s in flaky] == [order.id, flaky[0].id, flaky[1].id]
    assert [s.status for s in found.of(CONSUMER, aftertrace__task="tasks.waits")] == [0, 0]
    (failing,) = found.of(CONSUMER, aftertrace__task="tasks.fails")
    assert (failing.status, failing.events[0][1]["exception.type"]) == (2, "KeyError")
    (announced,) = found.of(CONSUMER, aftertrace__task="tasks.announces")
    assert (announced.status, announced.attributes["error.type"], announced.events) == (0, "Announced", [])
    (passing,) = found.of(CONSUMER, aftertrace__task="tasks.passes_on")
    assert passing.id in {by_id[s.parent].parent for s in found.of(CONSUMER, aftertrace__task="tasks.add")}
    assert "internal failures" not in shop.log.read_text()


SOME = """
results = [fails.delay("x"), flaky.delay(), announces.delay(), add.delay(2, b=3)]
print(json.dumps([str(wait(result)) for result in results]))
"""


def test_with_and_without_us_on_either_side_all_looks_the_same(shop: Shop):
    answers, logs = [], []
    for recorded in False, True:
        shop.log = shop.runner.home / f"worker-{recorded}.log"
        with ExitStack() as stack:
            shop._stack = stack
            shop.worker("-P", "solo", recorded=recorded)
            answers.append(shop.send(SOME, recorded=not recorded))
            logs.append(tracebacks(shop.log))
            if recorded:
                shop.env["PROTOCOL"] = "1"  # its headers are elsewhere
                assert shop.send("print(json.dumps([wait(add.delay(1, 1))]))") == [2]
    assert answers[0] == answers[1] == ["'x'", "at last", "no news", "5"]
    assert logs[0] == logs[1]
    assert any("KeyError" in line for line in logs[0])
    found = shop.recorded(7)
    sent, (*alone, last) = found.of(PRODUCER), found.of(CONSUMER)
    assert [span.parent for span in sent[:4]] == [""] * 4
    assert (last.parent, last.trace) == (sent[-1].id, sent[-1].trace)
    assert sum(not span.parent for span in alone) == 4


def tracebacks(log: Path) -> list[str]:
    text = re.sub(r"\[[0-9a-f-]{36}\]|0x[0-9a-f]+|in [\d.]+s|\d{4}-\d\d-\d\d [\d:,.+]+", "", log.read_text())
    return [
        line for line in text.splitlines() if "File" in line or "Error" in line or "raise" in line or "Task" in line
    ]


def test_in_place_a_task_is_within_the_current_span(runner: Runner):
    ran = runner.good(
        """
        from celery import Celery
        from aftertrace import _native
        app = Celery("m", broker="memory://", backend="cache+memory://")
        app.conf.task_always_eager = True
        @app.task
        def inner():
            with _native.Span("work", 1, _native.current()): pass
            return 1
        @app.task
        def outer(): return inner.delay().get(disable_sync_subtasks=False)
        @app.task
        def fails(): raise KeyError("x")
        with _native.Span("order") as span:
            token = _native.attach(span)
            assert outer.delay().get() == 1
            assert str(fails.apply().result) == "'x'"
            try: fails.apply(throw=True)
            except KeyError: pass
            _native.detach(token)
        assert _native.current() is None
        """
    )
    assert ran.recorded.of(PRODUCER) == []
    (order,) = ran.recorded.named("order")
    outer, inner, *failed = ran.recorded.of(CONSUMER)
    assert (outer.parent, inner.parent, ran.recorded.named("work")[0].parent) == (order.id, outer.id, inner.id)
    assert [(span.parent, span.status, span.attributes["error.type"]) for span in failed] == [
        (order.id, 2, "KeyError"),
        (order.id, 2, "KeyError"),
    ]


def test_errors_and_signatures_are_the_same(runner: Runner):
    runner.same(
        """
        import inspect, re, traceback, warnings
        from celery import Celery
        from celery.app import trace
        app = Celery("m", broker="memory://", backend="cache+memory://")
        @app.task
        def fails(): raise KeyError("x")
        @app.task
        def warns(): warnings.warn("look here", stacklevel=1); return 1
        def attempt(act):
            try: print(act())
            except Exception: print(re.sub("0x[0-9a-f]+", "", traceback.format_exc()))
        attempt(lambda: fails.apply().traceback)
        attempt(lambda: fails.apply(throw=True))
        attempt(lambda: warns.apply().result)
        attempt(lambda: fails.apply_async((1, 2)))
        attempt(lambda: fails.apply_async(serializer="no such"))
        attempt(lambda: app.amqp.send_task_message(None, "x", (1, 2)))
        attempt(lambda: trace.build_tracer("x"))
        print(inspect.signature(trace.build_tracer), inspect.signature(app.amqp.send_task_message))
        print(trace.build_tracer.__qualname__, app.amqp.send_task_message.__name__)
        """,
        PYTHONHASHSEED="0",  # a signature names a set
    )


def test_a_task_in_place_makes_no_new_code(runner: Runner):
    runner.good(
        """
        import gc, tracemalloc
        from celery import Celery
        app = Celery("m", broker="memory://", backend="cache+memory://")
        @app.task
        def work(n): return n
        for n in range(50): work.apply((n,))
        tracemalloc.start()
        sizes = []
        for _ in range(4):
            for n in range(500): work.apply((n,))
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
        # Each round would keep its own; the link's thread may have taken its 64 KiB for reading in one of them.
        assert min(after - before for before, after in zip(sizes, sizes[1:])) < 50_000, sizes
        """
    )
