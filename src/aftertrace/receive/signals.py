"""The signals of OTLP that are taken: where they are sent to, and how they are answered."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

_MOST_PROBLEMS = 5  # sentences told back to a sender


@dataclass(frozen=True, slots=True)
class Signal:
    """``path`` of OTLP/HTTP, ``method`` of OTLP/gRPC; ``counted``: the JSON name of how many were rejected."""

    path: str
    method: str
    counted: str


def _signal(path: str, service: str, counted: str) -> Signal:
    return Signal(path, f"/opentelemetry.proto.collector.{service}/Export", counted)


TRACES = _signal("/v1/traces", "trace.v1.TraceService", "rejectedSpans")
LOGS = _signal("/v1/logs", "logs.v1.LogsService", "rejectedLogRecords")
METRICS = _signal("/v1/metrics", "metrics.v1.MetricsService", "rejectedDataPoints")
SIGNALS = (TRACES, LOGS, METRICS)


@dataclass(slots=True)
class Outcome:
    """How a request went. ``rejected`` items were not taken; ``problems`` says why, a few times; they may also be
    warnings about what was taken."""

    rejected: int = 0
    problems: list[str] = field(default_factory=list)

    def reject(self, problem: str, count: int = 1) -> None:
        self.rejected += count
        self.warn(problem)

    def warn(self, problem: str) -> None:
        if len(self.problems) < _MOST_PROBLEMS and problem not in self.problems:
            self.problems.append(problem)

    def sentence(self) -> str:
        return "; ".join(self.problems)

    def protobuf(self) -> bytes:
        """As an Export...ServiceResponse: the messages of the three signals have the same fields by number."""
        answer = ExportTraceServiceResponse()
        if self.problems:
            why = ExportTracePartialSuccess(rejected_spans=self.rejected, error_message=self.sentence())
            answer.partial_success.CopyFrom(why)
        return answer.SerializeToString()

    def json(self, signal: Signal) -> bytes:
        """The same as OTLP/JSON, where an int64 is a string and 0 is left out."""
        if not self.problems:
            return b"{}"
        count = {signal.counted: str(self.rejected)} if self.rejected else {}
        return json.dumps({"partialSuccess": {**count, "errorMessage": self.sentence()}}).encode()
