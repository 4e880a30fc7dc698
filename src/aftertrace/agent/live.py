"""`aftertrace keep EXPR --live`: what the agent remembers now is judged, in a thread, at half of a core's time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from aftertrace import _native
from aftertrace.agent.memory import Memory
from aftertrace.agent.process import Process
from aftertrace.agent.rules import Requests, judge
from aftertrace.agent.watch import Trigger
from aftertrace.wire.rules import Rule

MOST_KEPT = 1000  # traces of one question
_REPORT_S = 0.5

type Say = Callable[[Mapping[str, Any]], None]
type Hit = tuple[Process, Trigger]


class Search:
    """One question. ``hit`` gets what is to be kept, ``say`` how far it is: both are called by the thread."""

    def __init__(self, number: str, rule: Rule, held: tuple[Memory, Mapping[int, Process]], hit: Callable[[Hit], None],
                 say: Say) -> None:  # fmt: skip
        memory, processes = held
        self._number, self._rule = number, rule
        self._blocks = memory.blocks()  # what is parked is left out: its requests were seen to be done
        self._processes = dict(processes)
        self._hit, self._say = hit, say
        self._stop = threading.Event()
        self._kept: set[bytes] = set()
        self._looked = 0
        self._thread = threading.Thread(target=self._run, name="aftertrace-live", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(2.0)

    def _run(self) -> None:
        try:
            self._search()
        except Exception as error:  # whoever asked waits for an end
            self._tell(done=True, problem=f"{type(error).__name__}: {error}")

    def _search(self) -> None:
        requests, told = Requests(), time.monotonic()
        for number, entries in enumerate(self._blocks, 1):
            began = time.monotonic()
            for hit in self._block(requests, entries()):
                self._found(hit)
            self._looked = requests.ended
            if self._stop.wait(time.monotonic() - began) or len(self._kept) >= MOST_KEPT:
                break
            if time.monotonic() - told > _REPORT_S:
                told = time.monotonic()
                self._tell(share=round(number / len(self._blocks), 3))
        now = time.time_ns()
        for process, ended in requests.rest(self._processes):
            if (trigger := judge(self._rule, ended, now)) is not None:
                self._found((process, trigger))
        self._tell(done=True, share=1.0)

    def _block(self, requests: Requests, entries: Iterator[tuple[int, bytes]]) -> Iterator[Hit]:
        for number, records in entries:
            process = self._processes.get(number)
            if process is None or not self._rule.may_fit(process.ring.service):
                continue
            for ended in requests.take(process, records, _native.survey(records), [self._rule]):
                if (trigger := judge(self._rule, ended)) is not None:
                    yield process, trigger

    def _found(self, hit: Hit) -> None:
        if hit[1].trace not in self._kept and len(self._kept) < MOST_KEPT:
            self._kept.add(hit[1].trace)
            self._hit(hit)

    def _tell(self, **more: Any) -> None:
        self._say({"id": self._number, "done": False, "kept": len(self._kept), "looked": self._looked, **more})
