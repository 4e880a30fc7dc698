"""The order in which a van goes to its stops: always the nearest next."""

from dataclasses import dataclass
from itertools import pairwise

METRES = 100  # of one unit of the map


@dataclass(frozen=True)
class Stop:
    x: int
    y: int
    label: str


DEPOT = Stop(0, 0, "depot")


def distance(one: Stop, other: Stop) -> int:
    return abs(one.x - other.x) + abs(one.y - other.y)


def nearest_first(stops: list[Stop]) -> list[Stop]:
    left, here, order = list(stops), DEPOT, []
    while left:
        here = min(left, key=lambda stop: distance(here, stop))
        left.remove(here)
        order.append(here)
    return order


def length(order: list[Stop]) -> int:
    way = distance(DEPOT, order[0]) + distance(order[-1], DEPOT)
    for one, other in pairwise(order):
        way += distance(one, other)
    return way * METRES
