"""Group commit: waiting batches go in together, a bad one fails alone, and a writer that is behind says so."""

import threading

import pyarrow as pa
import pytest

from aftertrace.errors import Unavailable
from aftertrace.store import writer as writers
from aftertrace.store.writer import Writer


def rows(*values: int) -> pa.Table:
    return pa.table({"n": pa.array(values, pa.int64())})


class Table:
    """Records its inserts; may be held, and dislikes negative numbers."""

    def __init__(self) -> None:
        self.inserts: list[list[int]] = []
        self.free = threading.Event()
        self.busy = threading.Event()
        self.free.set()

    def insert(self, name: str, table: pa.Table) -> None:
        self.busy.set()
        assert self.free.wait(20)
        values = table.column("n").to_pylist()
        if min(values) < 0:
            raise ValueError("negative")
        self.inserts.append(values)


@pytest.fixture
def table():
    return Table()


@pytest.fixture
def writer(table):
    writer = Writer(table.insert)
    yield writer
    table.free.set()
    writer.close()


def hold(table: Table, writer: Writer):
    """The writer is in the middle of an insert."""
    table.free.clear()
    done = writer.submit({"t": rows(0)})
    assert table.busy.wait(20)
    return done


def test_what_waits_is_written_together(table, writer):
    first = hold(table, writer)
    rest = [writer.submit({"t": rows(n)}) for n in range(1, 6)]
    assert not first.done()
    table.free.set()
    for done in [first, *rest]:
        done.result(20)
    assert table.inserts == [[0], [1, 2, 3, 4, 5]]


def test_a_bad_batch_fails_alone(table, writer):
    hold(table, writer)
    good, bad, also = (writer.submit({"t": rows(n)}) for n in (1, -1, 2))
    table.free.set()
    good.result(20)
    also.result(20)
    with pytest.raises(ValueError, match="negative"):
        bad.result(20)
    assert table.inserts == [[0], [1], [2]]
    assert writer.alive()


def test_behind_is_said_and_passes(table, writer, monkeypatch):
    monkeypatch.setattr(writers, "_WAITING_BYTES", 100)
    hold(table, writer)
    waiting = writer.submit({"t": rows(*range(100))})  # one batch is always taken, whatever its size
    with pytest.raises(Unavailable) as caught:
        writer.submit({"t": rows(1)})
    assert caught.value.slug == "store-behind"
    table.free.set()
    waiting.result(20)
    writer.submit({"t": rows(1)}).result(20)


def test_nothing_to_write_is_done_at_once(writer):
    assert writer.submit({}).done()
    assert writer.submit({"t": rows()}).done()


def test_closing_writes_what_waits(table):
    writer = Writer(table.insert)
    hold(table, writer)
    waiting = writer.submit({"t": rows(1)})
    closing = threading.Thread(target=writer.close)
    closing.start()
    table.free.set()
    closing.join(20)
    assert waiting.done()
    assert table.inserts == [[0], [1]]
    with pytest.raises(Unavailable):
        writer.submit({"t": rows(2)})
