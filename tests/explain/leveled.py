"""A shop in one process under the native recorder, whose functions' levels a request can force."""

from __future__ import annotations

from aftertrace.wire.bundle import TraceData

from ..reconstruct.services import Services

PROGRAM = """
from aftertrace import _native
ZONES = {"DE": "W1", "FR": "W2"}
SHELVES = {"DE-W1": ["A1"], "FR-W2": ["B2"]}
class Order:
    def __init__(self, region):
        self.region = region
def zone_of(country):
    zone = ZONES.get(country, "")
    return zone
def region_for(country):
    zone = zone_of(country)
    region = f"{country}-{zone}"
    return region
def find(region):
    key = region.strip()
    shelf = SHELVES[key]
    return shelf[0]
def through(region):
    return find(region.upper())
def sink(order):
    order.region = "nowhere"
def handled(n):
    try:
        return 1 // n
    except ZeroDivisionError:
        return 0
def middle(region, level):
    before = region
    set_level("middle", level)
    region = "lost"
    after = [region, before]
    return SHELVES[region]
def twice(region):
    first = region
    set_level("twice", 1)
    second = first + "!"
    set_level("twice", 2)
    third = second + "?"
    return SHELVES[third]
def numbers(n):
    for i in range(n):
        yield i
def set_level(name, level):
    _native.set_code_level(globals()[name].__code__, level)
def handle(path, body):
    if path == "/levels":
        for name, level in body.items():
            set_level(name, level)
        return {}
    if path == "/warm":
        handled(0), region_for("DE"), through("DE-W1"), sink(Order("DE-W1")), list(numbers(2)), set_level("sink", 2)
        for call in (middle, twice):
            try:
                call("x", 2) if call is middle else call("x")
            except KeyError:
                pass
        return {}
    if path == "/find":
        region = region_for(body["country"])
        return find(region)
    if path == "/inline":
        return SHELVES[region_for(body["country"])]
    if path == "/through":
        return through(body["region"])
    if path == "/middle":
        return middle(body["region"], body["level"])
    if path == "/twice":
        return twice(body["region"])
    if path == "/sink":
        order = Order(body["region"])
        sink(order)
        return find(order.region)
    if path == "/numbers":
        for number in numbers(3):
            last = number
        return find(str(last))
    return handled(0)
"""
NAMES = ("zone_of", "region_for", "find", "through", "sink", "handled", "middle", "twice", "numbers")
ALL = dict.fromkeys(NAMES, 2)


def recorded(services: Services, path: str, body: object, **levels: int) -> TraceData:
    """One request while functions are at these levels, the others at lines."""
    services.request("shop", "/levels", ALL | levels)
    return services.trace(services.request("shop", path, body))
