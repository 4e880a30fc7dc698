"""What is done with an OTLP request, however it came: unpacked, decoded, stored; done when it is durable."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from aftertrace.errors import Unavailable
from aftertrace.model import LogRecord, Span
from aftertrace.receive import body, otlp, otlp_json
from aftertrace.receive.budget import Budget
from aftertrace.receive.signals import LOGS, TRACES, Outcome, Signal

_DECODERS = 2
_BIG = 4 << 20  # bytes; bodies over it are decoded one at a time: as objects they are many times larger
_AT_ONCE = 8192  # spans handed to the store together
_NO_METRICS = "aftertrace does not store metrics: they were dropped"


class Sink(Protocol):
    """Where received data goes (the store). The futures are done when it is durable."""

    def submit_spans(self, spans: list[Span]) -> Future[None]: ...

    def submit_logs(self, logs: list[LogRecord]) -> Future[list[str]]:
        """The future gives a sentence for each record that was refused."""


@dataclass(frozen=True, slots=True)
class Payload:
    """A body as it came: ``encoding`` is its Content-Encoding, ``json`` says that it is OTLP/JSON."""

    packed: bytes
    encoding: str = ""
    json: bool = False


class Receiver:
    """Takes OTLP requests for ``sink``. ``budget`` counts their bytes, as they came and unpacked."""

    def __init__(self, sink: Sink) -> None:
        self.budget = Budget()
        self._sink = sink
        self._decoders = ThreadPoolExecutor(_DECODERS, "otlp-decode")
        self._big = threading.Lock()

    def close(self) -> None:
        self._decoders.shutdown()

    async def take(self, signal: Signal, payload: Payload) -> Outcome:
        """Durable when it returns. Raises BadOtlp and its kinds, Unavailable (behind), StoreError."""
        outcome = Outcome()
        work = {TRACES: self._spans, LOGS: self._logs}.get(signal, self._metrics)
        waiting = await asyncio.get_running_loop().run_in_executor(self._decoders, self._decode, work, payload, outcome)
        for one in waiting:
            for refused in await asyncio.wrap_future(one) or ():
                outcome.reject(refused)
        return outcome

    def _decode(
        self, work: Callable[[bytes, otlp.Parse, Outcome], list[Future[Any]]], payload: Payload, outcome: Outcome
    ) -> list[Future[Any]]:
        content = body.unpack(payload.packed, payload.encoding)
        parse: otlp.Parse = otlp_json.parse if payload.json else otlp.parse
        with self.budget.holding(len(content)), self._big if len(content) > _BIG else nullcontext():
            return work(content, parse, outcome)

    def _spans(self, content: bytes, parse: otlp.Parse, outcome: Outcome) -> list[Future[Any]]:
        """Piece by piece: as objects all of a large body would be too much. What was stored before a failure the
        sender sends again, which stores nothing twice."""
        waiting: deque[Future[Any]] = deque()
        for some in itertools.batched(otlp.spans(content, outcome, parse), _AT_ONCE):
            spans = list(some)
            while True:
                try:
                    waiting.append(self._sink.submit_spans(spans))
                    break
                except Unavailable:
                    if not waiting:
                        raise
                    waiting.popleft().result()
        return list(waiting)

    def _logs(self, content: bytes, parse: otlp.Parse, outcome: Outcome) -> list[Future[Any]]:
        """Together: the store tells equal records of one request apart, and orders recordings and kept marks."""
        return [self._sink.submit_logs(list(otlp.logs(content, outcome, parse)))]

    def _metrics(self, content: bytes, parse: otlp.Parse, outcome: Outcome) -> list[Future[Any]]:
        points = otlp.count_data_points(content, parse)
        if points:
            outcome.reject(_NO_METRICS, points)
        return []
