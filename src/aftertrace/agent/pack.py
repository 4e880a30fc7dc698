"""Kept parts of traces -> requests: redacted, materialised, in the formats of docs/format.md ("On the wire")."""

from __future__ import annotations

import gzip
import hashlib
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from aftertrace.agent import groups, redact, walk
from aftertrace.agent.outbox import Request
from aftertrace.agent.part import Job, Part
from aftertrace.agent.process import Process
from aftertrace.agent.sources import Sources
from aftertrace.agent.tell import Counts
from aftertrace.agent.watch import Trigger
from aftertrace.model import Attributes, LogRecord, Resource, Span, SpanEvent, SpanKind, SpanLink, StatusCode
from aftertrace.wire import otlp, recording, zstd
from aftertrace.wire.attributes import map_from_json
from aftertrace.wire.recording import Clocks, Meta, Recording, Slice

_PIECE = 1 << 20  # bytes of a recording in one log record
_RECORDING = 16 << 20  # bytes of slices in one recording
_BATCH = 4 << 20  # bytes in one request, about
_MOST_LATE = 64
SCOPE = "aftertrace"


@dataclass(frozen=True, slots=True)
class Late:
    """A part that went without all its sources."""

    job: Job
    part: Part


@dataclass(slots=True)
class Packed:
    """What goes of some traces."""

    logs: list[LogRecord] = field(default_factory=list)  # sources before the recordings that name them
    spans: list[Span] = field(default_factory=list)
    kept: list[LogRecord] = field(default_factory=list)

    def add(self, other: Packed) -> None:
        self.logs += other.logs
        self.spans += other.spans
        self.kept += other.kept

    def __len__(self) -> int:
        return len(self.logs) + len(self.spans) + len(self.kept)

    def requests(self) -> Iterator[Request]:
        """In the order in which they should arrive: that it was kept is said when all of it is there. As few as can be:
        the server answers each when it is durable, and the next waits for that."""
        yield from _span_requests(self.spans)
        yield from _log_requests([*self.logs, *self.kept])


class Pack:
    """Makes requests of jobs; remembers which sources have gone."""

    def __init__(self, sources: Sources, counts: Counts) -> None:
        self._sources = sources
        self._counts = counts
        self._host = socket.gethostname()
        self._resources: dict[str, Resource] = {}
        self._dropped = 0
        self.late: deque[Late] = deque(maxlen=_MOST_LATE)  # recordings that went without some source

    def pack(self, job: Job) -> Packed:
        """A job that is prepared."""
        packed = Packed()
        for part in job.parts:
            resource = self.resource(part.process)
            packed.logs += self._source_records(part, resource)
            packed.logs += self._recording_records(job, part, resource)
            packed.logs += [_clean_log(replace(log, resource=resource)) for log in part.logs]
            packed.spans += _clean_spans(part, resource)
            if part.slices and part.lacks() and part.process.connected:
                self.late.append(Late(job, replace(part, slices=[], spans=[], logs=[])))
        by_id = {span.span_id: span for span in packed.spans}
        parts = {part.process.number: part for part in job.parts}
        packed.kept += [
            self._kept(job, process, trigger, by_id, parts.get(process.number)) for process, trigger in job.triggers
        ]
        self._counts.spans += len(packed.spans)
        return packed

    def late_sources(self) -> Packed:
        """Sources that came after the recording that needs them: as a further part of it, without slices."""
        packed = Packed()
        for _ in range(len(self.late)):
            one = self.late.popleft()
            if not one.part.lacks():
                resource = self.resource(one.part.process)
                packed.logs += self._source_records(one.part, resource)
                packed.logs += self._one_recording(one.job, one.part, resource, [])
            elif one.part.process.connected:
                self.late.append(one)
        return packed

    def resource(self, process: Process) -> Resource:
        """What the process says of itself, and what identifies it."""
        if process.uid not in self._resources:
            if len(self._resources) > 4096:
                self._resources.clear()
            try:
                said = map_from_json(process.ring.resource)
            except (ValueError, RecursionError):
                said = {}
            said["service.name"] = process.ring.service or said.get("service.name") or "unknown_service"
            said["process.pid"] = process.ring.pid
            said.setdefault("service.instance.id", process.uid)
            said.setdefault("host.name", self._host)
            self._resources[process.uid] = Resource(redact.attributes(said))
        return self._resources[process.uid]

    def _source_records(self, part: Part, resource: Resource) -> Iterator[LogRecord]:
        if self._counts.dropped != self._dropped:  # what was given up may have been sources
            self._dropped = self._counts.dropped
            self._sources.forget_sent()
        for path in part.paths():
            digest = self._sources.cleaned(part.process.sources.get(path, ""))
            packed = self._sources.to_send(digest)
            if packed is not None:
                self._counts.sources += 1
                attributes = {"aftertrace.source.sha256": digest, "aftertrace.source.path": path}
                yield _record("aftertrace.source", resource, packed, dict(attributes), 0)

    def _recording_records(self, job: Job, part: Part, resource: Resource) -> Iterator[LogRecord]:
        for slices in _portions(part.slices):
            yield from self._one_recording(job, part, resource, slices)

    def _one_recording(self, job: Job, part: Part, resource: Resource, slices: list[Slice]) -> Iterator[LogRecord]:
        process = part.process
        number = job.numbers.get(process.number, 0)
        job.numbers[process.number] = number + 1
        meta = Meta(
            trace_id=job.trace,
            process_uid=process.uid,
            pid=process.ring.pid,
            service=resource.service,
            resource=dict(resource.attributes),
            python=process.python,
            level=process.level,
            triggers=job.names,
            part=number,
        )
        first, last = (slices[0].position, slices[-1].position) if slices else (0, 0)
        losses = [loss for loss in list(process.losses) if loss[1] > first and loss[0] <= last]
        held = process.sources
        sources = {path: self._sources.cleaned(held[path]) for path in part.paths() if path in held}
        found = Recording(meta, part.definitions, part.clocks, slices, losses, sources)
        self._counts.recordings += 1
        time_ns = part.clocks.realtime(walk.ticks_of(slices[0].records)) if slices else time.time_ns()
        yield from _pieces(recording.write(found), job.trace, process, resource, time_ns)

    def _kept(
        self, job: Job, process: Process, trigger: Trigger, spans: dict[str, Span], part: Part | None
    ) -> LogRecord:
        span, request = spans.get(trigger.span), spans.get(trigger.request)
        clocks = Clocks(process.samples_for([trigger.ticks]))
        reason = redact.text(trigger.reason or (_reason(span) if span else trigger.name))
        route = request.name if request is not None else redact.text(trigger.route)
        attributes: Attributes = {
            "aftertrace.keep.trigger": trigger.name,
            "aftertrace.keep.reason": reason,
            "aftertrace.keep.process_uid": process.uid,
            "aftertrace.keep.role": trigger.role,
            "aftertrace.keep.route": route,
            "aftertrace.keep.weight": float(trigger.weight),
        }
        if trigger.role == "failure":
            service = self.resource(process).service
            group, title = groups.identify(trigger, service, route, reason, part)
            attributes |= {"aftertrace.keep.group": group, "aftertrace.keep.title": redact.text(title)}
            if job.left_out:
                attributes["aftertrace.keep.left_out"] = job.left_out
        elif trigger.of:
            attributes["aftertrace.keep.of"] = trigger.of.hex()
        time_ns = clocks.realtime(trigger.ticks) if trigger.ticks else time.time_ns()  # a death is in no record
        record = _record("aftertrace.kept", self.resource(process), None, attributes, time_ns)
        return replace(record, trace_id=job.trace, span_id=trigger.span)


def _clean_spans(part: Part, resource: Resource) -> Iterator[Span]:
    for told in part.spans:
        span = _clean_span(replace(told, resource=resource))
        yield span if span.end_ns or not part.process.died else _died(span, part.process)


def _died(span: Span, process: Process) -> Span:
    path = span.attributes.get("url.path")  # a request is named after its route when it ends
    bare = span.kind is SpanKind.SERVER and " " not in span.name and isinstance(path, str)
    name = f"{span.name} {path!s}" if bare else span.name
    return replace(span, name=name, status=StatusCode.ERROR, status_message=f"the process {process.ring.pid} died")


def _reason(span: Span) -> str:
    """Why a span's end was a trigger, from what it says: an exception, a status, an HTTP status."""
    for event in reversed(span.events):
        if event.name == "exception":
            kind, message = (str(event.attributes.get(f"exception.{key}", "")) for key in ("type", "message"))
            return f"{kind}: {message}" if message else kind
    if span.status_message:
        return span.status_message
    status = span.attributes.get("http.response.status_code", span.attributes.get("http.status_code"))
    return f"HTTP {status!s} on {span.name}" if isinstance(status, int) else f"error status of {span.name}"


def _clean_span(span: Span) -> Span:
    return replace(
        span,
        name=redact.text(span.name),
        status_message=redact.text(span.status_message),
        attributes=redact.attributes(span.attributes),
        events=tuple(SpanEvent(e.time_ns, redact.text(e.name), redact.attributes(e.attributes)) for e in span.events),
        links=tuple(SpanLink(o.trace_id, o.span_id, redact.attributes(o.attributes)) for o in span.links),
        scope=redact.text(span.scope),
    )


def _clean_log(log: LogRecord) -> LogRecord:
    body, attributes = redact.attribute(log.body), redact.attributes(log.attributes)
    return replace(log, body=body, attributes=attributes, scope=redact.text(log.scope))


# -- records and requests


def _record(event: str, resource: Resource, body: bytes | None, attributes: Attributes, time_ns: int) -> LogRecord:
    return LogRecord(time_ns, 0, body, resource, event_name=event, attributes=attributes, scope=SCOPE)


def _pieces(data: bytes, trace: str, process: Process, resource: Resource, time_ns: int) -> Iterator[LogRecord]:
    """The id is the content's hash: what is sent again is the same recording."""
    identity = hashlib.blake2b(data, digest_size=16).hexdigest()
    packed = zstd.compress(data)
    starts = range(0, len(packed), _PIECE)
    for piece, start in enumerate(starts):
        attributes: Attributes = {
            "aftertrace.recording.id": identity,
            "aftertrace.recording.piece": piece,
            "aftertrace.recording.pieces": len(starts),
            "aftertrace.recording.process_uid": process.uid,
        }
        body = packed[start : start + _PIECE]
        yield replace(_record("aftertrace.recording", resource, body, attributes, time_ns), trace_id=trace)


def _portions(slices: Sequence[Slice]) -> Iterator[list[Slice]]:
    """Runs of slices that make one recording."""
    portion: list[Slice] = []
    size = 0
    for one in slices:
        if portion and size + len(one.records) > _RECORDING:
            yield portion
            portion, size = [], 0
        portion.append(one)
        size += len(one.records)
    if portion:
        yield portion


def _log_requests(logs: Sequence[LogRecord]) -> Iterator[Request]:
    """Not compressed: almost all of it already is."""
    for batch in _batches(logs, lambda log: len(log.body) if isinstance(log.body, bytes | str) else 200):
        yield Request("/v1/logs", otlp.encode_logs(batch))


def _span_requests(spans: Sequence[Span]) -> Iterator[Request]:
    for batch in _batches(spans, lambda span: 500 + 100 * len(span.attributes)):
        yield Request("/v1/traces", gzip.compress(otlp.encode_traces(batch), 4, mtime=0), "gzip")


def _batches[Item](items: Sequence[Item], size_of: Callable[[Item], int]) -> Iterator[list[Item]]:
    batch: list[Item] = []
    size = 0
    for item in items:
        batch.append(item)
        size += size_of(item)
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
