"""Programs with all that the recorder has to follow; each prints something that depends on all of it."""

CASES = {
    "nested generators": """
def leaf(n):
    for i in range(n):
        got = yield i
        if got:
            n = got
    return n * 10
def branch(n):
    first = yield from leaf(n)
    try:
        second = yield from leaf(n + 1)
    except KeyError as error:
        second = error.args[0]
        yield "caught"
    finally:
        done = "branch"
    return first, second
def root():
    total = yield from branch(2)
    yield total
g = root()
said = [next(g), g.send(5), next(g), g.throw(KeyError("k"))]
said += list(g)
dropped = root()
next(dropped)
dropped.close()
left = root()
next(left)
del left
print(said)
""",
    "generators that raise and are raised into": """
def fails(n):
    try:
        yield n
        raise ValueError(n)
    finally:
        note = n
def outer():
    for n in range(3):
        inner = fails(n)
        next(inner)
        try:
            if n == 1:
                inner.throw(RuntimeError("in"))
            else:
                next(inner)
        except (ValueError, RuntimeError) as error:
            kind = type(error).__name__
            yield kind
def endless():
    count = 0
    while True:
        try:
            yield count
        except GeneratorExit:
            count = -1
            return
        count += 1
one = endless()
next(one)
next(one)
one.close()
print(list(outer()))
""",
    "coroutines, async generators, async with and for": """
import asyncio
class Room:
    def __init__(self, size):
        self.size = size
    async def __aenter__(self):
        await asyncio.sleep(0)
        return self.size
    async def __aexit__(self, kind, error, trace):
        await asyncio.sleep(0)
        return kind is ValueError
async def numbers(n):
    try:
        for i in range(n):
            await asyncio.sleep(0)
            yield i
    finally:
        await asyncio.sleep(0)
async def use(n):
    total = 0
    async with Room(n) as size:
        async for i in numbers(size):
            total += i
            if i == 2:
                raise ValueError(i)
    kept = [i async for i in numbers(3) if i]
    return total, kept
async def main():
    some = numbers(5)
    first = await anext(some)
    await some.aclose()
    later = numbers(2)
    sent = [await later.asend(None), await later.asend(None)]
    return first, sent, await use(2), await use(5)
print(asyncio.run(main()))
""",
    "task groups and cancellation": """
import asyncio
async def worker(name, turns):
    done = 0
    try:
        for _ in range(turns):
            await asyncio.sleep(0)
            done += 1
        if name == "bad":
            raise LookupError(name)
    except asyncio.CancelledError:
        done = -done
        raise
    finally:
        last = name
    return name, done
async def group(names):
    try:
        async with asyncio.TaskGroup() as tasks:
            started = [tasks.create_task(worker(name, turns)) for name, turns in names]
        found = [task.result() for task in started]
    except* LookupError as failed:
        found = len(failed.exceptions)
    return found
async def stopped():
    task = asyncio.create_task(worker("slow", 50))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return "cancelled"
async def timed():
    try:
        async with asyncio.timeout(0.001):
            await asyncio.sleep(5)
    except TimeoutError:
        return "late"
async def main():
    one = await group([("a", 2), ("b", 3)])
    two = await group([("a", 9), ("bad", 1)])
    three = await asyncio.gather(worker("x", 1), worker("bad", 0), return_exceptions=True)
    return one, two, type(three[1]).__name__, await stopped(), await timed()
print(asyncio.run(main()))
""",
    "eager tasks": """
import asyncio
async def quick(n):
    return n * 2
async def slow(n):
    m = n + 1
    await asyncio.sleep(0)
    return m
async def main():
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(i)) for i in range(3) for one in (quick, slow)]
    return [task.result() for task in tasks]
print(asyncio.run(main()))
""",
    "closures and cells": """
def account(balance):
    def change(by):
        nonlocal balance
        balance += by
        return balance
    def show():
        before = balance
        change(5)
        after = balance
        def deeper():
            nonlocal balance
            balance = balance * 2
            return balance
        deeper()
        last = balance
        return before, after, last
    first = change(1)
    shown = show()
    end = balance
    return first, shown, end
def late():
    def use():
        return value
    value = 1
    one = use()
    value = 2
    two = use()
    del value
    try:
        use()
    except NameError as error:
        three = type(error).__name__
    return one, two, three
def watched():
    state = "a"
    def watch():
        for _ in range(3):
            yield state
    states = watch()
    got = [next(states)]
    state = "b"
    got.append(next(states))
    state = "c"
    got.append(next(states))
    return got
print(account(10), late(), watched())
""",
    "comprehensions": """
def work(rows):
    n = 100
    flat = [n for row in rows for n in row if n]
    by = {name: len(name) for name in ("ab", "c")}
    kinds = {n % 2 for n in flat}
    lazy = (n * n for n in flat)
    total = sum(lazy)
    table = [[x * y for x in range(2)] for y in range(3)]
    made = [(lambda: n) for n in range(2)]
    called = [one() for one in made]
    if (half := total // 2) > 3:
        n += half
    return n, flat, by, len(kinds), total, table, called
print(work([[1, 0, 2], [3]]))
""",
    "classes": """
class Meta(type):
    def __new__(meta, name, bases, space):
        made = super().__new__(meta, name, bases, space)
        return made
class Base(metaclass=Meta):
    limit = 3
    def __init__(self, n, *rest, key=None, **more):
        self.n = n
        self.rest = rest
        count = len(rest) + len(more)
        self.count = count
    @property
    def double(self):
        return self.n * 2
    @classmethod
    def make(cls, n):
        one = cls(n, 1, 2, key="k", extra=3)
        return one
    @staticmethod
    def plain(a, /, b, *, c=1):
        return a, b, c
class Child(Base):
    def __init__(self, n, *rest, **more):
        super().__init__(n + 1, *rest, **more)
        both = __class__.__name__
    def __call__(self, x):
        y = x + self.n
        return y
    def __getattr__(self, name):
        found = name.upper()
        return found
one = Child.make(4)
print(one.double, one(3), one.missing, one.count, Base.plain(1, 2, c=3))
""",
    "exceptions": """
def deep(n):
    try:
        if n == 0:
            raise KeyError("bottom")
        return deep(n - 1)
    except KeyError as error:
        if n == 1:
            raise ValueError("middle") from error
        raise
    finally:
        n = -n
def swallow():
    for n in range(3):
        try:
            deep(n)
        except (KeyError, ValueError) as error:
            kind = type(error).__name__
            if n == 2:
                break
            continue
        else:
            kind = "none"
    return kind
class Quiet:
    def __enter__(self):
        return 1
    def __exit__(self, kind, error, trace):
        return kind is ZeroDivisionError
def withed(n):
    with Quiet() as q:
        m = 1 // n
        return m
    return "quiet"
def from_c():
    try:
        found = [].index(3)
    except ValueError:
        found = -1
    try:
        int("x")
    except ValueError as error:
        text = str(error)
    return found, len(text)
def key(x):
    if x == 2:
        raise TypeError(x)
    return x
def through_c():
    try:
        return sorted([1, 2, 3], key=key)
    except TypeError as error:
        return error.args
print(swallow(), withed(0), withed(1), from_c(), through_c())
""",
    "exception groups": """
def fails(which):
    found = []
    for kind in which:
        try:
            raise kind(len(found))
        except Exception as error:
            found.append(error)
    raise ExceptionGroup("some", found)
def sort(which):
    values = keys = rest = 0
    try:
        try:
            fails(which)
        except* ValueError as group:
            values = len(group.exceptions)
        except* KeyError as group:
            keys = len(group.exceptions)
            raise RuntimeError("more") from group
    except ExceptionGroup as group:
        rest = len(group.exceptions)
    except RuntimeError as error:
        rest = str(error)
    return values, keys, rest
print(sort([ValueError]), sort([ValueError, KeyError, ValueError]), sort([TypeError, KeyError]))
""",
    "recursion": """
import functools
def ackermann(m, n):
    if m == 0:
        return n + 1
    if n == 0:
        return ackermann(m - 1, 1)
    inner = ackermann(m, n - 1)
    return ackermann(m - 1, inner)
def is_even(n):
    return True if n == 0 else is_odd(n - 1)
def is_odd(n):
    return False if n == 0 else is_even(n - 1)
@functools.lru_cache
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
def hanoi(n, a, b, c):
    if n:
        moves = hanoi(n - 1, a, c, b)
        moves += hanoi(n - 1, c, b, a) + 1
        return moves
    return 0
print(ackermann(2, 2), is_even(7), fib(12), hanoi(4, "a", "b", "c"))
""",
    "called back from C": """
import functools, re
class Key:
    def __init__(self, n):
        self.n = n
    def __lt__(self, other):
        less = self.n < other.n
        return less
    def __eq__(self, other):
        same = self.n == other.n
        return same
    def __hash__(self):
        h = hash(self.n)
        return h
    def __iter__(self):
        yield from range(self.n)
def add(a, b):
    c = a + b
    return c
def swap(match):
    text = match.group(0)
    return text.upper()
keys = sorted([Key(3), Key(1), Key(2)])
found = {Key(1): "a", Key(1): "b", Key(2): "c"}
print([k.n for k in keys], found[Key(1)], functools.reduce(add, [1, 2, 3]), re.sub("[ab]", swap, "abc"),
      list(map(add, keys[2], [1, 2, 3])), max([3, 4], key=lambda n: -n))
""",
    "match, loops, unpacking, walrus": """
def kind(thing):
    match thing:
        case {"type": "a", "n": int(n)} if n > 1:
            said = n
        case [first, *rest]:
            said = first, len(rest)
        case str() as text:
            said = text
        case _:
            said = None
    return said
def loops(n):
    a, (b, *c) = 1, (2, 3, 4)
    i = total = 0
    while True:
        i += 1
        if i % 2:
            continue
        total += i
        if (rest := n - i) < 0:
            break
    else:
        total = -1
    for j in range(2):
        pass
    else:
        total += 100
    assert total, "never"
    global seen
    seen = total
    del a
    x = y = total
    x += b
    return total, b, c, j, rest, x, y
print(kind({"type": "a", "n": 5}), kind([1, 2, 3]), kind("text"), kind(0), loops(5), seen)
""",
    "code made while it runs": """
space = {}
exec(compile("def made(n):\\n    m = n + 1\\n    return m\\n", __file__, "exec"), space)
f = eval(compile("lambda x: made(x) * 2", __file__, "eval"), space)
def copy_of(function):
    code = function.__code__.replace(co_name="copied")
    return type(function)(code, function.__globals__)
def original(n):
    m = n * 3
    return m
print(space["made"](1), f(4), copy_of(original)(5), original(6))
""",
}

THREADS = {
    "threads": """
import threading, queue
def work(n, out):
    total = 0
    for i in range(n):
        total += i
        out.put(total)
    return total
def numbers(n):
    for i in range(n):
        yield i
def take(source, out):
    for i in source:
        out.append(i)
        if i % 3 == 2:
            return
out = queue.Queue()
threads = [threading.Thread(target=work, args=(n, out)) for n in range(1, 6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
shared, got = numbers(9), []
for _ in range(3):
    one = threading.Thread(target=take, args=(shared, got))
    one.start()
    one.join()
print(out.qsize(), got)
""",
    "executors and contexts": """
import asyncio, contextvars
from concurrent.futures import ThreadPoolExecutor
name = contextvars.ContextVar("name", default="none")
def blocking(n):
    held = name.get()
    return held, n
async def one(n):
    name.set(f"task {n}")
    loop = asyncio.get_running_loop()
    plain = await asyncio.to_thread(blocking, n)
    pooled = await loop.run_in_executor(None, blocking, n)
    return plain, pooled
async def main():
    return await asyncio.gather(*(one(n) for n in range(4)))
with ThreadPoolExecutor(2) as pool:
    direct = sorted(pool.map(blocking, range(5)))
print(asyncio.run(main()), direct)
""",
}

GREENLETS = {
    "greenlets": """
import greenlet
def ping(n):
    total = 0
    for i in range(n):
        total += i
        got = other.switch(total)
        total += got
    return total
def pong(first):
    value = first
    while True:
        doubled = value * 2
        value = back.switch(doubled)
def nested(depth, where):
    mark = depth
    if depth:
        below = nested(depth - 1, where)
        return mark + below
    said = where.parent.switch("bottom")
    return said
back = greenlet.greenlet(ping)
other = greenlet.greenlet(pong)
one = greenlet.greenlet(lambda: nested(3, one))
first = one.switch()
def run(n):
    result = back.switch(n)
    return result
done = run(4)
last = one.switch(10)
def stopped():
    try:
        greenlet.getcurrent().parent.switch("in")
    finally:
        over = True
killed = greenlet.greenlet(stopped)
killed.switch()
killed.throw()
del other
print(first, done, last)
""",
}
