"""Frames that begin and end in unusual ways: called from C, by the collector, by signals, too deep."""

PROGRAMS = {
    "called back from C": """
import bisect, ctypes, functools, itertools, json, operator, re, sqlite3
from witness import here, within
def key(x):
    here(f"key {x}")
    return -x
def swap(match):
    here(f"swap {match.group()}")
    return match.group().upper()
def add(a, b):
    here(f"add {a} {b}")
    return a + b
def default(thing):
    here("default")
    return repr(thing)
def hook(found):
    here(f"hook {sorted(found)}")
    return found
class Total:
    def __init__(self):
        here("init")
        self.total = 0
    def step(self, n):
        here(f"step {n}")
        self.total += n
    def finalize(self):
        here("finalize")
        return self.total
class Row:
    def __getitem__(self, n):
        here(f"item {n}")
        if n > 2: raise IndexError
        return n
    def __len__(self):
        here("len")
        return 3
    def __lt__(self, other):
        here("lt")
        return False
    def __format__(self, spec):
        here("format")
        return spec
    def __call__(self, *args):
        here("call")
        return args
def collate(a, b):
    here("collate")
    return (a > b) - (a < b)
def main():
    with within(5):
        print(sorted([1, 3, 2], key=key), re.sub("[ab]", swap, "abc"), functools.reduce(add, [1, 2, 3]))
        print(json.dumps([Row], default=lambda thing: default("x")), json.loads('{"a": {"b": 1}}', object_hook=hook))
        base = sqlite3.connect(":memory:")
        base.create_function("add", 2, add)
        base.create_aggregate("total_of", 1, Total)
        base.create_collation("ours", collate)
        base.set_trace_callback(lambda statement: here("traced"))
        print(base.execute("select add(1, 2), total_of(n) from (select 3 as n union select 4)").fetchall())
        print(base.execute("select n from (select 'b' as n union all select 'a') order by n collate ours").fetchall())
        base.close()
        compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
        def less(a, b):
            here("less")
            return a[0] - b[0]
        numbers = (ctypes.c_int * 3)(3, 1, 2)
        ctypes.CDLL(None).qsort(numbers, 3, ctypes.sizeof(ctypes.c_int), compare(less))
        print(list(numbers))
        print(list(Row()), bool(Row()), max(Row(), Row()).__class__.__name__, f"{Row():x}")
        print(functools.partial(Row(), 1)(), any(key(n) for n in [0, 1]))
        print([list(group) for _, group in itertools.groupby([1, 1, 2], key)], bisect.bisect([1, 2], -1, key=key))
        print(operator.methodcaller("__len__")(Row()), list(map(add, [1], [2])), list(filter(key, [1])))
    here("end")
main()
""",
    "a callback from C that fails": """
import ctypes, sqlite3, sys
from witness import here, within
def fails(*args):
    here("fails")
    raise ValueError("from below")
def unraisable(args):
    here("unraisable")
    print("unraisable", args.exc_type.__name__, args.exc_value)
sys.unraisablehook = unraisable
for call in (lambda: sorted([1, 2], key=fails), lambda: list(map(fails, [1])), lambda: sqlite_call()):
    def sqlite_call():
        base = sqlite3.connect(":memory:")
        base.create_function("fails", 0, fails)
        try:
            return base.execute("select fails()").fetchall()
        finally:
            base.close()
            here("closed")
    try:
        call()
    except (ValueError, sqlite3.OperationalError) as error:
        print(type(error).__name__, error)
print(ctypes.CFUNCTYPE(ctypes.c_int)(fails)())
class Odd:
    def __del__(self):
        fails()
Odd()
here("end")
""",
    "generators that the collector closes": """
import gc
from witness import here, within
def numbers(name):
    try:
        yield from deeper(name)
    finally:
        here(f"{name} closes")
def deeper(name):
    try:
        yield 1
        yield 2
    except GeneratorExit:
        here(f"{name} is told to")
        raise
def cycle(name):
    some = numbers(name)
    next(some)
    around = [some]
    around.append(around)
def unwilling():
    try:
        yield 1
    except GeneratorExit:
        here("unwilling")
        yield 2
def main():
    with within(4):
        some = numbers("dropped")
        next(some)
        del some
        cycle("in a cycle")
        gc.collect()
        here("collected")
        def within_another():
            inner = numbers("inner")
            next(inner)
            yield inner
        outer = within_another()
        next(outer)
    outer.close()
    here("outer is closed")
    try:
        some = unwilling()
        next(some)
        some.close()
    except RuntimeError as error:
        print(error)
    return [numbers("after the end") for _ in range(2)]
left = main()
[next(one) for one in left]
""",
    "finally that raises, returns, breaks; exceptions in groups": """
from witness import here, within
def swallows():
    try:
        raise KeyError(1)
    finally:
        here("swallows")
        return "swallowed"
def replaces():
    try:
        raise KeyError(1)
    finally:
        here("replaces")
        raise ValueError(2)
def breaks():
    for n in range(3):
        try:
            1 // 0
        finally:
            here(f"breaks {n}")
            break
    return n
def fails(*kinds):
    found = []
    for kind in kinds:
        try:
            raise kind("x")
        except kind as error:
            found.append(error)
    raise BaseExceptionGroup("all", [*found, ExceptionGroup("inner", [OSError(5)])])
def sorts():
    try:
        try:
            fails(ValueError, KeyError)
        except* ValueError as group:
            here("values")
            raise TypeError("new")
        except* OSError as group:
            here("system")
        finally:
            here("sorted")
    except ExceptionGroup as group:
        here("left")
        return str(group), [type(one).__name__ for one in group.exceptions]
class Manager:
    def __enter__(self):
        here("enter")
        return self
    def __exit__(self, kind, error, trace):
        here("exit")
        if kind is ValueError:
            raise LookupError("from exit")
        return kind is KeyError
def managed(kind):
    with Manager(), Manager():
        raise kind(1)
def main():
    with within(6):
        print(swallows(), breaks(), sorts(), managed(KeyError))
        for one in (replaces, lambda: managed(ValueError)):
            try:
                one()
            except (ValueError, LookupError) as error:
                print(repr(error), repr(error.__context__))
    with within(7):
        fails(ValueError, SystemExit)
import warnings
warnings.simplefilter("ignore")
try:
    main()
except BaseExceptionGroup as group:
    here("at last")
    print(repr(group))
main()
""",
    "too deep": """
import sys
from witness import here, within
def down(n):
    return down(n + 1)
def even(n):
    return odd(n + 1) if n % 2 == 0 else None
def odd(n):
    return even(n + 1)
class Deep:
    def __init__(self, n):
        self.other = Deep(n + 1)
    def __repr__(self):
        return f"{self!r}"
    def __getattr__(self, name):
        return self.missing
def through_c(n):
    return max([n], key=through_c)
def generators(n):
    yield from generators(n + 1)
def catches(n):
    try:
        return catches(n + 1)
    except RecursionError:
        return n
    finally:
        n = -n
def main():
    with within(9):
        for one in (down, even, Deep, through_c, lambda n: next(generators(n)), lambda n: repr(object.__new__(Deep)),
                    lambda n: object.__new__(Deep).x):
            try:
                one(0)
            except RecursionError as error:
                print(str(error)[:40])
            here("caught")
        print(catches(0) > 100)
        sys.setrecursionlimit(20000)
        def sink(n):
            return sink(n - 1) if n else here("at the bottom")
        sink(3000)
    here("end")
main()
""",
    "signals, and handlers that raise": """
import os, signal, threading, time
from witness import here, within
class Enough(Exception): pass
def note(number, frame):
    here(f"handler {number}")
def raises(number, frame):
    raise Enough(number)
def nested(number, frame):
    here("nested")
    os.kill(os.getpid(), signal.SIGUSR1)
    here("nested again")
def busy():
    n = 0
    while True:
        n += 1
def sends():
    os.kill(os.getpid(), signal.SIGUSR1)
    here("sent")
def generated():
    try:
        while True:
            yield 1
    finally:
        here("generated ends")
signal.signal(signal.SIGUSR1, note)
signal.signal(signal.SIGUSR2, nested)
signal.signal(signal.SIGALRM, raises)
def main():
    with within(3):
        sends()
        os.kill(os.getpid(), signal.SIGUSR2)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            busy()
        except Enough as error:
            here("enough")
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            for _ in generated(): pass
        except Enough as error:
            here("enough of generators")
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            sorted(range(10 ** 6), key=lambda n: -n)
        except Enough:
            here("enough of C")
        signal.signal(signal.SIGALRM, note)
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        time.sleep(0.1)
    here("end")
thread = threading.Thread(target=sends)
thread.start()
thread.join()
main()
""",
    "alarms all the time": """
import signal, time
from witness import here, within
count = 0
def tick(number, frame):
    global count
    count += 1
    small(count)
def small(n):
    return [m for m in range(n % 5)]
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
def numbers():
    for n in range(2000):
        yield fib(3)
signal.signal(signal.SIGALRM, tick)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
with within(2):
    while count < 100:
        sum(numbers())
signal.setitimer(signal.ITIMER_REAL, 0)
here("end")
""",
    "code made while it runs": """
import sys, types
from witness import here, within
namespace = {"here": here, "__name__": "made"}
exec(compile("def made(n):\\n    here(f'made {n}')\\n    return n\\n", __file__, "exec"), namespace)
def first():
    here("first")
    return 1
def second():
    here("second")
    return 2
def swap():
    before = first()
    first.__code__ = second.__code__
    return before + first()
class Lazy:
    @property
    def value(self):
        here("property")
        return 3
    def __class_getitem__(cls, n):
        here("class item")
        return n
    def __init_subclass__(cls):
        here("subclass")
class Meta(type):
    def __call__(cls, *args):
        here("meta call")
        return super().__call__(*args)
def decorated(function):
    here("decorated")
    def wrapper(*args):
        here("wrapper")
        return function(*args)
    return wrapper
with within(8):
    print(namespace["made"](1), swap(), Lazy().value, Lazy[4])
    class Child(Lazy, metaclass=Meta):
        here("class body")
    Child()
    print(decorated(lambda n: n + 1)(1), eval("here('eval') or 5"))
    module = types.ModuleType("other")
    exec("here('other module')", module.__dict__ | {"here": here})
    print([here(f"listed {n}") for n in range(2)], list(here(f"lazily {n}") for n in range(2)))
""",
}
