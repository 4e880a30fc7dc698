"""Programs with secrets in them, and what recording them leaves: the ring as it is, and what goes over the wire."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from corpus import INNOCENT, NAMED, PATTERNS, parts
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from aftertrace.wire import zstd

HERE = Path(__file__).parent
CONTROL = 900  # a secret that no name gives away, and that must therefore be found

PRELUDE = """\
import argparse, collections, os, types
import vault
from vault import *

class Account:
    def __init__(self, user, password):
        self.user = user
        self.password = password
    @property
    def secret(self):
        return self.password + ""

def get_password(secret):
    return secret + ""
def create_access_token(secret):
    return secret.encode()
def generated_api_keys(secret):
    yield secret + ""
def takes(*, password):
    return len(password)
def takes_any(**fields):
    return len(fields)
def takes_positional(api_key, /):
    return len(api_key)
def closed_over(password):
    def inner():
        return len(password)
    return inner
"""


NAMED_CHILD = """
import os, sys, types
from pathlib import Path
from aftertrace import _native
program, helpers, ring, level = sys.argv[1:]
sys.path.insert(0, helpers)
import vault
root = str(Path(program).parent) + "/"
_native.start(int(level), ring_bytes=1 << 23, defs_bytes=1 << 20, roots=[root], libraries=[])
module = types.ModuleType("planted")
exec(compile(Path(program).read_text(), program, "exec"), vars(module))
for name, case in list(vars(module).items()):
    if name.startswith("case_"):
        span = _native.Span(name)
        vault.SPANS.append(span)
        try:
            case()
        except LookupError:
            pass
        span.end()
status = _native.status()
assert not status["lost"] and not status["doubts"], status
Path(ring).write_bytes(os.pread(_native.ring_fd(), 1 << 30, 0))
"""


def named_program() -> str:
    """A function for each line of NAMED; each ends by an exception, so that its locals are recorded once more."""
    cases = [*enumerate(NAMED), (CONTROL, "plain = S")]
    body = (f"def case_{n}():\n    {re.sub(r'\bS\b', f'take({n})', line)}\n    fail()\n" for n, line in cases)
    return PRELUDE + "\n".join(body)


def named_ring(directory: Path, level: int) -> bytes:
    """The whole ring after that program ran."""
    program, ring = directory / "program.py", directory / f"ring-{level}"
    program.write_text(named_program())
    words = [sys.executable, "-P", "-c", NAMED_CHILD, str(program), str(HERE), str(ring), str(level)]
    subprocess.run(words, check=True, timeout=120)
    return ring.read_bytes()


# -- by their form

SOURCE_SECRETS = [
    ('PASSWORD = "«hunter2literal»"', "hunter2literal"),
    ('URL = "postgresql://«ann:hunter2source»@db/x"', "ann:hunter2source"),
    ('AUTH = "Bearer «abc123abc123abc123»"', "abc123abc123abc123"),
    ('HOOK = {"client_secret": "«hunter2nested»"}', "hunter2nested"),
]
CARD = 4012888888881881

PATTERN_PROGRAM = """\
{constants}

def case(note, log, span):
    raw = note.encode()
    payload = {{"items": [note, {{"k": raw}}], note: 1}}
    span.set_attribute("note", note)
    span.set_attribute("notes", [note])
    span.add_event("noted", {{"note": note}})
    log(note)
    log("%s", note)
    raise ValueError(note, "because of " + note)

def pay(number, log):
    numbers = [number]
    log("paid with %d", number)
    log("login of %s, password=%s", "ann", "hunter2" + "argument")
    return len(numbers)

def serve(notes, number, log, child):
    pay(number, log)
    for note in notes:
        with child(note) as span:
            try:
                case(note, log, span)
            except ValueError:
                pass
    raise RuntimeError(notes[0])
"""

PATTERN_CHILD = """
import json, os, runpy, sys
from pathlib import Path
from aftertrace import _native
from aftertrace.wire import handover

sock, program, card = sys.argv[1:]
notes = json.load(sys.stdin)
_native.start(2, ring_bytes=1 << 24, defs_bytes=1 << 20, roots=[str(Path(program).parent) + "/"], libraries=[])
serve = runpy.run_path(program)["serve"]
line = handover.connect(Path(sock), 5)
said = {"service.version": "7", "deploy.password": "hunter2resource", "db": "redis://:hunter2said@cache"}
handover.send(line, handover.Ring(_native.process_uid().hex(), os.getpid(), "safe", "lines", said), _native.ring_fd())
line.recv(4096)
handover.send(line, handover.SourceFile(program, Path(program).read_bytes()))

def log(message, *args):
    _native.log(9, "app password=hunter2logger", message, args, "app.py", 1, "case", None)

span = _native.Span("serve", 2, scope="password=hunter2scope")
token = _native.attach(span)
try:
    serve(notes, int(card), log, _native.Span)
except RuntimeError as error:
    span.record_exception(error)
    span.set_status(2, str(error))
_native.keep(notes[0])
_native.detach(token)
span.end()
ring = os.pread(_native.ring_fd(), 1 << 30, 0)
missing = [note for note in notes if note.encode()[:200] not in ring]
status = _native.status()
print(json.dumps({"missing": missing, "lost": status["lost"], "doubts": status["doubts"]}), flush=True)
sys.stdin.close()
line.recv(1)
"""


def pattern_program() -> str:
    return PATTERN_PROGRAM.format(
        constants="\n".join(line.replace("«", "").replace("»", "") for line, _ in SOURCE_SECRETS)
    )


def notes() -> list[str]:
    return [text for text, _ in map(parts, PATTERNS)] + INNOCENT


def run_patterns(directory: Path, sock: Path) -> subprocess.Popen[str]:
    """A recorded process that has said that every note is in its ring, and waits."""
    program = directory / "app" / "program.py"
    program.parent.mkdir()
    program.write_text(pattern_program())
    words = [sys.executable, "-P", "-c", PATTERN_CHILD, str(sock), str(program), str(CARD)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(notes()))
    process.stdin.close()
    assert json.loads(process.stdout.readline()) == {"missing": [], "lost": 0, "doubts": 0}
    return process


# -- what leaves


class Receiver:
    """An HTTP server that takes whatever is posted."""

    def __init__(self, port: int) -> None:
        self.got: list[tuple[str, str, bytes]] = []  # path, encoding, body
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((self.path, self.headers.get("Content-Encoding", ""), body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def spooled(directory: Path) -> list[tuple[str, str, bytes]]:
    """The requests in a spool, as a receiver would have got them."""
    names = sorted(name for name in os.listdir(directory) if not name.endswith(".part"))
    return [
        (
            "/v1/traces" if ".traces" in name else "/v1/logs",
            "gzip" if name.endswith(".gz") else "",
            (directory / name).read_bytes(),
        )
        for name in names
    ]


def unpacked(requests: list[tuple[str, str, bytes]]) -> dict[str, bytes]:
    """All bytes of some requests, nothing compressed: traces, logs (without bodies in bytes), recordings, sources."""
    found = {"traces": b"", "logs": b"", "recordings": b"", "sources": b"", "fleet": b""}
    pieces: dict[str, dict[int, bytes]] = {}
    for path, encoding, body in requests:
        plain = gzip.decompress(body) if encoding == "gzip" else body
        if path != "/v1/logs":
            found["fleet" if path.endswith("/fleet") else "traces"] += plain
            continue
        asked = ExportLogsServiceRequest.FromString(plain)
        for record in (one for r in asked.resource_logs for scope in r.scope_logs for one in scope.log_records):
            attributes = {one.key: one.value for one in record.attributes}
            if record.event_name == "aftertrace.source":
                found["sources"] += zstd.decompress(record.body.bytes_value, 1 << 24)
            elif record.event_name == "aftertrace.recording":
                of = pieces.setdefault(attributes["aftertrace.recording.id"].string_value, {})
                of[attributes["aftertrace.recording.piece"].int_value] = record.body.bytes_value
            record.body.ClearField("bytes_value")
        found["logs"] += asked.SerializeToString()
    for of in pieces.values():
        found["recordings"] += zstd.decompress(b"".join(of[number] for number in sorted(of)), 1 << 28)
    return found
