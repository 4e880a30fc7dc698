"""The recorder does the program no harm: none of its code runs, nothing lives longer, nothing is different."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from .cases import CASES, THREADS
from .recorded import WAYS, bare, run

# Under AddressSanitizer every allocation has a size of its own, and what cannot be had ends the process.
own_memory = pytest.mark.skipif("libasan" in os.environ.get("LD_PRELOAD", ""), reason="AddressSanitizer's memory")

LEVELS = pytest.mark.parametrize("level", [1, 2])

# A class of which every look from Python's side is counted; so is its end, with the line at which it comes.
HOSTILE = """
import sys, gc
RAN = []
def trap(name):
    def method(*args, **kwargs):
        RAN.append(name)
        raise AssertionError(name)
    return method
NAMES = '''
    __repr__ __str__ __len__ __bool__ __iter__ __getitem__ __contains__ __eq__ __ne__ __hash__ __getattr__
    __getattribute__ __index__ __int__ __float__ __format__ __bytes__ __next__ __length_hint__ __reduce_ex__ __sizeof__
    __dir__ __call__ __lt__ __instancecheck__ __subclasscheck__ __enter__ __exit__ __await__ __aiter__ __anext__
    __copy__ __deepcopy__ __fspath__
'''.split()
class Meta(type):
    __getattribute__ = trap("meta.__getattribute__")
    __repr__ = trap("meta.__repr__")
    __eq__ = trap("meta.__eq__")
    __hash__ = trap("meta.__hash__")
    __instancecheck__ = trap("meta.__instancecheck__")
def hostile(name, *bases, **more):
    space = {one: trap(f"{name}.{one}") for one in NAMES}
    space |= {one: property(trap(one)) for one in ("__class__", "__dict__", "value")}
    space |= {"__del__": lambda self: ENDED.append((name, sys._getframe(1).f_lineno))}
    return type.__new__(Meta, name, bases, space | more)
ENDED = []
KINDS = object, int, str, list, dict, Exception
Plain, Number, Text, Many, Map, Failure = (hostile(kind.__name__, kind) for kind in KINDS)
Slotted = hostile("slotted", object, __slots__=("one", "two"))
def fresh():
    slotted = object.__new__(Slotted)
    object.__setattr__(slotted, "one", object.__new__(Plain))
    keyed = dict.__new__(Map)
    dict.__setitem__(keyed, "k", object.__new__(Plain))
    listed = list.__new__(Many)
    list.append(listed, object.__new__(Plain))
    plain = object.__new__(Plain)
    object.__setattr__(plain, "hidden", str.__new__(Text, "x"))
    return plain, int.__new__(Number, 5), str.__new__(Text, "text"), listed, keyed, slotted
class Holder:
    def __init__(self, thing):
        self.thing = thing
        self.pair = (thing, [thing])
    def use(self, other):
        mine = self.thing
        self.last = other
        both = [mine, other, {"k": mine}]
        return both
def take(first, *rest, key, **more):
    local = first
    def inner():
        return local
    held = inner()
    for one in rest:
        last = one
    return held
def gives(thing):
    got = yield thing
    yield got
def raises(thing):
    error = Exception.__new__(Failure, thing, "text")
    try:
        raise error
    finally:
        error = None
def main():
    for thing in fresh():
        take(thing, thing, [thing], key=thing, more={"t": thing})
        holder = Holder(thing)
        holder.use(thing)
        g = gives(thing)
        next(g)
        g.send(thing)
        g.close()
        try:
            raises(thing)
        except BaseException as error:
            caught = error
            del caught
        del thing, holder, g
    return "done"
print(main())
print(RAN)
print(ENDED)
"""


@WAYS
@LEVELS
def test_hostile_classes_are_recorded_without_running_them(tmp_path: Path, level: int, frames: str) -> None:
    expected = bare(tmp_path, HOSTILE)
    said, ran, ended = expected.splitlines()
    assert (said, ran) == ("done", "[]")
    assert len(ended) > 100
    seen = run(tmp_path, HOSTILE, level, environment={"AFTERTRACE_FRAMES": frames})
    assert seen.out == expected


LIVES = """
import gc, sys, weakref
class Thing:
    def __init__(self, name):
        self.name = name
        self.parts = [name]
said = []
def note(*what):
    said.append([sys._getframe(1).f_lineno, *what])
def watch(thing):
    name = thing.name
    return weakref.ref(thing, lambda _: said.append([0, "gone", name]))
def returned():
    thing = Thing("returned")
    other = watch(thing)
    note(sys.getrefcount(thing))
    return thing, other
def argument(thing, *, more):
    note(sys.getrefcount(thing), sys.getrefcount(more))
    thing = None
    more.clear()
    note("cleared")
def generator():
    thing = Thing("generator")
    seen = watch(thing)
    yield thing
    note(sys.getrefcount(thing))
    del thing
    note("deleted")
    yield seen
def raising():
    thing = Thing("raising")
    seen = watch(thing)
    raise ValueError(thing)
def cell():
    thing = Thing("cell")
    seen = watch(thing)
    def inner():
        nonlocal thing
        note(sys.getrefcount(thing))
        thing = None
        note("dropped")
    inner()
    return seen
def cycle():
    thing = Thing("cycle")
    thing.self = thing
    seen = watch(thing)
    del thing
    note(seen() is not None, gc.collect() > 0)
    return seen
def main():
    gc.disable()
    thing, seen = returned()
    del thing
    note("after returned", seen() is None)
    one = Thing("argument")
    kept = watch(one)
    argument(one, more=[one])
    note(sys.getrefcount(one))
    del one
    note("after argument", kept() is None)
    for got in generator():
        note(type(got).__name__)
        del got
    left = generator()
    next(left)
    del left
    note("after generator")
    try:
        raising()
    except ValueError as error:
        note(sys.getrefcount(error.args[0]), sys.getrefcount(error))
    note("after raising")
    cell()
    cycle()
    note("after cycle")
main()
print(said)
"""


@WAYS
@LEVELS
def test_everything_dies_when_it_would_have_died(tmp_path: Path, level: int, frames: str) -> None:
    expected = bare(tmp_path, LIVES)
    assert expected.count("gone") >= 5
    assert run(tmp_path, LIVES, level, environment={"AFTERTRACE_FRAMES": frames}).out == expected


# References to everything that lives, before and after 600 rounds: a leak is 600 at least.
COUNTED = """
import gc, sys
{text}
def everything():
    gc.collect()
    counts = [sys.getrefcount(None) if sys.version_info < (3, 12) else 0]
    return sum(sys.getrefcount(one) for one in gc.get_objects()), len(gc.get_objects()), sys.getallocatedblocks()
def once():
{body}
for _ in range(100):
    once()
everything()
first = everything()
for _ in range(600):
    once()
last = everything()
print([b - a for a, b in zip(first, last)])
"""


@LEVELS
def test_no_reference_is_kept(tmp_path: Path, level: int) -> None:
    functions = """
import asyncio
class Order:
    def __init__(self, n):
        self.n, self.lines, self.by = n, [n, [n]], {"n": n}
    def total(self, *more, **named):
        got = [line for line in self.lines]
        return got, more, named
def numbers(n):
    held = [object()]
    yield from (held, n, object())
def fails(thing):
    held = [thing]
    raise LookupError(thing, held)
async def task(n):
    held = Order(n)
    await asyncio.sleep(0)
    return held
async def tasks():
    return await asyncio.gather(*(task(n) for n in range(5)))
def closure(n):
    held = Order(n)
    return lambda: held
"""
    body = """
    Order(5).total(object(), key=object())
    left = numbers(3)
    next(left)
    list(numbers(4))
    try:
        fails(object())
    except LookupError:
        pass
    asyncio.run(tasks())
    closure(3)().total()
    space = {}
    exec(compile("def made(a):\\n    b = [a]\\n    return b\\nmade(object())", __file__, "exec"), space)
"""
    text = COUNTED.format(text=functions, body=body)
    expected = json.loads(bare(tmp_path, text))
    seen = json.loads(run(tmp_path, text, level).out)
    assert all(ours - theirs < 300 for ours, theirs in zip(seen, expected, strict=True)), (seen, expected)


TRACEBACKS = """
import sys, traceback
def deep(n):
    local = [n]
    if n == 0:
        {raising}
    return deep(n - 1)
def endless(n):
    return [endless(n + 1)]
def main():
    try:
        deep(3)
    except BaseException as error:
        print("".join(traceback.format_exception(error)))
        print(error.__traceback__.tb_next.tb_frame.f_locals, error.__context__, error.__cause__, vars(error))
        print([frame.f_lineno for frame, _ in traceback.walk_tb(error.__traceback__)])
main()
"""
RAISING = {
    "raise": "raise ValueError('no', local)",
    "group": "raise ExceptionGroup('g', [ValueError(1), TypeError(2)])",
    "from": "raise KeyError(n) from OSError(5, 'x')",
    "C": "[].index(n)",
    "memory": "bytearray(1 << 62)",
    "recursion": "sys.setrecursionlimit(100); endless(0)",
    "exit": "sys.exit(3)",
    "interrupt": "import signal; signal.raise_signal(signal.SIGINT)",
    "assert": "assert local == 5, local",
    "unicode": "raise RuntimeError('\\udcff', 'ü')",
}


@LEVELS
@pytest.mark.parametrize("raising", RAISING)
def test_exceptions_and_tracebacks_are_the_same(tmp_path: Path, raising: str, level: int) -> None:
    if raising == "memory" and own_memory.args[0]:
        pytest.skip("AddressSanitizer ends a process that asks for too much")
    text = TRACEBACKS.format(raising=RAISING[raising])
    expected = bare(tmp_path, "import sys\nsys.stdout.reconfigure(errors='surrogatepass')\n" + text)
    seen = run(tmp_path, "import sys\nsys.stdout.reconfigure(errors='surrogatepass')\n" + text, level)
    assert seen.out.replace(str(tmp_path), "") == expected.replace(str(tmp_path), "")
    assert seen.status["doubts"] == 0


@own_memory
def test_memory_errors_from_a_limit_are_the_same(tmp_path: Path) -> None:
    text = """
import resource
def grow(n):
    held = []
    try:
        while True:
            held.append(bytearray(1 << 24))
    except MemoryError:
        n = len(held)
        held.clear()
    return "full", n > 3
soft = 1 << 30
resource.setrlimit(resource.RLIMIT_AS, (soft, soft))
print([grow(n) for n in range(3)])
"""
    assert run(tmp_path, text).out == bare(tmp_path, text)


SIGNALS = """
import signal, time
ticks = []
def on_tick(number, frame):
    where = frame.f_code.co_name
    ticks.append(where)
def work(n):
    total = 0
    for i in range(n):
        total += i
    return total
signal.signal(signal.SIGALRM, on_tick)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
end = time.monotonic() + 0.5
while time.monotonic() < end:
    assert work(100) == 4950
signal.setitimer(signal.ITIMER_REAL, 0)
print(len(ticks) > 20)
"""


@LEVELS
def test_signal_handlers_run_between_events(tmp_path: Path, level: int) -> None:
    seen = run(tmp_path, SIGNALS, level)
    assert (seen.out, seen.status["doubts"]) == ("True\n", 0)


# Nearly all the time is spent in callbacks that look at unbound variables.
TICKS = """
import signal
raised = 0
class Tick(Exception):
    pass
def on_tick(number, frame):
    global raised
    raised += 1
    raise Tick
def unbound(n):
    if n < 0:
        UNBOUND
    return n
signal.signal(signal.SIGALRM, on_tick)
def until(count):
    signal.setitimer(signal.ITIMER_REAL, 0.0005)
    while raised <= count:
        unbound(1)
caught = 0
for n in range(300):
    try:
        until(n)
    except Tick:
        caught += 1
print(raised, caught)
""".replace("UNBOUND", " = ".join(f"v{n}" for n in range(100)) + " = n")


@WAYS
def test_what_a_signal_handler_raises_reaches_the_program(tmp_path: Path, frames: str) -> None:
    seen = run(tmp_path, TICKS, 1, environment={"AFTERTRACE_FRAMES": frames})
    assert (seen.out, seen.status["doubts"]) == ("300 300\n", 0)


MANY_THREADS = """
import os, threading
def work(n):
    held = [n]
    return held
def size():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4
def batch(count):
    for start in range(0, count, 50):
        threads = [threading.Thread(target=work, args=(n,)) for n in range(start, start + 50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
batch(500)
first = size()
batch(3000)
print(size() - first)
"""


@own_memory
def test_threads_by_thousands_leave_nothing(tmp_path: Path) -> None:
    grown = int(run(tmp_path, MANY_THREADS, 2, ring_bytes=1 << 18).out)
    assert grown - int(bare(tmp_path, MANY_THREADS)) < 1024, grown


GROWTH = """
import asyncio, os, sys
from aftertrace import _native
def size():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4
class Basket:
    def __init__(self, n):
        self.n, self.lines = n, []
    def add(self, name, *, count=1, **more):
        self.lines.append((name, count))
        return len(self.lines)
def priced(basket):
    for name, count in basket.lines:
        got = yield name, count * 2
def check(n):
    if n % 7 == 0:
        raise LookupError(n)
    return n
async def part(n):
    await asyncio.sleep(0)
    return n
async def request(n):
    span = _native.Span(f"request {{n}}", 2, None, {{"n": n}})
    token = _native.attach(span)
    try:
        basket = Basket(n)
        for i in range(3):
            basket.add(f"item {{i}}", count=n)
        first = next(priced(basket))
        some = [name for name, _ in priced(basket)]
        parts = await asyncio.gather(part(n), part(n + 1))
        if n % 10 == 0:
            space = {{}}
            exec(compile(f"def made_{{n}}(a):\\n    b = a\\n    return b\\nmade_{{n}}({{n}})", __file__, "exec"), space)
        return check(n)
    except LookupError as error:
        span.record_exception(error)
    finally:
        _native.detach(token)
        span.end()
async def main(count):
    for n in range(count):
        await request(n)
asyncio.run(main({warm}))
first = size()
asyncio.run(main({count}))
print(size() - first)
"""


@LEVELS
@own_memory
def test_memory_beside_the_ring_stays_flat(tmp_path: Path, level: int) -> None:
    count = int(os.environ.get("AFTERTRACE_TEST_REQUESTS", "12000"))
    text = GROWTH.format(warm=3000, count=count)
    grown = int(run(tmp_path, text, level, ring_bytes=1 << 20, defs_bytes=1 << 18).out)
    of_itself = int(bare(tmp_path, text))
    assert grown - of_itself < 768, f"{grown} KiB in {count} requests, {of_itself} of its own"


@pytest.mark.parametrize("name", [*CASES, *THREADS])
def test_the_ring_as_a_file_and_the_public_way_change_nothing(tmp_path: Path, name: str) -> None:
    text = {**CASES, **THREADS}[name]
    environment = {"AFTERTRACE_FRAMES": "public", "AFTERTRACE_RING_MEMORY": "file", "PYTHONDEVMODE": "1"}
    assert run(tmp_path, text, environment=environment).out == bare(tmp_path, text)
