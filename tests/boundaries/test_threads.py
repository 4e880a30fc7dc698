"""Threads and executors: in the span of whoever started them, and otherwise as they are."""

from __future__ import annotations

from .conftest import Runner

BASE = """
import sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from aftertrace import _native
current, attach, detach, Span = _native.current, _native.attach, _native.detach, _native.Span
seen = []
def look(): seen.append(current())
class within:
    def __init__(self, span): self.span = span
    def __enter__(self): self.token = attach(self.span); return self.span
    def __exit__(self, *args): detach(self.token)
def run(thread): thread.start(); thread.join()
"""


def test_a_thread_belongs_to_the_span_that_starts_it(runner: Runner):
    runner.good(
        BASE
        + """
class Running(threading.Thread):
    def run(self): look()
class Starting(threading.Thread):
    def start(self): super().start()
    def run(self): look()
class Slots(threading.Thread):
    __slots__ = ()
    def __setattr__(self, name, value):
        assert not name.startswith("_aftertrace"), name
        super().__setattr__(name, value)
    def __getattribute__(self, name):
        assert not name.startswith("_aftertrace"), name
        return super().__getattribute__(name)
a, b = Span("a"), Span("b")
with within(a):
    run(threading.Thread(target=look, daemon=True)); run(Running()); run(Starting()); run(Slots(target=look))
    run(threading.Timer(0.01, look))
    assert current() is a
made_in_a = None
with within(a): made_in_a = threading.Thread(target=look)
with within(b): run(made_in_a)
run(threading.Thread(target=look))
def nested():
    with within(b): run(threading.Thread(target=look))
    look()
with within(a): run(threading.Thread(target=nested))
assert seen == [a] * 5 + [b, None, b, a], seen
with within(a):
    thread = threading.Thread(target=look); run(thread)
    try: thread.start()
    except RuntimeError: pass
    assert not [name for name in vars(thread) if "aftertrace" in name]
"""
    )


def test_an_executors_work_belongs_to_the_span_that_submits_it(runner: Runner):
    runner.good(
        BASE
        + """
import asyncio, queue
started = []
with ThreadPoolExecutor(1, initializer=lambda: started.append(current())) as pool:
    a, b = Span("a"), Span("b")
    with within(a): assert pool.submit(current).result() is a
    with within(b): assert list(pool.map(lambda _: current(), range(3))) == [b] * 3
    assert pool.submit(current).result() is None
    with within(a):
        try: pool.submit(lambda: 1 / 0).result()
        except ZeroDivisionError as error: assert error.__traceback__.tb_next is not None
    assert pool.submit(current).result() is None
assert started == [None], started
import anyio.to_thread, anyio
async def main():
    async def request(span):
        token = attach(span)
        found = await anyio.to_thread.run_sync(current), await asyncio.to_thread(current)
        found += (await asyncio.get_running_loop().run_in_executor(None, current),)
        detach(token)
        return found
    spans = [Span(str(n)) for n in range(50)]
    assert await asyncio.gather(*[request(span) for span in spans]) == [(span,) * 3 for span in spans]
    assert await asyncio.get_running_loop().run_in_executor(None, current) is None
    assert await anyio.to_thread.run_sync(current) is None
asyncio.run(main())
"""
    )


def test_threads_of_other_pools_begin_in_no_span(runner: Runner):
    runner.good(
        BASE
        + """
import logging, logging.handlers, queue
from multiprocessing.pool import ThreadPool
class Look(logging.Handler):
    def emit(self, record): look()
with within(Span("a")):
    pool = ThreadPool(1)
    assert pool.apply(current) is None
    waiting = queue.Queue()
    listener = logging.handlers.QueueListener(waiting, Look()); listener.start()
    waiting.put(logging.makeLogRecord({})); listener.stop()
pool.terminate()
assert seen == [None]
"""
    )


def test_no_thread_of_a_pool_keeps_a_span_alive(runner: Runner):
    """Spans cannot be weakly referenced: what the garbage collector does not see, the reference count tells."""
    runner.good(
        BASE
        + """
span = Span("a")
before = sys.getrefcount(span)
pool = ThreadPoolExecutor(2)
with within(span):
    for future in [pool.submit(time.sleep, 0.01) for _ in range(8)]: future.result()
    for _ in range(5): run(threading.Thread(target=look))
seen.clear(); del future
pool.submit(time.sleep, 0).result()
time.sleep(0.1)
assert sys.getrefcount(span) == before, (sys.getrefcount(span), before)
"""
    )


def test_behaviour_and_tracebacks_are_the_same(runner: Runner):
    runner.same(
        """
        import inspect, sys, threading, traceback
        from concurrent.futures import ThreadPoolExecutor
        if "aftertrace._native" in sys.modules:
            from aftertrace import _native
            _native.attach(_native.Span("all"))
        def boom(): raise KeyError("x")
        def run(thread): thread.start(); thread.join()
        run(threading.Thread(target=boom, name="T"))
        def hook(args): print(args.exc_type, traceback.format_exception(args.exc_value), args.thread.name)
        threading.excepthook = hook
        run(threading.Thread(target=boom, name="U"))
        run(threading.Thread(target=sys.exit))
        thread = threading.Thread(target=print, args=("runs",), daemon=True)
        print(thread.daemon, sorted(vars(thread)))
        run(thread)
        print(sorted(vars(thread)))
        for act in (thread.start, threading.Thread.start, lambda: threading.Thread.start(object())):
            try: act()
            except Exception: traceback.print_exc()
        class Unready(threading.Thread):
            def __init__(self): pass
        try: Unready().start()
        except RuntimeError: traceback.print_exc()
        with ThreadPoolExecutor(1) as pool:
            try: pool.submit(boom).result()
            except KeyError: traceback.print_exc()
            print(type(pool.submit(boom).exception()))
            print(list(pool.map(len, ["a", "bb"])))
        for f in threading.Thread.start, threading.Thread.run, ThreadPoolExecutor.submit:
            print(inspect.signature(f), f.__qualname__, f.__module__)
        """
    )
