"""Two requests at one key of a real Redis, and at one object of a process's memory, really recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import redis

from ..boundaries import servers
from .test_race import asked, none, pair, race

_HEAD = """
LEFT = {"A": 1, "B": 1, "warm": 100}
class Shelf:
    def __init__(self):
        self.left = {"A": 1, "B": 1, "warm": 100}
        self.sold = 0
SHELF = Shelf()
def rest(seconds):
    time.sleep(seconds)
"""
ENTRY = (
    _HEAD
    + """
def take(body):
    shelf = SHELF
    left = shelf.left[body["sku"]]  # cause
    if left < 1:
        raise ValueError("none left")
    rest(body["pause"])
    shelf.left[body["sku"]] -= 1
    return shelf.left[body["sku"]]
"""
)
CONDITION = (
    _HEAD
    + """
def take(body):
    shelf, sku = SHELF, body["sku"]
    if shelf.left[sku] < 1:  # cause
        raise ValueError("none left")
    rest(body["pause"])
    shelf.left[sku] -= 1
"""
)
ATTRIBUTE = (
    _HEAD
    + """
def take(body):
    shelf = SHELF
    sold = shelf.sold  # cause
    rest(body["pause"])
    shelf.sold = sold + 1
    return shelf.sold
"""
)
MODULE = (
    _HEAD
    + """
def take(body):
    left = LEFT.get(body["sku"], 0)  # cause
    if left < 1:
        raise ValueError("none left")
    rest(body["pause"])
    LEFT[body["sku"]] = left - 1
"""
)
LOCKED = (
    _HEAD
    + """
import threading
LOCK = threading.Lock()
def take(body):
    shelf = SHELF
    with LOCK:
        left = shelf.left[body["sku"]]
        if left > 0:
            shelf.left[body["sku"]] = left - 1
    return left
"""
)
OWN = (
    _HEAD
    + """
def take(body):
    shelf = Shelf()
    left = shelf.left[body["sku"]]
    rest(body["pause"])
    shelf.left[body["sku"]] = left - 1
"""
)
COUNTED = (
    _HEAD
    + """
def take(body):
    shelf = SHELF
    rest(body["pause"])
    shelf.sold += 1
    return shelf.sold
"""
)
CHECKED = """
import redis
store = redis.Redis(port=PORT)
store.set("left:A", 1, nx=True)
store.set("left:warm", 100, nx=True)
def rest(seconds):
    time.sleep(seconds)
def take(body):
    key = "left:" + body["sku"]
    left = int(store.get(key))  # cause
    if left < 1:
        raise ValueError("none left")
    rest(body["pause"])
    store.decrby(key, 1)
    now = int(store.get(key))
    return now
"""
LOST = CHECKED.replace("    store.decrby(key, 1)\n", "    store.set(key, left - 1, ex=60)\n")
HASH = (
    CHECKED.replace('store.set("left:A", 1, nx=True)', 'store.hset("left", "A", 1)')
    .replace('store.set("left:warm", 100, nx=True)', 'store.hset("left", "warm", 100)')
    .replace('"left:" + body["sku"]', 'body["sku"]')
    .replace("store.get(key)", 'store.hget("left", key)')
    .replace("store.decrby(key, 1)", 'store.hincrby("left", key, -1)')
)
ATOMIC = CHECKED.replace("left = int(store.get(key))", "left = store.decr(key) + 1").replace(
    "    store.decrby(key, 1)\n", ""
)


@pytest.fixture(scope="module")
def port() -> Any:
    with servers.redis() as found:
        yield found


def test_an_entry_of_a_shared_object(tmp_path: Path) -> None:
    victim, other = pair(tmp_path, ENTRY)
    said = asked(victim, other)
    finding = race(said, ENTRY, "check-then-act")
    assert said["cause"]["value"]["value"]["scalar"] == 1
    assert finding["key"] == "shelf.left['A']"
    assert finding["order"].startswith("one host clock")
    assert finding["wrong"].startswith("it is -1")
    texts = [(one["request"], one["text"]) for one in finding["events"]]
    assert texts[0] == (0, "reads shelf.left['A'] -> 1")
    assert (1, "shelf.left['A'] -= 1") in texts


def test_the_condition_itself(tmp_path: Path) -> None:
    victim, other = pair(tmp_path, CONDITION)
    race(asked(victim, other), CONDITION, "check-then-act")


def test_an_attribute_that_is_computed(tmp_path: Path) -> None:
    victim, other = pair(tmp_path, ATTRIBUTE)
    finding = race(asked(victim, other), ATTRIBUTE, "lost update")
    assert finding["key"] == "shelf.sold"


def test_a_dictionary_of_a_module(tmp_path: Path) -> None:
    victim, other = pair(tmp_path, MODULE)
    race(asked(victim, other), MODULE, "lost update")


@pytest.mark.parametrize("text", [LOCKED, OWN, COUNTED], ids=["lock", "own object", "no read"])
def test_what_is_no_race(tmp_path: Path, text: str) -> None:
    one, other = pair(tmp_path, text)
    none(asked(one, other))
    none(asked(other, one))


def test_other_entries_and_processes(tmp_path: Path) -> None:
    one, other = pair(tmp_path, ENTRY, skus=("A", "B"))
    none(asked(one, other))
    (tmp_path / "two").mkdir()
    one, other = pair(tmp_path / "two", ENTRY, processes=2)  # each has a shelf of its own
    none(asked(one, other))


def test_kept_for_being_slow(tmp_path: Path) -> None:
    none(asked(*pair(tmp_path, ENTRY), trigger="latency"))


@pytest.mark.parametrize(
    ("text", "what", "key"),
    [
        (CHECKED, "check-then-act", "redis[left:A]"),
        (LOST, "lost update", "redis[left:A]"),
        (HASH, "check-then-act", "redis[left:A]"),
    ],
    ids=["counted", "set", "hash"],
)
def test_a_key(tmp_path: Path, port: int, text: str, what: str, key: str) -> None:
    _flush(port)
    text = text.replace("PORT", str(port))
    victim, other = pair(tmp_path, text)
    finding = race(asked(victim, other), text, what)
    assert finding["key"] == key
    if what == "check-then-act":
        assert finding["wrong"].startswith("it is -1")


def test_a_counter_is_no_race(tmp_path: Path, port: int) -> None:
    _flush(port)
    one, other = pair(tmp_path, ATOMIC.replace("PORT", str(port)))
    none(asked(one, other))
    none(asked(other, one))


def _flush(port: int) -> None:
    with redis.Redis(port=port) as client:
        client.flushall()
