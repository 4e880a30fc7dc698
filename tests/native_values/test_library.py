"""Types of the standard library and of numpy that are known by their layout: readable as their values."""

from __future__ import annotations

import collections
import mmap
import pathlib
import sqlite3
import types
from typing import Any

import numpy as np
import pydantic
import pytest
from native_decoder import V, decode

from aftertrace import _native


def seen(value: object, **caps: int) -> V:
    return decode(_native.encode_value(value, **caps))


def plain(value: V) -> Any:
    """A decoded value as the built-in that it is, subclasses by their content."""
    if value.tag == "SUBCLASS":
        return plain(value.items[0])
    if value.tag in {"LIST", "TUPLE"}:
        return [plain(item) for item in value.items]
    if value.tag == "DICT":
        return {plain(key): plain(item) for key, item in value.entries}
    return value.value if value.tag != "REDACTED" else "redacted"


@pytest.mark.parametrize(
    "path", ["/", "/a", "a", "a/b.txt", "/a/.b/..c", ".hidden", "../x", "/a//b", "./a", "a/", ".", "", "//net/x", "é/ü"]
)
def test_a_path_is_its_text(path: str) -> None:
    value = pathlib.Path(path)
    first = seen(value)
    assert first.tag == "OBJECT" or plain(first) == str(pathlib.Path(path))
    text = str(value)  # the path remembers it
    assert (seen(value).type, plain(seen(value))) == ("pathlib.PosixPath", text)
    assert plain(seen(pathlib.PurePosixPath(path) / "x")) in {str(pathlib.PurePosixPath(path) / "x"), None}


@pytest.mark.parametrize("n", [0, 1, 3, 31, 32, 63, 64, 65, 200])
def test_a_deque_is_a_list(n: int) -> None:
    queue = collections.deque(range(n))
    queue.extendleft(range(n))
    assert plain(seen(queue, items=500, room=9000)) == list(queue)[:64]
    queue.rotate(n // 2)
    found = seen(queue, items=5)
    assert (plain(found), found.items[0].size) == (list(queue)[:5], 2 * n)
    queue.clear()
    assert plain(seen(queue)) == []


def test_a_proxy_and_a_row_are_dicts() -> None:
    assert plain(seen(types.MappingProxyType({"a": 1, "token": "x"}))) == {"a": 1, "token": "redacted"}
    assert seen(types.MappingProxyType(collections.ChainMap())).tag == "OBJECT"
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    row = connection.execute("SELECT 1 AS id, 'x' AS password, NULL AS note").fetchone()
    assert plain(seen(row)) == {"id": 1, "password": "redacted", "note": None}
    connection.close()


@pytest.mark.parametrize("kind", ["?", "b", "B", "h", "H", "i", "I", "l", "L", "q", "Q", "e", "f", "d", "F", "D"])
def test_numbers_of_numpy(kind: str) -> None:
    values = [0, 1, 3, 7, 100]
    if kind in "bhilqefdFD":
        values += [-1, -100]
    if kind in "efd":
        values += [0.5, float("inf"), 2.0**-24, 65504.0, -0.0]  # type: ignore[list-item]
    if kind in "LQ":
        values += [(1 << 64) - 1]
    array = np.array(values).astype(kind) if kind not in "LQ" else np.array(values, dtype=kind)
    found = seen(array, items=50).attributes
    assert [repr(item.value) for item in found["flat"].items] == [repr(item) for item in array.tolist()]
    for scalar in array:
        assert repr(plain(seen(scalar))) == repr(scalar.item())
        assert seen(scalar).type == f"numpy.{type(scalar).__name__}"


def test_arrays_show_shape_and_first_items_in_order() -> None:
    array = np.arange(24).reshape(2, 3, 4)
    for view in (array, array.T, array[:, ::-1, 1:], array[::-1].swapaxes(0, 2), array[1, 1, 1:1], np.array(7)):
        found = seen(view, items=30).attributes
        assert plain(found["shape"]) == list(view.shape)
        assert plain(found["flat"]) == list(view.flat)
    assert (
        seen(np.array([1, {"password": "x"}], dtype=object)).attributes["flat"].items[1].entries[0][1].tag == "REDACTED"
    )
    cut = seen(np.zeros(10_000), items=4).attributes["flat"]
    assert (len(cut.items), cut.size, cut.reason) == (4, 10_000, 2)


def test_memory_that_may_vanish_is_not_read(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "numbers"
    np.arange(4096, dtype="i8").tofile(file)
    mapped = np.memmap(file, dtype="i8", mode="r")
    plain_view = np.asarray(mapped)
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), 0) as region:
        over = np.frombuffer(region, dtype="i8")
        file.write_bytes(b"")  # from here on, reading it kills
        for array in (mapped, plain_view, plain_view[::2], over):
            flat = seen(array).attributes.get("flat")
            assert flat is None or flat.tag == "MISSING"
        del over, array
    assert plain(seen(np.frombuffer(b"\1\2\3", dtype="u1")).attributes["flat"]) == [1, 2, 3]


def test_what_numpy_has_beside_numbers_is_honest() -> None:
    for array in (np.array(["a"]), np.array(["2026-01-01"], "M8[D]"), np.zeros(2, "i4,f8"), np.zeros(2, ">i4")):
        assert seen(array).attributes["flat"].tag == "MISSING"
        assert plain(seen(array).attributes["shape"]) == list(array.shape)


@pytest.mark.parametrize("room", range(80, 330, 6))
def test_in_small_rooms(room: int) -> None:
    for value in (np.ones((3,) * 8), np.float64(1), collections.deque(["x" * 99] * 9), pathlib.Path("/" + "y" * 300)):
        str(value)
        data = _native.encode_value(value, room=room, text=60_000)
        assert len(data) <= room
        decode(data)


class Extra(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    a: int = 1
    _own: int = pydantic.PrivateAttr(3)


def test_a_model_s_further_fields() -> None:
    found = seen(Extra(more=2, token="x")).attributes
    assert plain(found["__pydantic_extra__"]) == {"more": 2, "token": "redacted"}
    assert plain(found["__pydantic_private__"]) == {"_own": 3}


def test_a_name_that_is_cut_says_so() -> None:
    holder = types.SimpleNamespace(**{"n" * 300: 1, "ü" * 90: 2})
    first, second = seen(holder).attributes
    assert first == "n" * 97 + "…"
    assert second == "ü" * 48 + "…"
