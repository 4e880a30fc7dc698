"""The C extension's face: the recorder (ring, events, spans) and the reader of rings. Sources in native/."""

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar, Token
from types import CodeType
from typing import Any, Literal, Self, final, overload

FORMAT_VERSION: int
LEVEL_SPANS: int
LEVEL_CALLS: int
LEVEL_LINES: int

# -- the recorder of this process (ring.c, codes.c, events.c) --------------------------------------------------------

def start(
    level: int,
    *,
    ring_bytes: int,
    defs_bytes: int,
    roots: Sequence[str],  # absolute directories (with trailing slash) whose code is user code
    libraries: Sequence[str],  # absolute directories that are never user code (stdlib, site-packages); win over roots
    include: Sequence[str] = (),  # fnmatch globs on paths: win over libraries
    exclude: Sequence[str] = (),  # fnmatch globs on paths: win over all
    keys: Sequence[str] = (),  # further names to redact, any spelling
    budget: float = 1.0,  # share of the process's CPU time that recording code may cost; 1: no limit
) -> None:
    """Makes the ring and begins to record. OSError: no ring can be had; RuntimeError: already started;
    ValueError: a size or the level. Code that exists already is not seen until arm(). For tests of
    the fallbacks, the environment may say AFTERTRACE_FRAMES=public (frames through the documented API only) and
    AFTERTRACE_RING_MEMORY=file (no memfd)."""

def stop() -> None:
    """Ends recording: events off, the ring stays readable until the next start(). Idempotent."""

def close() -> None:
    """Marks the ring as ended in order (offset 208) and stops. For atexit."""

def reopen() -> None:
    """In a forked child (the extension has switched itself off there): a new ring, uid and pid, same settings.
    OSError as start()."""

def later(function: Callable[[], object], /) -> bool:
    """Calls it on the main thread, between two instructions, soon and once; what it raises is dropped. False: it will
    not be called, too many calls wait already."""

def ring_fd() -> int:
    """The memfd, owned by the extension; -1 when there is none."""

def process_uid() -> bytes: ...
def set_level(level: int) -> None:
    """How much is recorded from now on, in running frames too. ValueError: no such level."""

def set_budget(share: float, /) -> None:
    """From now on. ValueError: not more than 0, or more than 1."""

def pause() -> None:
    """Events of code off until resume(): for measurements. The governor keeps what it knows, and measures nothing."""

def resume() -> None:
    """As before pause()."""

def govern() -> None:
    """Looks at the budget now: for when no events do (events look every 10 ms by themselves). Never raises."""

def usage() -> dict[str, Any]:
    """What recording costs, as counted: budget; cpu_s of the process; code_s, exceptions_s (events of exceptions in
    code that is not recorded), spans_s, arming_s since the start; code_share, exceptions_share, spans_share of CPU over
    about the last second of it; credit_s; scale (this machine's events against the reference's); at_spans, at_calls,
    at_lines (code objects that were called); exceptions (3 all events, 2 without handled, 1 unwinds only, 0 none);
    demotions, promotions; calls that were recorded."""

def hot(most: int, /) -> list[tuple[str, str, int, int, float, float]]:
    """(path, qualified name, first line, level, calls per second of CPU, share of CPU) of the code that costs most to
    record; of code at level 0 the share that it cost when it was shed."""

def outside(most: int, /) -> list[tuple[str, str, int, int]]:
    """(path, qualified name, first line, calls) of the outermost recorded functions under which calls ran outside of
    any trace."""

def set_code_level(code: CodeType, level: int, /) -> bool:
    """The level of one code object, as the governor would set it: for tests. False: not armed, or never called yet.
    ValueError: no such level."""

def focus(places: frozenset[tuple[str, int]], seconds: float, /) -> int:
    """Code at (path, first line) took part in a failure: at lines for so long, as far as the whole budget allows.
    How many code objects that are."""

def arm(code: CodeType) -> bool:
    """Classifies one code object that existed before start() (nested ones included): True when it is user code."""

def why_user(path: str) -> tuple[bool, str]:
    """Whether a file is user code, and which rule says so (for doctor)."""

def new_files() -> list[tuple[int, str]]:
    """(file id, path) of user files met since the last call: the source thread hands these over."""

def status() -> dict[str, Any]:
    """recording, level, tool_id (-1: none was free, so spans only), frames ('fast' | 'public'), memory ('memfd' |
    'file'), ring_bytes, defs_bytes; and counters: codes_armed, records, lost (records that could not be written),
    doubts (events that did not fit what was known), refused (bad arguments to spans), activations, parked."""

def encode_value(
    value: object,
    *,
    depth: int = 3,
    items: int = 32,
    fields: int = 24,
    text: int = 256,
    objects: int = 4,
    room: int = 4096,
) -> bytes:
    """One captured value, as the format writes it: for tests. Of the objects within it the first `objects` are looked
    into. ValueError: room is not 80 bytes to 1 MiB."""

def sensitive_name(name: object, /) -> bool:
    """Whether values behind a name (str or bytes, any spelling) are redacted before they enter the ring."""

def suspicious(data: bytes, start: int, end: int, /) -> bool:
    """Whether something in these bytes of a record may be a secret by its pattern; looser than agent/patterns.py."""

def time_value(value: object, rounds: int, /) -> float:
    """ns that copying a value takes, on average over some rounds: for benchmarks."""

def fingerprint(value: object, /) -> int:
    """The cheap fingerprint by which a change in place of a list, dict, set or bytearray is noticed; 0 for anything
    else: for tests."""

# -- spans, context, logs (spans.c) -----------------------------------------------------------------------------------

@final
class Span:
    """A native span: writes straight into the ring, keeps only its ids. All methods never raise for bad arguments:
    they drop and count.

    Parent: left out: current(); None: a new root; remote: (trace id, span id, flags, tracestate); with trace id 0 a new
    root with those flags. With `context`, the parent says no more than parent_id, and only when it is of that trace;
    a zero id in it is refused, and the span gets ids as ever."""

    trace_id: int
    span_id: int
    parent_id: int  # 0: none
    trace_flags: int
    trace_state: str  # W3C tracestate as received, "" if none; handed to children
    name: str
    kind: int
    parent_is_remote: bool
    ended: bool
    def __init__(
        self,
        name: str,
        kind: int = 1,  # OTLP numbers: 1 internal, 2 server, 3 client, 4 producer, 5 consumer
        parent: Span | tuple[int, int, int, str] | None = ...,
        attributes: Mapping[str, Any] | None = None,
        links: Sequence[tuple[int, int, Mapping[str, Any] | None]] | None = None,
        start_time: int | None = None,  # ns since 1970
        scope: str = "",
        context: tuple[int, int, int, str] | None = None,  # this span's own ids, flags, tracestate, made elsewhere
    ) -> None: ...
    def set_attribute(self, key: str, value: Any) -> None: ...
    def set_attributes(self, attributes: Mapping[str, Any]) -> None: ...
    def add_event(
        self, name: str, attributes: Mapping[str, Any] | None = None, timestamp: int | None = None
    ) -> None: ...
    @overload
    def add_link(self, trace_id: int, span_id: int, attributes: Mapping[str, Any] | None = None) -> None: ...
    @overload
    def add_link(self, trace_id: object, span_id: Mapping[str, Any] | None = None) -> None:
        """OpenTelemetry's add_link(context, attributes)."""

    def set_status(self, status: object, description: str | None = None) -> None:
        """OTLP: 0 unset, 1 ok, 2 error; or OpenTelemetry's StatusCode or Status. Unset is ignored, ok is final, as
        OpenTelemetry wants it."""

    def update_name(self, name: str) -> None: ...
    def record_exception(
        self,
        exception: BaseException,
        attributes: Mapping[str, Any] | None = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """An `exception` event with type and message read without running code; the traceback is in the recording."""

    def end(self, end_time: int | None = None) -> None: ...
    def is_recording(self) -> bool:
        """Its start is in the ring and it has not ended."""

    def get_span_context(self) -> Any:
        """What the factory of set_span_context_factory() makes of this span; None without one, or when it raises."""

    def __enter__(self) -> Span: ...
    def __exit__(self, kind: object, exception: BaseException | None, traceback: object, /) -> Literal[False]:
        """Records the exception and status error, if there is one, and ends the span. Does not detach()."""

    def traceparent(self) -> str: ...

def current() -> Span | None: ...
def attach(span: Span | None) -> Token[Span | None]:
    """Makes it current in this context (contextvars), and on this thread at once."""

def detach(token: Token[Span | None]) -> None:
    """Undoes attach(); a token of another context is ignored."""

def set_span_context_factory(factory: Callable[[Span], object] | None, /) -> None:
    """What Span.get_span_context() calls: record registers OpenTelemetry's SpanContext here, so that nothing native
    imports it."""

def log(
    severity: int, logger: str, message: object, args: object, file: str, line: int, function: str, exception: object
) -> None: ...
def keep(reason: str, attributes: Mapping[str, Any] | None = None) -> None: ...

# -- requests that come in, and OpenTelemetry's context (request.c, asgi.c, wsgi.c, contexts.c) ------------------------

def set_propagation(
    plain: bool,
    read: Callable[[list[str], list[str]], tuple[int, int, int, str] | None],
    root: Callable[[], tuple[int, int, int, str]],
    parse_baggage: Callable[[list[str]], str],
    enter_baggage: Callable[[str], object],
    leave_baggage: Callable[[Any], None],
    /,
) -> None:
    """How requests read who called. plain: one traceparent without a tracestate, or none, is read natively; for the
    rest, and always where it is not plain, these functions are asked."""

@final
class AsgiRequest:
    """A request into an ASGI application: a SERVER span out of the scope, current at once; and the `send` for the
    application, which gives what the program's own gives. What is odd in a scope is left out of the span.
    Raises what propagation's functions raise; then nothing is left current."""

    def __new__(cls, scope: dict[str, Any], send: Callable[..., Any], /) -> AsgiRequest: ...
    def __call__(self, message: Any, /) -> Any: ...
    def end(self, error: BaseException | None, route: Callable[[dict[str, Any]], str], /) -> None:
        """Names the span after its route and ends it; lets go of the scope. `route` tells it where there are mounts
        before it. What that raises, or what is in the scope, is raised on, behind all that."""

def asgi_under_way() -> int:
    """How many requests are under way."""

def asgi_passes(scope: object, /) -> bool:
    """Whether a scope is no HTTP request, or one that is traced already: then its route is looked for in this one."""

class WsgiRequest:
    """A request into a WSGI application: a SERVER span out of the environ. Raises as AsgiRequest."""

    environ: dict[str, Any] | None  # None: it has ended
    route: str  # "": no framework has told it
    bags: str  # the baggage to pass on
    span: Span
    def __new__(cls, environ: dict[str, Any], /) -> Self: ...
    def starting(self, start_response: Callable[..., Any], /) -> Callable[..., Any]:
        """The start_response for the application: the program's own, whose status is noted."""

    def enter(self) -> object:
        """Makes it current for a piece of the program's code; gives what leave() takes, in the same context."""

    def leave(self, tokens: object, /) -> None: ...
    def fail(self, error: BaseException, /) -> None:
        """What nobody in the application has handled: the first one is told."""

    def end(self, error: BaseException | None = None, /) -> None:
        """Ends the span, once, and lets go of the environ."""

wsgi_under_way: ContextVar[WsgiRequest | None]

def wsgi_wanted(environ: object, entered: bool, /) -> bool:
    """Whether an environ (a dict) is of a request that has no span yet. entered: it comes to a framework's own entry,
    around which a span of another kind of server may be."""

def set_span_key(key: str | None, /) -> None:
    """Where an OpenTelemetry context keeps its span; None: contexts are shown as the API made them."""

@final
class ContextReader:
    """get_current() of OpenTelemetry's runtime: what the variable holds, a context of that class, with the recorder's
    span in it. `slow` is asked where they have to be merged."""

    def __new__(cls, variable: ContextVar[Any], kind: type, slow: Callable[[], Any], /) -> ContextReader: ...
    def __call__(self) -> Any: ...

# -- around calls (around.c, template.c, suppressed.c), for the boundaries --------------------------------------------

@final
class Template:
    """What spans of one kind are born with, written once as the ring has it. Holds nothing of what it was made of.
    TypeError; ValueError: more attributes than there is room for (4000 bytes, name and scope included)."""

    def __init__(
        self, name: str, kind: int = 1, attributes: Mapping[str, Any] | None = None, scope: str = ""
    ) -> None: ...
    def span(self, base: Template | None = None, /) -> Span | None:
        """A child of the current span, with the attributes of base too; None outside of any."""

@final
class Known:
    """Templates by text, 256 of each variant; `make(text, variant)` is asked for what is new, which may be None. Holds
    copies of texts, and none of more than 8192 letters: of those make gets the beginning."""

    def __init__(self, make: Callable[[str, int], Template | None]) -> None: ...
    def of(self, text: str, variant: bool, /) -> Template:
        """TypeError: text is no plain str; and what make raises."""

@final
class Around:
    """What happens around a library's function: it is called as that is, and makes no frame.

    begin(args, kwargs) comes before the call; it may change kwargs. What it returns goes to end(state, result, error)
    after it; None: there is nothing to end. Both may fail: failed(name, error) counts it, or raises it on.
    spans: begin gives a Template, or (Template, a second one whose attributes are added), or None, and is not called
    outside of any span, nor where suppressed() or, within a CLIENT span, instrumented() says so. The span is current
    during the call unless current is false; end(span, None, error) is called for exceptions only.
    known: the templates of execute(self, text[, parameters]), so that begin is asked for what is new only; with base as
    the second template, or, with holder, what `_aftertrace` is in the __dict__ of that attribute of self.
    told: the call goes through at once when args[2].cursor is of one of these kinds, as those of SQLAlchemy do.
    extra: all that happens is that a call with one argument gets this as a second one."""

    def __init__(
        self,
        original: Callable[..., Any],
        name: str,
        failed: Callable[[str, Exception], None],
        begin: Callable[..., Any] | None,
        end: Callable[..., Any] | None,
        *,
        spans: bool = False,
        current: bool = True,
        instrumented: Callable[[], bool] | None = None,
        known: Known | None = None,
        base: Template | None = None,
        holder: str | None = None,
        told: set[type] | None = None,
        extra: object = None,
    ) -> None: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def enter(self, args: tuple[Any, ...], kwargs: dict[str, Any], /) -> tuple[Span, Token[Span | None] | None] | None:
        """The first half of a call with a span, for coroutines and generators; what leave() needs. Raises what
        failed() does."""

    def leave(self, state: tuple[Span, Token[Span | None] | None], error: BaseException | None, /) -> None: ...

def call_through[Function: Callable[..., Any]](function: Function, /) -> Function:
    """From now on, calls of this function of Python's go to the Around in its only closure cell, and make no frame."""

def watch_suppression(
    hushed: ContextVar[bool],
    look: Callable[[object], tuple[ContextVar[Any], tuple[str, ...]] | None],
    ask: Callable[[], bool],
    /,
) -> None:
    """How suppressed() knows: hushed is true; or in the context that OpenTelemetry's runtime context keeps in the
    variable which look(runtime) names, one of the keys stands, and ask() says so; None: ask() says so each time."""

def suppressed() -> bool:
    """Whether OpenTelemetry, once the program has loaded it, wants no instrumentation here."""

# -- reading a ring (reader.c), in the agent ---------------------------------------------------------------------------

@final
class Reader:
    """Reads another process's ring through its memfd. Trusts nothing in it: a torn or hostile ring gives less, never
    a crash."""

    pid: int
    process_uid: bytes
    python_hex: int
    level: int
    lost_bytes: int  # overwritten before they were read, so far
    def __init__(self, fd: int) -> None:
        """Keeps a dup of fd. ValueError: not a ring, or another version; OSError: no such descriptor."""
    def poll(self, max_bytes: int = ...) -> list[tuple[int, bytes | None, int, bytes]]:
        """What is new: slices (position, trace id or None, thread id, records), each one SEGMENT and what follows
        it. Never crosses a sub-buffer.
        A slice that goes on where the last poll ended opens with a SEGMENT made by the reader (flag 4), which is not
        counted in positions. ValueError: closed."""
    def clocks(self) -> list[tuple[int, int, int, int, int]]:
        """(sequence, ticks, monotonic ns, realtime ns, ticks per second) of sub-buffers met since the last call."""
    def losses(self) -> list[tuple[int, int]]:
        """(from, to) positions lost since the last call."""
    def definitions(self) -> bytes:
        """Definitions since the last call, whole ones only."""
    def ended(self) -> bool:
        """The process said that it ended in order."""
    def close(self) -> None: ...

def survey(records: bytes) -> list[tuple[int, int, int, int]]:
    """(kind, start of body, end of body, absolute ticks before it) of the records that are not calls or lines: SPAN_*,
    LOG, KEEP, GAP, RAISE, UNWIND, HANDLED. Stops at the first broken one."""
