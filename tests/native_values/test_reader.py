"""The reader of rings: whole and in order on a good ring, less but never wrong on a broken one."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_decoder import child_source, record, ring_of, split

from aftertrace import _native

SUBBUFFER = 65536
CONTINUED = 4


def open_ring(path: Path) -> Any:
    fd = os.open(path, os.O_RDONLY)
    try:
        return _native.Reader(fd)
    finally:
        os.close(fd)


def drain(reader: Any, step: int = 4 << 20) -> list[Any]:
    slices = []
    while new := reader.poll(step):
        slices += new
    return slices


def numbers(slices: list[Any]) -> list[int]:
    """The line numbers of the LOG records, in order."""
    found = []
    for _, _, _, records in slices:
        found += [record(kind, body)["line"] for kind, body in split(records) if kind == 20]
    return found


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ring of three sub-buffers that were written 12 times over."""
    code = """
    for i in range(9000):
        if i % 100 == 0:
            span = n.Span(f"span {i}", 1, None)
            n.attach(span if i % 200 else None)
        n.log(9, "logger", "message", (i, "x" * (i % 200)), "file.py", i, "function", None)
    """
    return ring_of(code, tmp_path_factory.mktemp("ring") / "ring", 3 * SUBBUFFER)


def test_reads_from_the_tail_to_the_head(ring: Path) -> None:
    reader = open_ring(ring)
    slices = drain(reader)
    read = numbers(slices)
    assert read == list(range(read[0], 9000))
    assert read[0] > 0
    assert (reader.losses(), reader.lost_bytes, reader.ended()) == ([], 0, False)
    assert reader.python_hex == sys.hexversion
    assert len(reader.process_uid) == 16
    assert reader.pid > 1
    assert reader.level == _native.LEVEL_SPANS


def test_slices_open_with_a_segment_and_stay_in_a_subbuffer(ring: Path) -> None:
    slices = drain(open_ring(ring))
    assert len(slices) > 5
    for position, trace, thread, records in slices:
        kind, body = split(records)[0]
        segment = record(kind, body)
        assert segment["record"] == "SEGMENT"
        assert segment.get("trace") == (trace.hex() if trace else None)
        assert segment["thread"] == thread
        assert not segment["flags"] & CONTINUED
        assert [kind for kind, _ in split(records)].count(1) == 1
        assert position // SUBBUFFER == (position + len(records) - 1) // SUBBUFFER
    ends = [position + len(records) for position, _, _, records in slices]
    gaps = [nxt[0] - end for nxt, end in zip(slices[1:], ends, strict=False) if nxt[0] != end]
    assert all(gap >= 48 for gap in gaps)  # the padding and the header of the next sub-buffer
    assert len(gaps) == 2


def test_clocks_come_once_a_subbuffer(ring: Path) -> None:
    reader = open_ring(ring)
    drain(reader)
    clocks = reader.clocks()
    assert len(clocks) == 3
    assert [c[0] for c in clocks] == list(range(clocks[0][0], clocks[0][0] + 3))
    assert all(c[4] > 10**6 for c in clocks)
    assert reader.clocks() == []


def test_small_polls_read_the_same(ring: Path) -> None:
    assert drain(open_ring(ring), 1) == drain(open_ring(ring))


def test_definitions_are_whole(tmp_path: Path, ring: Path) -> None:
    data = bytearray(ring.read_bytes())
    one = b"\x01" + (3).to_bytes(4, "little") + b"\x01\x01a"
    data[4096 : 4096 + 3 * len(one)] = one * 3
    copy = tmp_path / "ring"
    head = 192

    def upto(n: int) -> None:
        data[head : head + 8] = n.to_bytes(8, "little")
        copy.write_bytes(data)

    upto(len(one) + 4)
    reader = open_ring(copy)
    assert reader.definitions() == one
    assert reader.definitions() == b""
    upto(3 * len(one))
    assert reader.definitions() == one * 2
    upto(2**63)
    assert reader.definitions() == b""


def test_ended_and_closed(tmp_path: Path) -> None:
    ring = ring_of("n.log(9, 'l', 'm', (), 'f', 1, 'g', None); n.close()", tmp_path / "ring")
    reader = open_ring(ring)
    assert numbers(drain(reader)) == [1]
    assert reader.ended()
    reader.close()
    reader.close()
    for method in (reader.poll, reader.definitions, reader.ended):
        with pytest.raises(ValueError, match="closed"):
            method()


@pytest.mark.parametrize(
    ("offset", "data", "message"),
    [
        (0, b"ATRING02", "not a ring"),
        (8, b"\x02\0\0\0", "version"),
        (12, b"\0\0\0\0", "sizes"),
        (16, b"\xff\xff\xff\xff", "sizes"),
        (16, b"\0\0\0\0", "sizes"),
        (16, b"\x01\x00\x01\x00", "sizes"),
        (20, b"\0\0\0\0", "sizes"),
        (20, b"\xff\xff\0\0", "cut short"),
        (24, b"\xff\xff\xff\xff", "sizes"),
    ],
)
def test_headers_that_are_none(ring: Path, tmp_path: Path, offset: int, data: bytes, message: str) -> None:
    content = bytearray(ring.read_bytes())
    content[offset : offset + len(data)] = data
    (tmp_path / "ring").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        open_ring(tmp_path / "ring")


def test_files_that_are_none(tmp_path: Path, ring: Path) -> None:
    for n in (0, 1, 4095, 4096, 70_000):
        (tmp_path / "ring").write_bytes(ring.read_bytes()[:n])
        with pytest.raises(ValueError):
            open_ring(tmp_path / "ring")
    with pytest.raises(OSError):
        _native.Reader(987)


def test_a_file_cut_while_it_is_read(tmp_path: Path, ring: Path) -> None:
    copy = tmp_path / "ring"
    copy.write_bytes(ring.read_bytes())
    reader = open_ring(copy)
    reader.poll(1)
    os.truncate(copy, 300)
    drain(reader)
    assert reader.definitions() == b""
    os.truncate(copy, 0)
    assert (drain(reader), reader.ended(), reader.level) == ([], False, 0)


HEADER_NUMBERS = [64, 128, 192, 208, 28, 52]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_corrupted_ring_gives_less_and_never_crashes(
    ring: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(ring.read_bytes())
    body = 4096 + 65536
    for _ in range(data.draw(st.integers(1, 12))):
        if data.draw(st.integers(0, 3)) == 0:
            at, new = data.draw(st.sampled_from(HEADER_NUMBERS)), data.draw(st.binary(min_size=8, max_size=8))
        else:
            at = body + data.draw(
                st.one_of(
                    st.integers(0, len(content) - body - 64),
                    st.integers(0, 200),
                    st.integers(0, 200).map(lambda n: n + SUBBUFFER),
                )
            )
            new = data.draw(
                st.one_of(
                    st.binary(min_size=1, max_size=64), st.sampled_from([b"\0" * 48, b"\x01\x00\x00", b"\xff" * 30])
                )
            )
        content[at : at + len(new)] = new
    path = tmp_path_factory.getbasetemp() / "corrupted"
    path.write_bytes(content)
    reader = open_ring(path)
    polls = 0
    while slices := reader.poll(data.draw(st.sampled_from([1, 5000, 1 << 22]))):
        polls += 1
        assert polls < 20_000
        for position, trace, _, records in slices:
            assert len(records) <= SUBBUFFER + 64
            first, *rest = split(records)  # every record is whole
            assert first[0] == 1
            made = 3 + len(first[1]) if first[1][8] & CONTINUED else 0
            assert trace is None or len(trace) == 16
            offset = body + position % (3 * SUBBUFFER)
            assert records[made:] == content[offset : offset + len(records) - made]
            assert all(kind for kind, _ in rest)
            _native.survey(records)
    assert all(start < end for start, end in reader.losses())
    reader.definitions()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_survey_stops_at_what_is_broken(data: bytes) -> None:
    end = 0
    for kind, start, stop, _ in _native.survey(data):
        assert kind in {9, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22}
        assert end + 3 <= start <= stop <= len(data)
        assert (data[start - 3], int.from_bytes(data[start - 2 : start], "little")) == (kind, stop - start)
        end = stop


def test_survey_finds_what_the_agent_looks_for(ring: Path) -> None:
    for _, _, _, records in drain(open_ring(ring)):
        expected = [(kind, body) for kind, body in split(records) if kind in {9, 11, 12} or kind >= 13]
        assert [(kind, records[a:b]) for kind, a, b, _ in _native.survey(records)] == expected


# -- beside a writer -------------------------------------------------------------------------------------------------

WRITER = """
import time
print(n.ring_fd(), flush=True)
sys.stdin.readline()
stop = time.monotonic() + {seconds}
i = 0
while time.monotonic() < stop:
    for _ in range(50):
        n.log(9, "logger", "message", (i, str(i)), "file.py", i, "function", None)
        i += 1
    if {pause}: time.sleep({pause})
print(i, flush=True)
sys.stdin.readline()
"""


def follow(seconds: float, pause: float, ring_bytes: int, lag: float) -> tuple[Any, list[Any], int]:
    """Reads beside a writing process until that has ended; returns reader, slices, records written."""
    source = child_source(WRITER.format(seconds=seconds, pause=pause), ring_bytes)
    child = subprocess.Popen([sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin
    assert child.stdout
    try:
        reader = open_ring(Path(f"/proc/{child.pid}/fd/{int(child.stdout.readline())}"))
        child.stdin.write("go\n")
        child.stdin.flush()
        slices = []
        end = time.monotonic() + seconds + 0.3
        while time.monotonic() < end:
            slices += reader.poll()
            time.sleep(lag)
        written = int(child.stdout.readline())
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()
    slices += drain(reader)
    return reader, slices, written


def whole_numbers(slices: list[Any]) -> list[int]:
    """numbers(), and each record says the same in all its parts."""
    found = []
    for _, _, _, records in slices:
        for kind, body in split(records):
            if kind == 20:
                log = record(kind, body)
                assert [item.value for item in log["args"].items] == [log["line"], str(log["line"])]
                found.append(log["line"])
    return found


def test_a_writer_that_can_be_followed_loses_nothing() -> None:
    reader, slices, written = follow(0.5, 0.002, 1 << 20, 0.001)
    assert whole_numbers(slices) == list(range(written))
    assert (reader.losses(), reader.lost_bytes) == ([], 0)
    continued = [records for _, _, _, records in slices if records[11] & CONTINUED]
    assert continued


def test_ticks_of_continued_slices_go_on() -> None:
    _, slices, _ = follow(0.4, 0.002, 1 << 20, 0.001)
    last = 0
    for _, _, _, records in slices:
        for kind, body in split(records):
            fields = record(kind, body)
            if kind == 1:
                assert fields["ticks"] >= last
                if fields["flags"] & CONTINUED:
                    assert fields["ticks"] == last
                last = fields["ticks"]
            else:
                last += fields.get("dt", 0)


def test_a_writer_at_full_speed_overtakes_and_all_is_accounted_for() -> None:
    reader, slices, written = follow(0.25, 0, 2 * SUBBUFFER, 0.006)
    read = whole_numbers(slices)
    assert read == sorted(set(read))
    assert read[-1] == written - 1
    losses = reader.losses()
    assert losses
    assert reader.lost_bytes == sum(end - start for start, end in losses)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(losses))
    holes = [(a, b) for a, b in itertools.pairwise(read) if b != a + 1]
    assert 0 < len(holes) <= len(losses)
    for position, _, _, records in slices:
        made = 3 + int.from_bytes(records[1:3], "little") if records[11] & CONTINUED else 0
        assert not any(start < position + len(records) - made and position < end for start, end in losses)


TEARER = """
import mmap, sys, time, itertools
size, count, body = 65536, 2, 4096 + 4096
with open(sys.argv[1], "r+b") as file:
    ring = mmap.mmap(file.fileno(), 0)
print("ready", flush=True)
segment = b"\\x01\\x0a\\x00" + bytes(8) + b"\\x00\\x07"
stop = time.monotonic() + 0.6
for n in itertools.count():
    if n % 256 == 0 and time.monotonic() > stop:
        break
    number = n.to_bytes(8, "little")
    image = b"ATSB" + bytes(4) + number + bytes(32) + segment + (b"\\x1e\\x08\\x00" + number) * 5900
    image = image.ljust(size, b"\\0")
    if n >= count:
        ring[128:136] = ((n - count + 1) * size).to_bytes(8, "little")
    at = body + n % count * size
    ring[at : at + size] = image
    ring[64:72] = ((n + 1) * size).to_bytes(8, "little")
"""


def test_a_subbuffer_that_is_overwritten_while_it_is_copied_is_thrown_away(tmp_path: Path) -> None:
    """A writer that does nothing but overwrite, at memory speed: each of its sub-buffers says one number."""
    path = tmp_path / "ring"
    fields = [1, 4096, SUBBUFFER, 2, 4096, 1]
    header = b"ATRING01" + b"".join(n.to_bytes(4, "little") for n in fields)
    path.write_bytes(header.ljust(8192, b"\0") + bytes(2 * SUBBUFFER))
    child = subprocess.Popen([sys.executable, "-c", TEARER, str(path)], stdout=subprocess.PIPE)
    seen = 0
    with child:
        assert child.stdout
        child.stdout.readline()
        reader = open_ring(path)
        while child.poll() is None:
            for position, _, _, records in reader.poll(1):
                number = (position // SUBBUFFER).to_bytes(8, "little")
                assert records[13:] == (b"\x1e\x08\x00" + number) * 5900
                seen += 1
    assert child.returncode == 0
    assert seen > 5
    assert reader.losses()
