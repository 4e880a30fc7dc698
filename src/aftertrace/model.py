"""The nouns that every room shares: values, spans, logs. Plain data, no input or output.

Names follow OpenTelemetry and docs/format.md. Ids are lower-case hex strings (trace 32, span 16 digits);
times are int nanoseconds since 1970 unless a name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any

type Scalar = bool | int | float | complex | str | bytes | None
type AttributeValue = str | bool | int | float | bytes | list["AttributeValue"] | dict[str, "AttributeValue"] | None
type Attributes = dict[str, AttributeValue]


class Missing(IntEnum):
    """Why (part of) a value was not captured; numbers as in the format."""

    DEPTH = 1
    COLLECTION_SIZE = 2
    FIELD_COUNT = 3
    TIMEOUT = 4
    REDACTED_NAME = 5
    REDACTED_TYPE = 6
    CONCURRENT_MODIFICATION = 7
    SIZE = 8
    OPAQUE = 9
    LEVEL = 10
    AS_BEFORE = 11
    SHAPE = 12  # left out of an export; the type says its size and a hash


class ValueKind(StrEnum):
    UNBOUND = "unbound"
    SCALAR = "scalar"  # None, bool, int, float, complex, str, bytes, bytearray, Ellipsis, NotImplemented
    SEQUENCE = "sequence"  # list, tuple, set, frozenset: items
    MAPPING = "mapping"  # dict: entries
    OBJECT = "object"  # attributes by name
    SUBCLASS = "subclass"  # items[0] is the content as the built-in type it derives from
    EXCEPTION = "exception"  # items are its args, attributes by name
    NAMED = "named"  # function, class, module ...: scalar is the qualified name
    TEMPORAL = "temporal"  # date, time, datetime, timedelta: scalar is the text
    RANGE = "range"  # scalar is None, items are start, stop, step
    REDACTED = "redacted"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Value:
    """A captured value. ``type`` is the type's name as Python shows it (``int``, ``orders.models.Order``)."""

    kind: ValueKind
    type: str
    scalar: Scalar = None
    items: tuple[Value, ...] = ()
    entries: tuple[tuple[Value, Value], ...] = ()
    attributes: tuple[tuple[str, Value], ...] = ()
    size: int | None = (
        None  # true length where it has one: code points, bytes, items, bits (negative for an int below 0)
    )
    identity: int = 0  # address / 16; 0: none
    missing: Missing | None = None  # why it, or the rest of it, was not captured


class SpanKind(IntEnum):
    UNSPECIFIED = 0
    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5


class StatusCode(IntEnum):
    UNSET = 0
    OK = 1
    ERROR = 2


@dataclass(frozen=True, slots=True)
class Resource:
    """Who speaks: OTel resource attributes (``service.name``, ``service.version``, ``process.pid`` ...)."""

    attributes: Attributes

    @property
    def service(self) -> str:
        return str(self.attributes.get("service.name") or "unknown_service")


@dataclass(frozen=True, slots=True)
class SpanEvent:
    time_ns: int
    name: str
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SpanLink:
    trace_id: str
    span_id: str
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Span:
    """One OTel span. ``end_ns`` is 0 while it has not ended (in flight, or its process died)."""

    trace_id: str
    span_id: str
    parent_id: str  # "" for a root
    name: str
    kind: SpanKind
    start_ns: int
    end_ns: int
    resource: Resource
    status: StatusCode = StatusCode.UNSET
    status_message: str = ""
    attributes: Attributes = field(default_factory=dict)
    events: tuple[SpanEvent, ...] = ()
    links: tuple[SpanLink, ...] = ()
    scope: str = ""
    trace_state: str = ""
    flags: int = 0

    @property
    def service(self) -> str:
        return self.resource.service


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One OTLP log record; ``event_name`` is empty for a program's plain logs."""

    time_ns: int
    severity: int
    body: AttributeValue
    resource: Resource
    trace_id: str = ""
    span_id: str = ""
    event_name: str = ""
    attributes: Attributes = field(default_factory=dict)
    scope: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """A source file as the process ran it."""

    path: str
    sha256: str
    text: str


@dataclass(frozen=True, slots=True)
class Keep:
    """Why a trace was kept: one trigger, seen in one process."""

    trace_id: str
    trigger: str  # unhandled-exception, server-error, error-status, keep, process-death
    reason: str
    service: str
    process_uid: str
    time_ns: int
    attributes: dict[str, Any] = field(default_factory=dict)
    role: str = "failure"  # sibling: a healthy request of the same route; neighbour: it overlapped a kept one
    route: str = ""  # of the request in that process
    group: str = ""  # 16 hex digits: the failures that are one; "": the agent did not say
    title: str = ""  # the group in words
    weight: float = 1.0  # requests that this one stands for, at least 1
    of: str = ""  # trace id of the request that a neighbour overlapped
    version: str = ""  # of the service, as its resource says
