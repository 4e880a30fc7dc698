"""More programs that fail: ways by which values travel, causes that a recording can't prove, and hostile ones.

As in `programs`, ``# cause`` marks the line that is to blame, and the marks are cut off before the programs run.
"""

from __future__ import annotations

from .programs import Bug, one

WAYS: dict[str, Bug] = {
    "default taken because the key was nothing": one(
        """
TIERS = {"low": 3, "high": 2}
def tier(quantity):
    best = None  # cause
    for name, least in (("low", 1), ("high", 10)):
        if quantity > least:
            best = name
    return best
def rate_for(quantity):
    key = tier(quantity)
    rate = TIERS.get(key)
    return rate
def handle(path, body):
    rate = rate_for(body["quantity"])
    return rate * body["quantity"]
""",
        body={"quantity": 1},
    ),
    "number made of a text": one(
        """
def code_of(row):
    code = f"{row['number']}a"  # cause
    return code
def handle(path, body):
    codes = [code_of(row) for row in body["rows"]]
    return int(codes[0]) + 1
""",
        body={"rows": [{"number": 12}]},
        value="12a",
    ),
    "changed in place by update": one(
        """
def handle(path, body):
    options = {"ways": 5, "name": "x"}
    more = {"ways": body["ways"] - 3}  # cause
    options.update(more)
    return 10 / options["ways"]
""",
        body={"ways": 3},
        status="honest",
    ),
    "an item set by another function": one(
        """
STATE = {"ways": 4}
def shrink(by):
    STATE["ways"] = 4 - by  # cause
def handle(path, body):
    shrink(body["by"])
    return 10 / STATE["ways"]
""",
        body={"by": 4},
        value=0,
    ),
    "nonlocal": one(
        """
def handle(path, body):
    left = 3
    def take(number):
        nonlocal left
        left = left - number  # cause
    take(body["number"])
    return 10 / left
""",
        body={"number": 3},
        status="honest",
    ),
    "global set while it runs": one(
        """
LIMIT = 5
def configure(text):
    global LIMIT
    LIMIT = len(text)  # cause
def handle(path, body):
    configure(body["text"])
    return 10 / LIMIT
""",
        body={"text": ""},
        status="honest",
    ),
    "popped from a list": one(
        """
def handle(path, body):
    stack = [3]
    stack.append(body["number"] * 2)  # cause
    first = stack.pop()
    return 10 / first
""",
        body={"number": 0},
        status="honest",
    ),
    "popped from the front": one(
        """
def handle(path, body):
    line = [body["number"] * 2, 7]  # cause
    first = line.pop(0)
    return 10 / first
""",
        body={"number": 0},
        status="honest",
    ),
    "the loop's last round": one(
        """
def handle(path, body):
    rows = body["rows"]
    last = 0
    for number in range(len(rows)):
        last = number + 1  # cause
    return rows[last]
""",
        body={"rows": [4, 5, 6]},
        name="last",
        value=3,
    ),
    "through a wrapper": one(
        """
import functools
def logged(function):
    @functools.wraps(function)
    def inner(*args, **kwargs):
        result = function(*args, **kwargs)
        return result
    return inner
@logged
def rate(name, table=None):
    found = table.get(name)  # cause
    return found
def handle(path, body):
    got = rate(body["name"], table={"a": 1})
    return got + 1
""",
        body={"name": "b"},
        name="found",
        value=None,
    ),
    "arguments through a wrapper": one(
        """
def retried(function):
    def inner(*args, **kwargs):
        return function(*args, **kwargs)
    return inner
@retried
def share(total, ways):
    return total / ways
def handle(path, body):
    ways = body["ways"] - 2  # cause
    return share(10, ways)
""",
        body={"ways": 2},
        value=0,
    ),
    "cached": one(
        """
import functools
@functools.cache
def rate(name):
    rate = {"a": 1}.get(name)  # cause
    return rate
def handle(path, body):
    rate(body["name"])
    got = rate(body["name"])
    return got + 1
""",
        body={"name": "b"},
        status="honest",
    ),
    "a property": one(
        """
class Box:
    def __init__(self, pieces):
        self.pieces = pieces
    @property
    def layers(self):
        layers = self.pieces // 12  # cause
        return layers
def handle(path, body):
    box = Box(body["pieces"])
    return 100 / box.layers
""",
        body={"pieces": 7},
        value=0,
    ),
    "an operator of one's own": one(
        """
class Money:
    def __init__(self, cents):
        self.cents = cents
    def __add__(self, other):
        return Money(self.cents + other.cents)
def handle(path, body):
    one = Money(5)
    two = Money(body.get("cents"))  # cause
    return (one + two).cents
""",
        body={},
        status="honest",
        value=None,
    ),
    "the same function twice": one(
        """
def half(number):
    result = number // 2  # cause
    return result
def handle(path, body):
    one = half(body["first"])
    two = half(body["second"])
    three = half(body["third"])
    return one / two / three
""",
        body={"first": 8, "second": 1, "third": 6},
        status="honest",
    ),
    "a comprehension over calls": one(
        """
def length(word):
    size = len(word) - 3  # cause
    return size
def handle(path, body):
    return [12 // length(word) for word in body["words"]]
""",
        body={"words": ["apple", "fig", "pear"]},
        value=0,
    ),
    "a key function": one(
        """
def weight(row):
    return row["kg"] * 2
def handle(path, body):
    rows = [{"kg": row.get("kg")} for row in body["rows"]]  # cause
    return sorted(rows, key=weight)
""",
        body={"rows": [{"kg": 1}, {"lb": 2}]},
        status="honest",
    ),
    "a lambda": one(
        """
def handle(path, body):
    size = body["size"] - 4  # cause
    divide = lambda number: number / size
    return divide(3)
""",
        body={"size": 4},
        value=0,
    ),
    "raised again": one(
        """
def read(text):
    try:
        return int(text)
    except ValueError:
        note = "bad"
        raise
def handle(path, body):
    text = body["text"].replace(",", ".")  # cause
    return read(text)
""",
        body={"text": "1,5"},
        name="text",
        value="1.5",
    ),
    "raised from None": one(
        """
class OrderError(Exception):
    pass
def find(table, key):
    try:
        return table[key]
    except KeyError:
        raise OrderError(f"no order {key}") from None
def handle(path, body):
    key = body["key"].strip("0")  # cause
    return find({"100": 1}, key)
""",
        body={"key": "100"},
        name="key",
        value="1",
    ),
    "an exception group": one(
        """
import asyncio
async def measure(total, ways):
    await asyncio.sleep(0)
    return total / ways
async def work(body):
    ways = body["ways"] - 3  # cause
    async with asyncio.TaskGroup() as group:
        group.create_task(measure(10, 5))
        group.create_task(measure(10, ways))
def handle(path, body):
    asyncio.run(work(body))
""",
        body={"ways": 3},
        value=0,
    ),
    "a miss, then a failure of its own": one(
        """
CACHE = {}
def load(name):
    ways = len(name) - 3  # cause
    return 12 / ways
def handle(path, body):
    try:
        return CACHE[body["name"]]
    except KeyError:
        return load(body["name"])
""",
        body={"name": "abc"},
        name="ways",
        value=0,
    ),
    "a failure while another is handled": one(
        """
def handle(path, body):
    rest = body["rest"] - 2  # cause
    try:
        first = body["first"]
    except KeyError:
        first = 10 / rest
    return first
""",
        body={"rest": 2},
        name="rest",
        value=0,
    ),
    "a context manager": one(
        """
import contextlib
@contextlib.contextmanager
def opened(name):
    handle = {"a": 1}.get(name)  # cause
    yield handle
def handle(path, body):
    with opened(body["name"]) as got:
        return got + 1
""",
        body={"name": "b"},
        value=None,
    ),
    "merged dicts": one(
        """
def handle(path, body):
    base = {"size": 4, "ways": 2}
    given = {"ways": body.get("ways")}  # cause
    both = {**base, **given}
    return both["size"] // both["ways"]
""",
        body={},
        value=None,
    ),
    "dicts joined by an operator": one(
        """
def handle(path, body):
    base = {"size": 4, "ways": 2}
    given = {"ways": body.get("ways")}  # cause
    both = base | given
    return both["size"] // both["ways"]
""",
        body={},
        status="honest",
    ),
    "names swapped": one(
        """
def handle(path, body):
    small = body["number"] - 6  # cause
    large = 9
    small, large = large, small
    return small / large
""",
        body={"number": 6},
        name="small",
        value=0,
    ),
    "a starred call": one(
        """
def area(name, width, height):
    return width / height
def handle(path, body):
    sizes = [4]
    sizes.append(body["height"] % 5)  # cause
    return area("x", *sizes)
""",
        body={"height": 5},
        value=0,
    ),
    "a thread of a pool": one(
        """
from concurrent.futures import ThreadPoolExecutor
def measure(text):
    size = len(text.strip())  # cause
    return size
def handle(path, body):
    with ThreadPoolExecutor(1) as pool:
        size = pool.submit(measure, body["text"]).result()
    return 10 / size
""",
        body={"text": "  "},
        status="honest",
        value=0,
    ),
    "two statements on a line": one(
        """
def handle(path, body):
    left = 3; ways = body["ways"] - 2  # cause
    return left / ways
""",
        body={"ways": 2},
        name="ways",
        value=0,
    ),
    "an attribute that is counted": one(
        """
class Basket:
    def __init__(self):
        self.total = 4
    def take(self, number):
        self.total -= number  # cause
def handle(path, body):
    basket = Basket()
    basket.take(1)
    basket.take(body["number"])
    return 12 / basket.total
""",
        body={"number": 3},
        value=0,
    ),
    "set twice before the method ends": one(
        """
class Basket:
    def __init__(self):
        self.total = 4
    def empty(self, number):
        self.total = number * 0  # cause
        return 12 / self.total
def handle(path, body):
    basket = Basket()
    return basket.empty(body["number"])
""",
        body={"number": 3},
        value=0,
    ),
    "set and set back": one(
        """
class Basket:
    def __init__(self):
        self.total = 0
    def fill(self, number):
        self.total = number
        self.total = number - 3  # cause
        return 12 / self.total
def handle(path, body):
    basket = Basket()
    basket.total = 5
    return basket.fill(body["number"])
""",
        body={"number": 3},
        value=0,
    ),
    "a defaultdict": one(
        """
from collections import defaultdict
def handle(path, body):
    counts = defaultdict(int)  # cause
    for word in body["words"]:
        counts[word] += 1
    return 10 / counts["b"]
""",
        body={"words": ["a"]},
        status="honest",
    ),
    "a text that is formatted": one(
        """
SHELVES = {"a-1": 1}
def handle(path, body):
    row = body.get("row")  # cause
    shelf = "{}-{}".format("a", row)
    return SHELVES[shelf]
""",
        body={},
        name="row",
        value=None,
    ),
    "a match": one(
        """
def kind(body):
    match body:
        case {"kind": "box", "size": size}:
            return size
        case _:
            return None  # cause
def handle(path, body):
    return kind(body) * 2 + 1
""",
        body={"kind": "bag", "size": 3},
        value=None,
    ),
    "yield from": one(
        """
def inner(rows):
    for row in rows:
        yield row.get("size")  # cause
def outer(rows):
    yield from inner(rows)
def handle(path, body):
    total = 0
    for size in outer(body["rows"]):
        total = total + size
    return total
""",
        body={"rows": [{"size": 1}, {}]},
        value=None,
    ),
    "an asynchronous generator": one(
        """
import asyncio
async def sizes(rows):
    for row in rows:
        await asyncio.sleep(0)
        yield row.get("size")  # cause
async def work(rows):
    total = 0
    async for size in sizes(rows):
        total = total + size
    return total
def handle(path, body):
    return asyncio.run(work(body["rows"]))
""",
        body={"rows": [{"size": 1}, {}]},
        status="honest",
        value=None,
    ),
    "a while loop": one(
        """
def handle(path, body):
    left = body["pieces"]
    boxes = 0
    while left > 0:
        left -= 4  # cause
        boxes += 1
    return "abcd"[left - boxes * 2]
""",
        body={"pieces": 5},
        status="honest",
    ),
    "a named tuple": one(
        """
from typing import NamedTuple
class Size(NamedTuple):
    width: int
    height: int
def read(body):
    return Size(body["width"], body["height"] - 1)  # cause
def handle(path, body):
    size = read(body)
    return size.width / size.height
""",
        body={"width": 3, "height": 1},
        value=0,
    ),
    "slots": one(
        """
class Node:
    __slots__ = ("next", "name")
    def __init__(self, name, following):
        self.name = name
        self.next = following
def handle(path, body):
    first = Node("a", Node("b", None))  # cause
    return first.next.next.name
""",
        status="honest",
    ),
    "a chain of attributes": one(
        """
class Address:
    def __init__(self, city):
        self.city = city
class User:
    def __init__(self, address):
        self.address = address
def load(row):
    address = Address(row["city"]) if "city" in row else None  # cause
    return User(address)
def handle(path, body):
    user = load(body)
    return user.address.city.upper()
""",
        body={"town": "Bern"},
        value=None,
    ),
    "field missing at the border": Bug(
        {
            "front": """
from bus import call
def handle(path, body):
    order = {"land": body["land"], "pieces": 2}  # as suspect
    return call("back", "/tax", order)
""",
            "back": """
def handle(path, body):
    country = body["country"]  # cause
    return country.lower()
""",
        },
        body={"land": "DE"},
        status="likely",
    ),
    "through two borders and back": Bug(
        {
            "front": """
from bus import call
def handle(path, body):
    user = call("users", "/user", {"id": body["id"]})
    limit = user["limit"]
    return call("bank", "/pay", {"most": limit})
""",
            "users": """
LIMITS = {"ann": 50}
def handle(path, body):
    limit = LIMITS.get(body["id"])  # cause
    return {"limit": limit}
""",
            "bank": """
def handle(path, body):
    most = body["most"]
    return most - 10
""",
        },
        body={"id": "bob"},
        value=None,
    ),
    "the sender's wrong list": Bug(
        {
            "front": """
from bus import call
def sizes(rows):
    found = []
    for row in rows:
        found.append(row["width"] - row["frame"])  # cause
    return found
def handle(path, body):
    return call("back", "/cut", {"sizes": sizes(body["rows"])})
""",
            "back": """
def handle(path, body):
    parts = []
    for size in body["sizes"]:
        parts.append(1000 // size)
    return parts
""",
        },
        body={"rows": [{"width": 9, "frame": 2}, {"width": 3, "frame": 3}]},
        value=0,
    ),
}

# What can't be proven: "likely" at most, whatever line it names.
DOUBTFUL: dict[str, Bug] = {
    "looked up by what another line computed": one(
        """
RATES = {"CHF": 2, "EUR": 1}
def code_of(text):
    code = text.strip().lower()  # cause
    return code
def handle(path, body):
    code = code_of(body["currency"])
    rate = RATES.get(code, 0)  # cause
    return body["price"] / rate
""",
        body={"currency": " CHF ", "price": 8},
        status="likely",
    ),
    "computed from what another line computed": one(
        """
SLOTS = ["early", "noon", "late"]
def minutes_of(text):
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)  # cause
def handle(path, body):
    number = (minutes_of(body["at"]) - 480) // 120  # cause
    return SLOTS[number]
""",
        body={"at": "19:30"},
        status="likely",
    ),
    "cut out of what another line made": one(
        """
def packed(words):
    return "".join(f"{len(word):02}{word}" for word in words).encode()  # cause
def handle(path, body):
    data = packed(body["words"])
    size = int(data[:2])
    return data[2 : 2 + size].decode()  # cause
""",
        body={"words": ["Zoë", "Ann"]},
        status="likely",
    ),
    "a search that finds nothing": one(
        """
PLANS = {"solo": {14: 15}, "team": {0: 1}}
def due(plan, days):
    for known, day in PLANS[plan].items():
        if known == days:
            return day
    raise LookupError(f"no day for {plan}")
def handle(path, body):
    days = int(body["days"]) + 1  # cause
    return due(body["plan"], days)
""",
        body={"plan": "solo", "days": "14"},
        status="verified",
        name="days",
        value=15,
    ),
    "nothing was put in": one(
        """
def nearest(stops):
    left, order = list(stops), []
    while left:
        order.append(left.pop())
    return order
def handle(path, body):
    stops = [one for one in body["stops"] if one["open"]]  # cause
    order = nearest(stops)
    return order[0]
""",
        body={"stops": [{"open": 0}, {"open": 0}]},
        status="verified",
        value=[],
    ),
    "two operands that are both None": one(
        """
def handle(path, body):
    first = body.get("first")  # cause
    second = body.get("second")  # cause
    return first + second
""",
        status="likely",
    ),
    "two indexes": one(
        """
def handle(path, body):
    rows = [[1, 2], [3, 4]]
    across = body["across"] * 2  # cause
    down = body["down"] * 2  # cause
    if across > 1 and down > 1:
        raise ValueError("outside")
    return rows[down][across]
""",
        body={"across": 1, "down": 1},
        status="likely",
    ),
    "made by a library": one(
        """
import random
def handle(path, body):
    number = random.choice([0, 0])  # cause
    return 10 / number
""",
        status="likely",
    ),
    "read from a file": one(
        """
import json, pathlib
def handle(path, body):
    options = json.loads(pathlib.Path(__file__).with_suffix(".json").read_text())
    return options
""",
        status="honest",
    ),
    "a constant that is not constant": one(
        """
WAYS = 5
def handle(path, body):
    globals()["WAYS"] = body["ways"] * 2
    return 10 / WAYS
""",
        body={"ways": 0},
        status="likely",
    ),
    "two tasks with equal arguments": one(
        """
import asyncio
async def measure(total, ways):
    await asyncio.sleep(0)
    return total / ways
async def work(body):
    left = body["left"] - 3  # cause
    right = body["right"] - 3
    one = asyncio.create_task(measure(10, left))
    two = asyncio.create_task(measure(10, right))
    await asyncio.wait([one, two])
    return await one
def handle(path, body):
    return asyncio.run(work(body))
""",
        body={"left": 3, "right": 3},
        status="honest",
    ),
    "sent by the customer": one(
        """
def parse(body):  # cause
    return int(body["amount"])
def handle(path, body):  # cause
    return parse(body)
""",
        body={"amount": "12a"},
        status="likely",
    ),
    "mended by a library in place": one(
        """
import random
def handle(path, body):
    numbers = [4, 0]  # cause
    random.Random(body["seed"]).shuffle(numbers)
    return 10 / numbers[0] + 10 / numbers[1]
""",
        body={"seed": 1},
        status="honest",
    ),
    "an equal value that is not the one": one(
        """
import json
def decoy():
    wrong = 0 * 7
    return wrong
def handle(path, body):  # cause
    decoy()
    ways = json.loads(body["text"])  # cause
    return 10 / ways
""",
        body={"text": "0"},
        status="likely",
    ),
    "an equal part of another list": one(
        """
def fill(target):
    target.append(None)
def handle(path, body):
    other, prices = [1], [1]
    fill(other)
    prices.extend(body["prices"])  # cause
    return sum(prices) + len(other)
""",
        body={"prices": [None]},
        status="honest",
    ),
    "set by name": one(
        """
class Options:
    ways = 3
def handle(path, body):
    options = Options()
    vars(options).update(ways=body["ways"] * 2)  # cause
    return 10 / options.ways
""",
        body={"ways": 0},
        status="honest",
    ),
    "an object's number that was used again": one(
        """
class Box:
    def __init__(self, size):
        self.size = size
def handle(path, body):
    for number in range(50):
        box = Box(0)
        del box
    box = Box.__new__(Box)
    box.__dict__["size"] = body["size"] * 0  # cause
    return 10 / box.size
""",
        body={"size": 5},
        status="honest",
    ),
}

HOSTILE: dict[str, Bug] = {
    "cycles": one(
        """
class Node:
    pass
def handle(path, body):
    node, rows, table = Node(), [], {}
    node.self, node.rows = node, rows
    rows.append(rows)
    rows.append(node)
    table["table"] = table
    table["rows"] = rows
    ways = len(rows) - 2  # cause
    return table["rows"][1].self.rows[0][0] and 10 / ways
""",
        value=0,
    ),
    "deep recursion": one(
        """
import sys
sys.setrecursionlimit(20_000)
def down(depth, number):
    if depth == 0:
        return 10 / number
    return down(depth - 1, number)
def handle(path, body):
    number = body["number"] - 1  # cause
    return down(2000, number)
""",
        body={"number": 1},
        status="honest",
    ),
    "endless recursion": one(
        """
def down(depth):
    return down(depth + 1)  # cause
def handle(path, body):
    return down(0)
""",
        status="honest",
    ),
    "huge values": one(
        """
def handle(path, body):
    text = "x" * 3_000_000
    rows = [{"n": n, "text": text} for n in range(20_000)]
    number = 10 ** 4000
    table = {n: rows for n in range(2_000)}
    ways = len(rows) - 20_000  # cause
    return table[0][0]["n"] + number // ways
""",
        status="likely",  # rows was computed, too
        value=0,
    ),
    "many rounds": one(
        """
def step(number, total):
    total = total + number
    return total
def handle(path, body):
    total = 0
    for number in range(3000):
        total = step(number, total)
    ways = total - 4498500  # cause
    return total / ways
""",
        status="likely",  # so was total, in 3,000 rounds
        value=0,
    ),
    "lies about itself": one(
        """
class Liar:
    def __init__(self):
        self.size = 0  # cause
    def __eq__(self, other):
        raise RuntimeError("no")
    def __hash__(self):
        raise RuntimeError("no")
    def __repr__(self):
        raise RuntimeError("no")
    def __getattr__(self, name):
        raise RuntimeError("no")
    def __bool__(self):
        raise RuntimeError("no")
def handle(path, body):
    liar = Liar()
    return 10 / liar.size
""",
        status="honest",
    ),
    "strange names": one(
        """
def handle(path, body):
    größe = body["größe"] - 1  # cause
    ﬁnal = größe
    return "ä" * 3 and (10 / ﬁnal)
""",
        body={"größe": 1},
        value=0,
    ),
    "an exception that holds itself": one(
        """
class Broken(Exception):
    def __str__(self):
        raise RuntimeError("no")
def handle(path, body):
    error = Broken("x" * 100_000)
    error.__cause__ = error
    error.self = error
    raise error
""",
        status="honest",
    ),
}
