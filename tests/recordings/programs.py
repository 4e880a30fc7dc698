"""What the golden recordings are of: name -> (level, program). Small, and each with something that the others lack."""

PROGRAMS = {
    "values": (
        2,
        """
import datetime, decimal, uuid
class Slotted:
    __slots__ = ("one", "two")
    def __init__(self):
        self.one = 1
class Order:
    def __init__(self, number, password):
        self.number = number
        self.lines = [(number, "A-17")]
        self.password = password
class Names(str):
    pass
def values(number, /, text="x", *rest, flag=True, **more):
    nothing, dots, missing = None, ..., NotImplemented
    big, negative, real, imaginary = 2**100, -(2**63), -0.5, 1 + 2j
    raw, changing = b"\\x00\\xff", bytearray(b"abc")
    listed, tupled = [1, [2, [3, [4]]]], (1, "two", None)
    some, frozen = {7}, frozenset({8})
    table = {"a": 1, 2: "b", "token": "hidden"}
    order, slotted = Order(number, "hidden"), Slotted()
    named = (len, Order, values, "".join, order.__init__)
    span = range(1, 10, 3)
    day = datetime.datetime(2024, 2, 29, 12, 30, 5, 7, tzinfo=datetime.timezone.utc)
    money, key = decimal.Decimal("12.50"), uuid.UUID(int=5)
    long, wide = "y" * 1000, list(range(100))
    strange = "\\udcff \\U0001f600 \\u00e9"
    derived = Names("derived")
    error = ValueError("no", 5)
    error.add_note("noted")
    secret = "hidden"
    del nothing
    return listed
values(5, "text", 1, 2, flag=False, extra={"deep": {"deeper": {"deepest": 1}}})
""",
    ),
    "flow": (
        2,
        """
import asyncio, threading
def numbers(n):
    for i in range(n):
        got = yield i
        if got:
            note = got
def both():
    x = yield from numbers(2)
    return x
def generators():
    g = both()
    out = [next(g), g.send("hello")]
    out += list(g)
    return out
def deep(n):
    try:
        if n == 0:
            raise KeyError("bottom")
        return deep(n - 1)
    finally:
        n = -n
def exceptions():
    try:
        deep(2)
    except KeyError as error:
        kept = error.args
    try:
        raise ExceptionGroup("some", [ValueError(1), TypeError(2)])
    except* ValueError as group:
        count = len(group.exceptions)
    except* TypeError:
        pass
    return kept, count
def closures(start):
    state = start
    def step(by):
        nonlocal state
        state += by
        return state
    first = step(1)
    return first, [step(n) for n in range(3)], state
async def leaf(i):
    before = i * 10
    await asyncio.sleep(0)
    return before + 1
async def tasks():
    async with asyncio.TaskGroup() as group:
        some = [group.create_task(leaf(i)) for i in range(2)]
    return [task.result() for task in some]
def work(n):
    total = sum(range(n))
    return total
generators()
exceptions()
closures(5)
asyncio.run(tasks())
thread = threading.Thread(target=work, args=(4,))
thread.start()
thread.join()
""",
    ),
    "calls": (
        1,
        """
class Basket:
    def __init__(self, lines):
        self.lines = lines
    def total(self, percent=0, *, currency="EUR"):
        sums = [count * price for _, count, price in self.lines]
        total = sum(sums)
        return total - total * percent // 100, currency
def priced(lines):
    for name, count, price in lines:
        yield name, count * price
def check(basket):
    found = dict(priced(basket.lines))
    if found.get("free") == 0:
        raise ValueError("nothing costs nothing", found)
    return found
def checkout(lines, percent):
    basket = Basket(lines)
    try:
        found = check(basket)
    except ValueError as error:
        found = None
    total, currency = basket.total(percent, currency="CHF")
    del percent
    return total, currency, found
checkout([("pen", 3, 2), ("ink", 1, 9)], 10)
checkout([("free", 1, 0)], 0)
""",
    ),
    "spans": (
        2,
        """
from aftertrace import _native
def place(order):
    with _native.Span("db", 3, attributes={"db.system": "sqlite", "rows": [1, 2], "password": "hidden"}) as span:
        span.set_attribute("late", 1.5)
        span.add_event("cache miss", {"key": "a"}, 1_700_000_000_000_000_000)
        span.add_link(5, 6, {"why": "queued"})
        span.update_name("db.query")
        span.set_status(2, "locked")
    _native.log(17, "orders", "order %s failed", (order,), "/srv/app/spans.py", 9, "place", LookupError(order))
    _native.keep("asked for", {"order": order})
    return order
remote = _native.Span("consume", 5, (7, 8, 1, "vendor=1"), start_time=1_600_000_000_000_000_000)
token = _native.attach(remote)
place(1)
_native.detach(token)
remote.end(1_600_000_001_000_000_000)
place(2)
_native.set_level(1)
place(3)
_native.set_level(2)
place(4)
""",
    ),
    "wrapped": (
        2,
        """
from aftertrace import _native
def word(n, depth):
    text = "w" * n
    below = word(n + 1, depth - 1) if depth else None
    return n, len(text)
def noise(token, n):
    for _ in range(n):
        word(5, 1)
    _native.detach(token)
    return word(1, 2)
word(2, 1)
noise(_native.attach(None), 1500)
""",
    ),
}
