"""Several real processes that call each other over sockets, each under the native recorder, and one trace of them.

The processes' rings are read through their memfds, as the agent does it: a process that was killed has its ring too.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from aftertrace import _native
from aftertrace.model import Resource, Span
from aftertrace.reconstruct import decode, spans
from aftertrace.wire import recording
from aftertrace.wire.bundle import TraceData

# What stands for the framework and its boundaries: library code, not recorded, that makes the spans.
BUS = '''
import json, os, socket, sys, threading, time
from aftertrace import _native
PORTS = {}

class ServiceError(Exception):
    """The other service answered with an error."""

def _parent(header):
    _, trace, span, flags = header.split("-")
    return (int(trace, 16), int(span, 16), int(flags, 16), "")

def _exchange(service, message):
    with socket.create_connection(("127.0.0.1", PORTS[service]), timeout=30) as connection:
        connection.sendall(json.dumps(message).encode() + b"\\n")
        line = connection.makefile("rb").readline()
    if not line:
        raise ConnectionError(f"{service} went away")
    return json.loads(line)

def call(service, path, body):
    attributes = {"http.request.method": "POST", "url.full": f"http://{service}{path}"}
    with _native.Span("POST", 3, attributes=attributes) as span:
        token = _native.attach(span)
        try:
            answer = _exchange(service, {"traceparent": span.traceparent(), "path": path, "body": body})
        finally:
            _native.detach(token)
        if answer["status"] >= 500:
            raise ServiceError(f"{service} answered {answer['status']}")
        return answer["body"]

def put(service, body):
    """Into a queue: answered when the message is taken, long before it is worked on."""
    with _native.Span(f"send {service}", 4) as span:
        _exchange(service, {"traceparent": span.traceparent(), "path": "", "body": body})

def _answer(handle, message):
    span = _native.Span("POST " + message["path"], 2, parent=_parent(message["traceparent"]))
    token = _native.attach(span)
    try:
        answer = {"status": 200, "body": handle(message["path"], message["body"])}
        span.set_attribute("http.response.status_code", 200)
    except Exception as error:
        span.record_exception(error)
        span.set_status(2, type(error).__name__)
        answer = {"status": 500}
    finally:
        _native.detach(token)
        span.end()
    return answer

def _work(handle, message):
    time.sleep(0.02)
    span = _native.Span("process", 5, parent=_parent(message["traceparent"]))
    token = _native.attach(span)
    try:
        handle(message["path"], message["body"])
    except Exception as error:
        span.record_exception(error)
        span.set_status(2, type(error).__name__)
    finally:
        _native.detach(token)
        span.end()

def _one(handle, connection):
    with connection:
        message = json.loads(connection.makefile("rb").readline())
        if message["path"]:
            connection.sendall(json.dumps(_answer(handle, message)).encode() + b"\\n")
        else:
            threading.Thread(target=_work, args=(handle, message)).start()
            connection.sendall(b"{}\\n")

def serve(handle):
    server = socket.create_server(("127.0.0.1", 0))
    fd = _native.ring_fd()
    print(json.dumps({"port": server.getsockname()[1], "ring": fd, "pid": os.getpid()}), flush=True)
    PORTS.update(json.loads(sys.stdin.readline()))
    def accept():
        while True:
            connection, _ = server.accept()
            threading.Thread(target=_one, args=(handle, connection), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.readline()
    status = _native.status()
    assert status["doubts"] == 0 and status["lost"] == 0, status
    _native.close()
'''

RUN = """
import sys
from aftertrace import _native
name, code, library, level, ring_bytes = sys.argv[1:]
sys.path[:0] = [code, library]
_native.start(int(level), ring_bytes=int(ring_bytes), defs_bytes=1 << 20, roots=[code + "/"], libraries=[library + "/"])
import bus
bus.serve(__import__(name).handle)
"""

SHOP = {
    "gateway": """
from bus import call, put
ZONES = {"DE": "W1", "FR": "W2"}
def region_for(country):
    zone = ZONES.get(country, "")
    region = f"{country}-{zone}"
    return region
def handle(path, body):
    region = region_for(body["country"])
    answer = call("orders", "/orders", {"region": region, "pieces": body["pieces"]})
    put("worker", {"order": answer["order"]})
    total = answer["total"]
    return {"total": total}
""",
    "orders": """
from bus import call
def price(pieces):
    total = 0
    for piece in pieces:
        total += piece * 2
    return total
def handle(path, body):
    total = price(body["pieces"])
    shelf = call("inventory", "/reserve", {"region": body["region"]})
    placed = {"order": "O-1", "total": total, "shelf": shelf}
    return placed
""",
    "inventory": """
SHELVES = {"DE-W1": "A1", "FR-W2": "B2"}
def find(region):
    shelf = SHELVES[region]
    return shelf
def handle(path, body):
    region = body["region"]
    if region == "hang":
        import time
        time.sleep(60)
    return find(region)
""",
    "worker": """
def invoice(order):
    text = f"invoice for {order}"
    return text
def handle(path, body):
    made = invoice(body["order"])
    return made
""",
}


@dataclass(slots=True)
class Service:
    """One running process."""

    name: str
    process: subprocess.Popen[str]
    port: int
    reader: _native.Reader
    file: Path
    slices: list[tuple[int, bytes | None, int, bytes]] = field(default_factory=list)
    definitions: bytes = b""
    clock: bytes = b""

    def read(self) -> None:
        """What the ring holds now."""
        while found := self.reader.poll():
            self.slices += found
        self.definitions += self.reader.definitions()
        self.clock += b"".join(struct.pack("<5Q", *sample) for sample in self.reader.clocks())

    def resource(self) -> dict[str, str | int]:
        return {"service.name": self.name, "host.name": f"host-of-{self.name}", "process.pid": self.process.pid}

    def recording(self, trace_id: str, *, whole: bool = False, level: str = "lines") -> bytes:
        """What it remembers of a trace; ``whole``: and of everything else."""
        meta = {"trace_id": trace_id, "process_uid": self.reader.process_uid.hex(), "pid": self.process.pid}
        meta |= {"service": self.name, "resource": self.resource(), "level": level}
        sections = [(recording.META, json.dumps(meta).encode()), (recording.DEFINITIONS, self.definitions)]
        sections.append((recording.CLOCK, self.clock))
        for position, owner, _, records in self.slices:
            if whole or (owner is not None and owner.hex() == trace_id):
                sections.append((recording.SLICE, struct.pack("<Q", position) + records))
        digest = hashlib.sha256(self.file.read_bytes()).hexdigest()
        sections.append((recording.SOURCES, json.dumps({str(self.file): digest}).encode()))
        return recording.write_sections(sections)


class Services:
    """Running services, and requests to them."""

    def __init__(self, services: dict[str, Service]) -> None:
        self.services = services

    def request(self, name: str, path: str, body: object, timeout: float = 30) -> str:
        """Sends a request as a customer's own traced client would; the trace id."""
        trace_id = os.urandom(16).hex()
        header = f"00-{trace_id}-{os.urandom(8).hex()}-01"
        with socket.create_connection(("127.0.0.1", self.services[name].port), timeout=timeout) as connection:
            connection.sendall(json.dumps({"traceparent": header, "path": path, "body": body}).encode() + b"\n")
            with contextlib.suppress(TimeoutError):
                connection.makefile("rb").readline()
        return trace_id

    def wait_for_span(self, name: str, trace_id: str, span: str, *, ended: bool = True) -> None:
        """Until a span of a service is in its ring."""
        for _ in range(400):
            found = [one for one in self.spans(trace_id) if one.service == name and one.name == span]
            if any(one.end_ns or not ended for one in found):
                return
            time.sleep(0.02)
        raise AssertionError(f"{name} has no span {span}")

    def spans(self, trace_id: str) -> list[Span]:
        """All spans of a trace, as the agents make them from the rings."""
        found: list[Span] = []
        for service in self.services.values():
            service.read()
            for memory in decode.read([service.recording(trace_id, whole=True)])[0]:
                told = spans.told(memory, trace_id).values()
                found += [replace(span, resource=Resource(dict(service.resource()))) for span in told]
        return found

    def trace(self, trace_id: str, level: str = "lines") -> TraceData:
        """Everything about a trace."""
        spans = self.spans(trace_id)
        texts = [service.file.read_bytes() for service in self.services.values()]
        return TraceData(
            trace_id=trace_id,
            spans=sorted(spans, key=lambda span: span.start_ns),
            recordings=[service.recording(trace_id, level=level) for service in self.services.values()],
            sources={hashlib.sha256(text).hexdigest(): text.decode() for text in texts},
        )


@contextlib.contextmanager
def running(
    directory: Path, programs: dict[str, str], level: int = _native.LEVEL_LINES, ring_bytes: int = 8 << 20
) -> Iterator[Services]:
    """The services, until the end of the block."""
    library = directory / "library"
    library.mkdir()
    (library / "bus.py").write_text(BUS)
    found: dict[str, Service] = {}
    with contextlib.ExitStack() as stack:
        for name, text in programs.items():
            found[name] = _start(stack, directory / name, library, name, text, level, ring_bytes)
        ports = json.dumps({service.name: service.port for service in found.values()})
        for service in found.values():
            assert service.process.stdin is not None
            service.process.stdin.write(ports + "\n")
            service.process.stdin.flush()
        yield Services(found)
        for service in found.values():
            if service.process.poll() is None:
                _, said = service.process.communicate("\n", timeout=30)
                assert service.process.returncode == 0, said


def _start(
    stack: contextlib.ExitStack, code: Path, library: Path, name: str, text: str, level: int, ring_bytes: int
) -> Service:
    code.mkdir()
    (code / f"{name}.py").write_text(text)
    words = [sys.executable, "-P", "-c", RUN, name, str(code), str(library), str(level), str(ring_bytes)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    stack.callback(_end, process)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.stderr.read() if process.stderr else ""
    said = json.loads(line)
    fd = os.open(f"/proc/{said['pid']}/fd/{said['ring']}", os.O_RDWR)
    reader = _native.Reader(fd)
    os.close(fd)
    stack.callback(reader.close)
    return Service(name, process, said["port"], reader, code / f"{name}.py")


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
    process.communicate()


def shifted(trace: TraceData, service: str, by_ns: int) -> TraceData:
    """The same trace as if the clock of a service's host had been off: its spans and its clock samples moved."""
    recordings = []
    for read in map(recording.read, trace.recordings):
        if read.meta.service == service:
            samples = [replace(one, realtime=one.realtime + by_ns) for one in read.clocks.samples]
            read.clocks = recording.Clocks(samples)
        recordings.append(recording.write(read))
    moved = [
        replace(span, start_ns=span.start_ns + by_ns, end_ns=span.end_ns + by_ns if span.end_ns else 0)
        if span.service == service
        else span
        for span in trace.spans
    ]
    return replace(trace, spans=sorted(moved, key=lambda span: span.start_ns), recordings=recordings)
