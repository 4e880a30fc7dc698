"""huey: a task and what it sets off stay in the trace of who sent it, through real consumers with and without us."""

from __future__ import annotations

import json
import pickle
import signal
import subprocess
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aftertrace.record import propagation
from aftertrace.record.boundaries import huey as boundary

from .conftest import CONSUMER, PRODUCER, Agent, Recorded, Runner

TASKS = """
import datetime, json, os, time
from huey import SqliteHuey, crontab
from huey.serializer import Serializer, SignedSerializer
def serializer():
    kind = os.environ.get("KIND", "")
    if kind == "signed": return SignedSerializer(secret="s", compression=True)
    if kind == "zlib": return Serializer(compression=True, use_zlib=True)
    if kind == "json":
        class Json(Serializer):
            def _serialize(self, data): return json.dumps(data).encode()
            def _deserialize(self, data):
                from huey.registry import Message
                return Message(*json.loads(data)) if data.startswith(b"[") else json.loads(data)
        return Json()
    return Serializer()
huey = SqliteHuey("shop", filename=os.environ["QUEUE"], serializer=serializer(), store_none=True)
def note(name, *values):
    with open(os.environ["NOTES"], "a") as file: file.write(json.dumps([name, *values]) + "\\n")
@huey.task()
def add(a, b):
    note("add", a, b)
    return a + b
@huey.task(retries=2)
def flaky():
    with open(os.environ["NOTES"]) as file: tries = file.read().count("flaky")
    note("flaky")
    if tries < 2: raise ValueError(f"try {tries}")
    return "at last"
@huey.task()
def double(x): return 2 * x
@huey.task()
def fails(x): raise KeyError(x)
@huey.task()
def tell(error): note("told", str(error))
@huey.task(context=True)
def itself(task=None):
    note("itself", task.id, sorted(name for name in vars(task) if not name.startswith("_aftertrace")))
"""
SEND = """
import json, sys
from tasks import *
def wait(result, **more): return result(blocking=True, timeout=20, **more)
"""


class Shop:
    """One queue, and what works on it."""

    def __init__(self, runner: Runner, agent: Agent, stack: ExitStack) -> None:
        self.runner, self.agent, self._stack = runner, agent, stack
        (runner.home / "tasks.py").write_text(TASKS)
        self.notes = runner.home / "notes"
        self.notes.touch()
        self.env = {"QUEUE": str(runner.home / "queue.db"), "NOTES": str(self.notes)}

    def consumer(self, *, recorded: bool = True, workers: str = "thread") -> None:
        main = "from huey.bin.huey_consumer import consumer_main; consumer_main()"
        words = [self.runner.python, "-c", main, "tasks.huey", "-w", "2", "-k", workers, "-d", "0.05", "-m", "0.1"]
        self._stack.enter_context(self._process(words, recorded))

    @contextmanager
    def _process(self, words: list[str], recorded: bool) -> Iterator[None]:
        log = (self.runner.home / "consumer.log").open("a")
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
            process.send_signal(signal.SIGINT)
            process.wait(20)
            log.close()

    def send(self, program: str, *, recorded: bool = True) -> Any:
        script = self.runner.script(SEND + textwrap.dedent(program), "send.py")
        done = subprocess.run(
            self.runner.words(self.agent if recorded else None, [self.runner.python, str(script)]),
            cwd=self.runner.home,
            env=self.runner.environment(**self.env),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr + (self.runner.home / "consumer.log").read_text()
        assert done.stderr == ""
        return json.loads(done.stdout)

    def told(self) -> list[Any]:
        return [json.loads(line) for line in self.notes.read_text().splitlines()]

    def recorded(self, consumed: int) -> Recorded:
        """Once so many tasks have been worked on."""
        return self.agent.recorded(lambda found: sum(span.ended for span in found.of(CONSUMER)) >= consumed)


@pytest.fixture
def shop(runner: Runner, agent: Agent) -> Iterator[Shop]:
    with ExitStack() as stack:
        yield Shop(runner, agent, stack)


@pytest.mark.parametrize("kind", ["", "zlib", "signed"])
def test_a_task_belongs_to_its_sender(shop: Shop, kind: str):
    shop.env["KIND"] = kind
    shop.consumer()
    result = shop.send(
        """
        from aftertrace import _native
        with _native.Span("order") as span:
            token = _native.attach(span)
            result = add(2, 3)
            _native.detach(token)
        print(json.dumps([wait(result), result.id, type(result).__name__]))
        """
    )
    assert (result[0], result[2]) == (5, "Result")
    found = shop.recorded(1)
    (order,), sent, worked = found.named("order"), found.one(PRODUCER), found.one(CONSUMER)
    assert (sent.parent, worked.parent, worked.start.remote) == (order.id, sent.id, True)
    assert sent.trace == worked.trace == order.trace
    assert worked.links == [(sent.trace, sent.id)]
    assert sent.pid != worked.pid
    assert (sent.name, worked.name) == ("send shop", "process shop")
    assert worked.attributes == {
        "messaging.system": "huey",
        "messaging.destination.name": "shop",
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.message.id": result[1],
        "aftertrace.task": "add",
    }


@pytest.mark.parametrize("kind", ["", "signed", "json"])
@pytest.mark.parametrize("sender", [True, False])
def test_with_and_without_us_on_either_side(shop: Shop, kind: str, sender: bool):
    shop.env["KIND"] = kind
    shop.consumer(recorded=not sender)
    assert shop.send("print(json.dumps(wait(add(2, b=3))))", recorded=sender) == 5
    assert shop.told() == [["add", 2, 3]]
    found = shop.recorded(0 if sender else 1)
    span = found.one(PRODUCER if sender else CONSUMER)
    assert (span.parent, span.ended) == ("", True)


def test_retries_pipelines_groups_and_what_is_scheduled(shop: Shop):
    shop.consumer()
    results = shop.send(
        """
        from aftertrace import _native
        with _native.Span("order") as span:
            token = _native.attach(span)
            flaky_result = flaky()
            pipe = huey.enqueue(add.s(1, 2).then(double))
            failed = huey.enqueue(fails.s("x").error(tell))
            later = add.schedule((5, 6), delay=1)
            mapped = add.map([(1, 1), (2, 2)])
            _native.detach(token)
        out = []
        while True:
            try: out.append(flaky_result.get(blocking=True, timeout=20)); break
            except Exception as error: flaky_result.reset()
        out += [pipe.get(blocking=True), wait(later), mapped.get(blocking=True)]
        try: wait(failed)
        except Exception as error: out.append(type(error).__name__ + str(error.metadata["error"]))
        print(json.dumps(out))
        """
    )
    assert results == ["at last", [3, 6], 11, [2, 4], "TaskExceptionKeyError('x')"]
    found = shop.recorded(10)
    trace = found.named("order")[0].trace
    ours = [span for span in found.spans if span.kind in {PRODUCER, CONSUMER}]
    assert {span.trace for span in ours} == {trace}
    assert all(span.ended for span in ours)
    worked = found.of(CONSUMER)
    assert len(worked) == 3 + 2 + 2 + 1 + 2
    by_id = {span.id: span for span in ours}
    assert all(by_id[span.parent].kind == PRODUCER for span in worked)
    flaky = found.of(CONSUMER, aftertrace__task="flaky")
    assert [span.status for span in flaky] == [2, 2, 0]
    assert [span.attributes.get("error.type") for span in flaky] == ["ValueError", "ValueError", None]
    assert by_id[flaky[1].parent].parent == flaky[0].id
    (failing,), (told,) = found.of(CONSUMER, aftertrace__task="fails"), found.of(CONSUMER, aftertrace__task="tell")
    assert by_id[told.parent].parent == failing.id
    assert failing.events[0][1]["exception.type"] == "KeyError"
    (doubling,) = found.of(CONSUMER, aftertrace__task="double")
    before = by_id[by_id[doubling.parent].parent]
    assert (before.kind, before.attributes["aftertrace.task"]) == (CONSUMER, "add")


@pytest.mark.parametrize("workers", ["thread", "process"])
def test_tasks_are_as_they_were(shop: Shop, workers: str):
    shop.consumer(workers=workers)
    result = shop.send("r = itself(); wait(r); print(json.dumps(r.id))")
    scheduled = shop.send(
        """
        add.schedule((1, 1), delay=60)
        while not huey.scheduled(): time.sleep(0.05)
        print(json.dumps([huey.scheduled()[0].data, huey.pending()]))
        """
    )
    assert scheduled == [[[1, 1], {}], []]
    (name, task, fields) = shop.told()[0]
    assert (name, task) == ("itself", result)
    bare = shop.send(
        """
        task = itself.s()
        print(json.dumps(sorted(vars(huey.deserialize_task(huey.serialize_task(task))))))
        """,
        recorded=False,
    )
    assert fields == bare


def test_immediate_mode_and_errors_look_the_same(runner: Runner):
    runner.same(
        """
        import inspect, logging, pickle, traceback
        from huey import MemoryHuey
        logging.disable()  # it names tasks by random ids
        from huey.api import Huey
        from huey.serializer import Serializer
        huey = MemoryHuey("m", immediate=True)
        @huey.task()
        def add(a, b): return a + b
        @huey.task()
        def fails(): raise KeyError("x")
        print(add(1, 2)(), add.call_local(3, 4), add.s(1, 1).id != add.s(1, 1).id)
        try: fails()()
        except Exception as error: print(type(error), error)
        waiting = MemoryHuey("w")
        @waiting.task()
        def other(x): return x
        task = other.s(1)
        print(pickle.loads(waiting.serialize_task(task))[1:3])
        for act in (lambda: waiting.enqueue(None), lambda: waiting.enqueue(other.s(lambda: 1)),
                    lambda: waiting.enqueue(), lambda: waiting.deserialize_task(b"no"), lambda: huey.enqueue(task)):
            try: act()
            except Exception as error: print(traceback.format_exc())
        for f in Huey.enqueue, Huey.serialize_task, Huey._execute, Serializer._serialize:
            print(inspect.signature(f), f.__qualname__, f.__module__)
        """
    )


def test_immediate_mode_is_one_trace(runner: Runner):
    ran = runner.good(
        """
        from huey import MemoryHuey
        from aftertrace import _native
        huey = MemoryHuey("m", immediate=True)
        @huey.task()
        def inner():
            with _native.Span("work"): pass
        inner()
        assert _native.current() is None
        """
    )
    sent, worked = ran.recorded.one(PRODUCER), ran.recorded.one(CONSUMER)
    assert (worked.parent, ran.recorded.named("work")[0].parent) == (sent.id, worked.id)


texts = st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=300)


@given(st.dictionaries(st.sampled_from(["traceparent", "tracestate", "baggage"]), texts.filter(bool)), st.binary())
def test_the_context_stands_behind_the_message(carrier: dict[str, str], value: bytes):
    message = pickle.dumps(value)
    together = message + boundary.pack(carrier)
    assert pickle.loads(together) == value
    assert boundary.unpack(together) == carrier


@given(st.binary(max_size=100), st.binary(max_size=40))
def test_any_bytes_can_be_looked_at(data: bytes, tail: bytes):
    assert isinstance(boundary.unpack(data), dict)
    found = boundary.unpack(data + boundary._MARK + tail)
    assert propagation.read_mapping(found) is None or "traceparent" in found


def test_what_is_too_long_stays_out():
    assert boundary.pack({"baggage": "x" * 5000}) == b""
