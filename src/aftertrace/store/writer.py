"""One thread that inserts: what arrives while it is busy goes into the next insert together (group commit)."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import pyarrow as pa

from aftertrace.errors import Unavailable

_GROUP_BYTES = 64 << 20
_LAST = "kept"  # what is listed can be opened, whatever is written together
_WAITING_BYTES = 256 << 20  # beyond it senders are asked to come again

type Tables = dict[str, pa.Table]


@dataclass(slots=True)
class _Batch:
    tables: Tables
    size: int  # bytes in Arrow
    done: Future[None] = field(default_factory=Future)


class Writer:
    """``insert(table, rows)`` is called by this thread only, and has made the rows durable when it returns."""

    def __init__(self, insert: Callable[[str, pa.Table], None]) -> None:
        self._insert = insert
        self._waiting: deque[_Batch] = deque()
        self._size = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, tables: Tables) -> Future[None]:
        """The future is done when all of it is durable. Raises Unavailable: behind, or closed."""
        batch = _Batch(
            {name: rows for name, rows in tables.items() if rows.num_rows}, sum(t.nbytes for t in tables.values())
        )
        batch.done.set_running_or_notify_cancel()  # a sender that went away cannot cancel it any more
        if not batch.tables:
            batch.done.set_result(None)
            return batch.done
        with self._changed:
            if self._closed:
                raise Unavailable("store-closed", "The store is closing.", "Send again when the server is back.")
            if self._waiting and self._size + batch.size > _WAITING_BYTES:
                raise Unavailable("store-behind", "The store is behind with writing.", "Send again in a moment.")
            self._waiting.append(batch)
            self._size += batch.size
            self._changed.notify()
        return batch.done

    def close(self) -> None:
        """Writes what waits, then ends."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def alive(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        while group := self._next():
            if not self._write(group) and len(group) > 1:
                for batch in group:  # one of them is bad: the others shall not pay for it
                    self._write([batch])
            for batch in group:
                if not batch.done.done():
                    batch.done.set_result(None)

    def _next(self) -> list[_Batch]:
        """The batches of the next insert; none: closed and all written."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            group: list[_Batch] = []
            size = 0
            while self._waiting and (not group or size + self._waiting[0].size <= _GROUP_BYTES):
                group.append(self._waiting.popleft())
                size += group[-1].size
            self._size -= size
            return group

    def _write(self, group: list[_Batch]) -> bool:
        """Whether it was written; a single batch that was not is told why."""
        tables: dict[str, list[pa.Table]] = defaultdict(list)
        for batch in group:
            for name, rows in batch.tables.items():
                tables[name].append(rows)
        try:
            for name in sorted(tables, key=_LAST.__eq__):
                self._insert(name, pa.concat_tables(tables[name]))
        except Exception as error:  # whatever it is: the sender waits for an answer, and the thread must live on
            if len(group) == 1:
                group[0].done.set_exception(error)
            return False
        return True
