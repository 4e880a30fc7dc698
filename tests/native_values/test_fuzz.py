"""Random graphs of objects against a reference: the same value or an honest gap; nothing of them runs or stays."""

from __future__ import annotations

import gc
import sys
import threading
import types
from typing import Any

from graphs import RAN, Both, Held, Plain, graphs, hashables
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from native_decoder import decode
from reference import check, of, trouble

from aftertrace import _native
from aftertrace._native import encode_value as encode

calm = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def reachable(value: Any) -> list[Any]:
    """Objects that the graph holds, by the collector's eyes; types and modules left out."""
    seen: dict[int, Any] = {}
    rest = [value]
    while rest and len(seen) < 500:
        o = rest.pop()
        if id(o) not in seen and not of(o, type, types.ModuleType, types.FunctionType):
            seen[id(o)] = o
            rest += gc.get_referents(o)
    return list(seen.values())


@calm
@given(graphs(), st.integers(0, 6), st.integers(0, 40), st.integers(0, 30), st.integers(0, 300), st.integers(80, 3000))
def test_the_same_value_or_an_honest_gap(held: Held, depth: int, items: int, fields: int, text: int, room: int) -> None:
    value = held.value
    RAN.clear()
    data = encode(value, depth=depth, items=items, fields=fields, text=text, room=room)
    assert RAN == []
    assert len(data) <= room
    assert trouble(decode(data), value) == ""
    assert encode(value, depth=depth, items=items, fields=fields, text=text, room=room) == data
    _native.fingerprint(value)
    assert RAN == []


@calm
@given(graphs())
def test_nothing_is_held_tracked_or_made(graph: Held) -> None:
    value = graph.value
    RAN.clear()
    encode(value)  # types of libraries are looked up once
    held = reachable(value)
    gc.disable()
    try:
        before = [sys.getrefcount(o) for o in held], [gc.is_tracked(o) for o in held]
        count, blocks = gc.get_count(), sys.getallocatedblocks()
        for _ in range(50):
            _native.time_value(value, 20)
        assert sys.getallocatedblocks() - blocks < 50
        assert gc.get_count()[1:] == count[1:]
        assert ([sys.getrefcount(o) for o in held], [gc.is_tracked(o) for o in held]) == before
    finally:
        gc.enable()


@calm
@given(graphs(), st.integers(80, 400))
def test_an_exception_that_is_handled_stays_so(graph: Held, room: int) -> None:
    RAN.clear()
    mine, after = LookupError("mine"), None
    try:
        raise mine
    except LookupError:
        encode(graph.value, room=room)
        after = sys.exception()
    assert after is mine
    assert RAN == []


@calm
@given(st.dictionaries(hashables, hashables, max_size=8), st.lists(hashables, max_size=8))
def test_tables_with_holes(table: dict[Any, Any], gone: list[Any]) -> None:
    for key in gone:
        table[key] = key
    for key in gone[::2]:
        table.pop(key, None)
    check(decode(encode(table, items=100, room=60_000)), table)
    keys = set(table) | set(gone)
    for key in gone[1::2]:
        keys.discard(key)
    check(decode(encode(keys, items=100, room=60_000)), keys)


def churn(shared: dict[str, Any], stop: threading.Event) -> None:
    """Changes everything all the time."""
    n = 0
    while not stop.is_set():
        n += 1
        shared["list"].append([n])
        del shared["list"][: n % 7]
        shared["dict"][n % 50] = {n: n}
        shared["dict"].pop((n * 7) % 50, None)
        shared["set"].add(n % 60)
        shared["set"].discard((n * 11) % 60)
        shared["deque"].rotate(n % 5)
        shared["deque"].append("x" * (n % 40))
        setattr(shared["object"], f"a{n % 40}", n)
        shared["object"].__dict__.pop(f"a{(n * 3) % 40}", None)
        shared["object"].left = [n]
        shared["bytes"].extend(b"x" * (n % 9))
        del shared["bytes"][: n % 11]
        shared["object"].__class__ = Other if n % 2 else Both
        if n % 100 == 0:
            shared["list"], shared["object"], shared["plain"] = [], Both(), Plain()
        shared["plain"].__dict__ = {"own": n}


class Other(Both):
    __slots__ = ()


def test_while_another_thread_changes_all_of_it() -> None:
    import collections

    shared: dict[str, Any] = {"list": [], "dict": {}, "set": set(), "deque": collections.deque(maxlen=200)}
    shared |= {"object": Both(), "bytes": bytearray(), "plain": Plain()}
    stop, interval = threading.Event(), sys.getswitchinterval()
    threads = [threading.Thread(target=churn, args=(shared, stop)) for _ in range(2)]
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for n in range(3000):
            decode(encode(shared, depth=4, items=n % 70, room=80 + n % 4000))
            _native.fingerprint(shared["dict"])
    finally:
        stop.set()
        sys.setswitchinterval(interval)
        for thread in threads:
            thread.join()


def test_graphs_deeper_than_any_stack() -> None:
    """Made by hand, as hypothesis keeps its graphs shallow."""
    deep: Any = None
    for n in range(20_000):
        deep = ([deep], {"k": deep}, (deep,))[n % 3]
    data = encode(deep, depth=65_535, room=1 << 20)
    check(decode(data), deep)
    rest = [deep]
    while rest:  # taken apart step by step: its deallocation would be deep, too
        deep = rest.pop()
        rest += deep.values() if type(deep) is dict else deep if type(deep) in {list, tuple} else []
        if type(deep) in {dict, list}:
            deep.clear()
