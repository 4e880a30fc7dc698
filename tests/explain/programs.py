"""Small programs that fail, each in another way; ``# cause`` marks the line that is to blame.

The marks are no part of the search: sources are read as syntax, and comments are none. Each program is one or more
services of `tests/reconstruct/services.py`; the request goes to the first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Bug:
    """A request that fails. ``status`` unknown: no line may be named."""

    services: dict[str, str]
    body: Any = field(default_factory=dict)
    status: str = "verified"
    name: str = ""  # under which the cause shows the value
    value: Any = None


def one(text: str, **more: Any) -> Bug:
    return Bug({"app": text}, **more)


BUGS: dict[str, Bug] = {
    "wrong default": one(
        """
RATES = {"EUR": 1.0, "DKK": 7.4}
def rate_of(currency):
    rate = RATES.get(currency, 0)  # cause
    return rate
def handle(path, body):
    price, currency = body["price"], body["currency"]
    rate = rate_of(currency)
    return price / rate
""",
        body={"price": 120, "currency": "CHF"},
        name="rate",
        value=0,
    ),
    "off by one": one(
        """
def last(items):
    index = len(items)  # cause
    return items[index]
def handle(path, body):
    lines = sorted(body["lines"])
    return last(lines)
""",
        body={"lines": ["b", "a"]},
        name="index",
        value=2,
    ),
    "none from a helper": one(
        """
USERS = {"ann": {"mail": "ann@example.org"}}
def find(name):
    for key, user in USERS.items():
        if key == name:
            return user
    return None  # cause
def handle(path, body):
    user = find(body["name"])
    mail = user["mail"]
    return mail
""",
        body={"name": "bob"},
        value=None,
    ),
    "falls off the end": one(
        """
def discount(kind):
    if kind == "gold":  # cause
        return 10
def handle(path, body):
    percent = discount(body["kind"])
    return 100 - percent
""",
        body={"kind": "silver"},
    ),
    "bad parse": one(
        """
def parse(line):
    name, _, rest = line.partition(":")  # cause
    return rest
def handle(path, body):
    text = parse(body["line"])
    amount = int(text)
    return amount
""",
        body={"line": "amount=12"},
        name="rest",
        value="",
    ),
    "wrong key": one(
        """
def settings():
    made = {"timeout": 3, "retries": 2}
    return made
def handle(path, body):
    options = settings()
    return options["time_out"]  # cause
""",
        status="likely",
    ),
    "swallowed, then failing later": one(
        """
def quantity(text):
    try:
        number = int(text)  # cause
    except ValueError:
        number = None
    return number
def handle(path, body):
    wanted = quantity(body["quantity"])
    total = wanted * 3 + 1
    return total
""",
        body={"quantity": "2 pcs"},
        name="text",
        value="2 pcs",
    ),
    "through an attribute": one(
        """
class Order:
    def __init__(self, country):
        self.country = country
        self.zone = ""
    def place(self, zones):
        self.zone = zones.get(self.country)  # cause
    def label(self):
        return self.country + "/" + self.zone
def handle(path, body):
    order = Order(body["country"])
    order.place({"DE": "W1"})
    return order.label()
""",
        body={"country": "CH"},
        name="self.zone",
        value=None,
    ),
    "through a class attribute": one(
        """
class Limits:
    most = 10
def configure(text):
    Limits.most = int(text) - 5  # cause
def handle(path, body):
    configure(body["most"])
    share = 100 / Limits.most
    return share
""",
        body={"most": "5"},
        value=0,
    ),
    "through a list": one(
        """
def prices(rows):
    found = []
    for row in rows:
        found.append(row.get("price"))  # cause
    return found
def handle(path, body):
    total = 0
    for price in prices(body["rows"]):
        total += price
    return total
""",
        body={"rows": [{"price": 5}, {"prize": 6}]},
        value=None,
    ),
    "through a generator": one(
        """
def ratios(pairs):
    for above, below in pairs:
        left = below - 3  # cause
        yield left
def handle(path, body):
    found = []
    for ratio in ratios(body["pairs"]):
        found.append(12 / ratio)
    return found
""",
        body={"pairs": [[1, 5], [2, 3]]},
        name="left",
        value=0,
    ),
    "through keywords": one(
        """
def send(to, **options):
    return deliver(to, **options)
def deliver(to, retries=1, pause=1.0):
    return 60 / pause
def handle(path, body):
    wait = body["seconds"] - 30  # cause
    return send("ann", pause=wait)
""",
        body={"seconds": 30},
        name="wait",
        value=0,
    ),
    "through await": one(
        """
import asyncio
async def lookup(name):
    await asyncio.sleep(0)
    known = {"ann": 3}
    level = known.get(name)  # cause
    return level
async def work(name):
    level = await lookup(name)
    return level + 1
def handle(path, body):
    return asyncio.run(work(body["name"]))
""",
        body={"name": "bob"},
        name="level",
        value=None,
    ),
    "through a task": one(
        """
import asyncio
async def measure(name, number):
    await asyncio.sleep(0)
    result = f"{name}:{number * 100}x"  # cause
    return result
async def work(body):
    one, two = await asyncio.gather(measure("a-first", body["first"]), measure("b-second", body["second"]))
    return int(two.partition(":")[2])
def handle(path, body):
    return asyncio.run(work(body))
""",
        body={"first": 1, "second": 7},
        status="any",
    ),
    "renamed at the border": Bug(
        {
            "front": """
from bus import call
def handle(path, body):
    code = body["land"].lower() + "-0"  # cause
    return call("back", "/tax", {"country_code": code})
""",
            "back": """
TAX = {"DE-1": 19, "FR-1": 20}
def handle(path, body):
    area = body["country_code"]
    return TAX[area]
""",
        },
        body={"land": "DE"},
        name="code",
        value="de-0",
    ),
    "an answer that lacks something": Bug(
        {
            "front": """
from bus import call
def handle(path, body):
    answer = call("back", "/stock", {"sku": body["sku"]})
    left = answer["left"]
    return left - 1
""",
            "back": """
STOCK = {"A-17": 4}
def handle(path, body):
    left = STOCK.get(body["sku"])  # cause
    return {"left": left}
""",
        },
        body={"sku": "B-99"},
        name="left",
        value=None,
    ),
    "two candidates": one(
        """
class TooLittleError(Exception):
    pass
def handle(path, body):
    left = body["pieces"] - body["sold"]
    wanted = body["boxes"] * 12
    if left < wanted:
        raise TooLittleError("not enough")
    return left
""",
        body={"pieces": 50, "sold": 20, "boxes": 3},
        status="likely",
    ),
    "cause not recorded": one(
        """
import json, os
def handle(path, body):
    raise RuntimeError("the disk is on fire")
""",
        status="unknown",
    ),
    "recursion": one(
        """
def weight(node):
    total = node["weight"]
    for child in node.get("parts", []):
        total += weight(child)
    return total
def tree(rows):
    made = {"weight": 1, "parts": []}
    for row in rows:
        made["parts"].append({"weight": row.get("kg"), "parts": []})  # cause
    return made
def handle(path, body):
    return weight(tree(body["rows"]))
""",
        body={"rows": [{"kg": 2}, {"lb": 3}]},
        value=None,
    ),
    "explicit raise after a check": one(
        """
class BadShareError(Exception):
    pass
def share(part, whole):
    percent = part * 100 // whole  # cause
    return percent
def handle(path, body):
    percent = share(body["part"], body["whole"])
    if percent > 100:
        raise BadShareError(f"{percent} % is too much")
    return percent
""",
        body={"part": 7, "whole": 2},
        name="percent",
        value=350,
    ),
    "assertion": one(
        """
def rest(total, paid):
    left = total - paid  # cause
    return left
def handle(path, body):
    left = rest(body["total"], body["paid"])
    assert left >= 0, "overpaid"
    return left
""",
        body={"total": 10, "paid": 12},
        name="left",
        value=-2,
    ),
    "closure": one(
        """
def scaler(factor):
    size = factor // 10  # cause
    def scale(number):
        return number / size
    return scale
def handle(path, body):
    scale = scaler(body["factor"])
    return scale(8)
""",
        body={"factor": 7},
        name="size",
        value=0,
    ),
    "dataclass": one(
        """
from dataclasses import dataclass
@dataclass
class Line:
    sku: str
    pieces: int
def read(text):
    sku, _, pieces = text.partition(" ")
    return Line(sku, pieces or None)  # cause
def handle(path, body):
    line = read(body["text"])
    return line.pieces * 2 + 1
""",
        body={"text": "A-17"},
        value=None,
    ),
    "default of a parameter": one(
        """
def split(total, ways=0):  # cause
    return total // ways
def handle(path, body):
    return split(body["total"])
""",
        body={"total": 9},
        name="ways",
        value=0,
    ),
    "translated exception": one(
        """
class ConfigError(Exception):
    pass
def setting(options, key):
    try:
        return options[key]
    except KeyError as error:
        raise ConfigError("no such setting") from error
def handle(path, body):
    key = "max_" + body["what"].upper()  # cause
    return setting({"max_rows": 5}, key)
""",
        body={"what": "rows"},
        name="key",
        value="max_ROWS",
    ),
    "came with the request": one(
        """
def handle(path, body):  # cause
    return 100 / body["ways"]
""",
        body={"ways": 0},
        status="likely",
        value=0,
    ),
    "an error below that was handled": Bug(
        {
            "front": """
from bus import call
def prices(sku):
    try:
        return call("back", "/price", {"sku": sku})
    except Exception:
        return {"net": 100}
def handle(path, body):
    price = prices(body["sku"])
    parts = body["parts"] - 4  # cause
    return price["net"] / parts
""",
            "back": """
def handle(path, body):
    return {"A-1": 7}[body["sku"]]
""",
        },
        body={"sku": "B-2", "parts": 4},
        name="parts",
        value=0,
    ),
    "a wrong constant of the module": one(
        """
BATCH = 0  # cause
def handle(path, body):
    return len(body["rows"]) // BATCH
""",
        body={"rows": [1, 2]},
        status="likely",
        value=0,
    ),
}
