"""W3C trace context and baggage, in and out: strict about what is read, total (no input raises), no library needed.

https://www.w3.org/TR/trace-context-2/ and https://www.w3.org/TR/baggage/. A header that breaks a rule counts as absent.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, MutableMapping, Sequence
from contextvars import ContextVar
from typing import Any, Protocol

from aftertrace._native import Span, current, set_propagation

type Remote = tuple[int, int, int, str]  # (trace id, span id, flags, tracestate), as _native.Span takes a parent

TRACEPARENT, TRACESTATE, BAGGAGE = "traceparent", "tracestate", "baggage"
SAMPLED = 1
_KNOWN_FLAGS = 3  # sampled, random trace id (level 2); the others must be sent as zero
_TRACESTATE_BYTES, _TRACESTATE_MEMBERS = 8192, 32
_BAGGAGE_BYTES, _BAGGAGE_MEMBERS = 8192, 180

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:(-).*)?", re.ASCII | re.DOTALL)
_STATE_MEMBER = re.compile(
    r"[a-z0-9][a-z0-9_\-*/@]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # noqa: S105  # of a grammar
_OCTETS = r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*"
_BAGGAGE_MEMBER = re.compile(rf"{_TOKEN}[ \t]*=[ \t]*{_OCTETS}(?:[ \t]*;[ \t]*{_TOKEN}(?:[ \t]*=[ \t]*{_OCTETS})?)*")

# What is current beside the native span: a remote parent that was made current without a span (OpenTelemetry's
# attach(extract(headers))), and the baggage header as received.
remote: ContextVar[Remote | None] = ContextVar("aftertrace.remote", default=None)
baggage: ContextVar[str] = ContextVar("aftertrace.baggage", default="")


class BaggageBridge(Protocol):
    """OpenTelemetry's side of the baggage; otel_context puts it here once the program has loaded that API."""

    def enter(self, header: str) -> object:
        """Makes the received baggage current in OpenTelemetry's context; gives what leave() needs."""

    def leave(self, token: object) -> None: ...

    def header(self, received: str) -> str:
        """The header to send: as received, or what the program made of it."""


class Bridges:
    """What otel_context adds to propagation."""

    baggage: BaggageBridge | None = None


bridges = Bridges()

# -- in


def parse_traceparent(header: str) -> tuple[int, int, int] | None:
    """(trace id, span id, flags), or None when the header must be ignored."""
    match = _PARENT.fullmatch(header.strip(" \t")) if len(header) <= 512 else None
    if match is None:
        return None
    version, trace, span, flags, more = match.groups()
    if version == "ff" or (more and version == "00"):
        return None
    trace_id, span_id = int(trace, 16), int(span, 16)
    if not trace_id or not span_id:
        return None
    return trace_id, span_id, int(flags, 16) & _KNOWN_FLAGS


def parse_tracestate(headers: Sequence[str]) -> str:
    """The state to pass on, unchanged; "" when there is none or it breaks a rule. A key that comes twice breaks none:
    level 2 lets it be discarded, but not the rest."""
    text = ",".join(headers).strip(" \t")
    if not text or len(text) > _TRACESTATE_BYTES:
        return ""
    members = [member for part in text.split(",") if (member := part.strip(" \t"))]
    if not all(_STATE_MEMBER.fullmatch(member) for member in members):
        return ""
    return text if 0 < len(members) <= _TRACESTATE_MEMBERS else ""


def parse_baggage(headers: Sequence[str]) -> str:
    """The baggage to pass on: unchanged when every member is well formed, else those that are; "" over the limits."""
    text = ",".join(headers).strip(" \t")
    if not text or len(text) > _BAGGAGE_BYTES:
        return ""
    members = [member for part in text.split(",") if (member := part.strip(" \t"))]
    good = [member for member in members if _BAGGAGE_MEMBER.fullmatch(member)]
    if not good or len(members) > _BAGGAGE_MEMBERS:
        return ""
    return text if len(good) == len(members) else ",".join(good)


def read(parents: Sequence[str], states: Sequence[str]) -> Remote | None:
    """The caller's context out of all values of the two headers. Two traceparents are as good as none."""
    if len(parents) != 1 or not accepts.tracecontext:
        return None
    ids = parse_traceparent(parents[0])
    if ids is None:
        return None
    return ids[0], ids[1], sampler.flags(ids[0], ids[2]), parse_tracestate(states) if states else ""


def read_mapping(carrier: Mapping[str, str]) -> Remote | None:
    """The same, out of a map with one value per name."""
    parent, state = carrier.get(TRACEPARENT), carrier.get(TRACESTATE)
    return read([parent], [state] if state else ()) if parent else None


# -- out


def write(span: Span, carrier: MutableMapping[str, str]) -> list[tuple[str, str]]:
    """Puts the span's context and the current baggage into a carrier, where it says nothing of the kind itself.
    Gives what it added."""
    added = []
    if accepts.tracecontext and TRACEPARENT not in carrier:
        parent, state = _outgoing(span)
        added.append((TRACEPARENT, parent))
        if state and TRACESTATE not in carrier:
            added.append((TRACESTATE, state))
    bags = current_baggage() if accepts.baggage else ""
    if bags and BAGGAGE not in carrier:
        added.append((BAGGAGE, bags))
    for name, value in added:
        carrier[name] = value
    return added


def _outgoing(span: Span) -> tuple[str, str]:
    """traceparent and tracestate. Below a span that the sampler of a program's own SDK has dropped (it stands in
    ``remote`` while it is current, as there is no native span of it), what that sampler said goes out."""
    dropped = remote.get()
    if dropped is None or dropped[0] != span.trace_id:
        return span.traceparent(), span.trace_state
    flags = span.trace_flags & ~SAMPLED | dropped[2] & SAMPLED
    return f"{span.traceparent()[:-2]}{flags:02x}", dropped[3] or span.trace_state


def current_baggage() -> str:
    """The header as received, or what the program made of it through OpenTelemetry's baggage."""
    received = baggage.get()
    return received if bridges.baggage is None else bridges.baggage.header(received)


def enter_baggage(header: str) -> object:
    """Makes received baggage current. Gives what leave_baggage() needs, None when there was none."""
    if not header:
        return None
    return baggage.set(header), None if bridges.baggage is None else bridges.baggage.enter(header)


def leave_baggage(entered: Any) -> None:
    if entered is None:
        return
    ours, theirs = entered
    baggage.reset(ours)
    if bridges.baggage is not None and theirs is not None:
        bridges.baggage.leave(theirs)


# -- the parent of what begins now


def parent() -> Span | Remote:
    """The current span, else the remote parent that is current, else a root with the flags that the sampler wants."""
    return current() or remote.get() or sampler.root()


# -- what the environment says


class Propagators:
    """``OTEL_PROPAGATORS``: of those we know tracecontext and baggage; both are on when it is not set."""

    tracecontext = True
    baggage = True

    def configure(self, env: Mapping[str, str]) -> None:
        names = {name.strip().lower() for name in env.get("OTEL_PROPAGATORS", "").split(",") if name.strip()}
        self.tracecontext = not names or ("tracecontext" in names and "none" not in names)
        self.baggage = not names or ("baggage" in names and "none" not in names)
        _announce()


class Sampler:
    """``OTEL_TRACES_SAMPLER``: it decides the sampled flag that goes out, never what is recorded.

    Names that we do not know count as parentbased_always_on, OpenTelemetry's default. A root's trace id is drawn by the
    recorder after the decision, so a ratio is kept as a probability, not as a function of the id.
    """

    follows_parent = True
    share = 1.0  # of the roots

    def configure(self, env: Mapping[str, str]) -> None:
        name = env.get("OTEL_TRACES_SAMPLER", "").strip().lower()
        base = name.removeprefix("parentbased_")
        self.follows_parent = name not in {"always_on", "always_off", "traceidratio"}
        self.share = {"always_off": 0.0, "traceidratio": _ratio(env)}.get(base, 1.0)
        _announce()

    def flags(self, trace_id: int, received: int) -> int:
        """Of the spans below a remote parent."""
        if self.follows_parent:
            return received
        sampled = trace_id & (1 << 64) - 1 < round(self.share * (1 << 64))
        return received & ~SAMPLED | sampled

    def root(self) -> Remote:
        return 0, 0, int(self.share >= 1.0 or int.from_bytes(os.urandom(7)) < self.share * (1 << 56)), ""


def _ratio(env: Mapping[str, str]) -> float:
    try:
        share = float(env.get("OTEL_TRACES_SAMPLER_ARG", ""))
    except ValueError:
        return 1.0
    return share if 0.0 <= share <= 1.0 else 1.0


accepts = Propagators()
sampler = Sampler()


def _announce() -> None:
    """To the native boundaries of what comes in: where a single traceparent alone decides, they read it themselves."""
    plain = accepts.tracecontext and sampler.follows_parent and sampler.share >= 1.0
    set_propagation(plain, read, sampler.root, parse_baggage, enter_baggage, leave_baggage)


def configure(env: Mapping[str, str] | None = None) -> None:
    """Reads the environment's wishes."""
    env = os.environ if env is None else env
    accepts.configure(env)
    sampler.configure(env)


configure()
