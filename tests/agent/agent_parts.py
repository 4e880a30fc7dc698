"""Real processes for the agent's tests: a server, an agent, recorded programs that do as they are told."""

import json
import signal
import socket
import subprocess
import sys
import time

from aftertrace.cli import client
from aftertrace.errors import NotFound
from aftertrace.settings import Settings

COMMAND = [sys.executable, "-P", "-c", "from aftertrace.cli.main import main; main()"]

APP = """\
import os, time

def priced(card, mail):
    total = len(card)
    if mail:
        raise ValueError("cannot charge " + mail)
    return total

def handle(card, mail):
    order = {"card": card, "who": [mail]}
    cents = priced(card, mail)
    return cents, order

def stuck(ready):
    before = "last words"
    print(ready, flush=True)
    time.sleep(60)

def work(n):
    done = n * 2
    return done
"""

# Does what the lines on its stdin say, under the real recorder, and answers each with a line of JSON.
CHILD = """
import json, os, runpy, select, sys, time
from pathlib import Path
from aftertrace import _native
from aftertrace.wire import handover

sock, program, service, with_source = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4] == "source"
_native.start(2, ring_bytes=1 << 20, defs_bytes=1 << 20, roots=[str(Path(program).parent) + "/"], libraries=[])
app = runpy.run_path(program)
uid = _native.process_uid().hex()

def connect():
    global line
    line = handover.connect(sock, 5)
    ring = handover.Ring(uid, os.getpid(), service, "lines", {"service.version": "7", "card": "4111 1111 1111 1111"})
    handover.send(line, ring, _native.ring_fd())
    answer = handover.decode(line.recv(4096))
    assert isinstance(answer, handover.Ok), answer
    if with_source:
        give_source()

def give_source():
    handover.send(line, handover.SourceFile(program, Path(program).read_bytes()))

def request(act, kind=2, parent=None, status=0, name="POST /pay"):
    span = _native.Span(name, kind, parent, {"http.request.method": "POST"})
    token = _native.attach(span)
    try:
        act(span)
    except Exception as error:
        span.record_exception(error)
        span.set_status(2, str(error))
    _native.detach(token)
    if status:
        span.set_attribute("http.response.status_code", status)
    span.end()
    return {"trace": format(span.trace_id, "032x"), "span": format(span.span_id, "016x")}

def kill(span):
    app["stuck"](json.dumps({"trace": format(span.trace_id, "032x"), "span": format(span.span_id, "016x")}))

def log_and_fail(span):
    _native.log(17, "pay", "charging %s for %d", ("4111-1111-1111-1111", 3), "pay.py", 9, "handle", None)
    app["handle"]("4111111111111111", "ann@example.org")

connect()
print(json.dumps({"uid": uid, "pid": os.getpid()}), flush=True)
kept = None
for order in sys.stdin:
    word, _, rest = order.strip().partition(" ")
    if word == "fail":
        parent = tuple(json.loads(rest)) if rest else None
        said = request(log_and_fail, parent=parent)
    elif word == "fine":
        said = request(lambda span: app["work"](3), parent=tuple(json.loads(rest)) if rest else None)
    elif word == "status":
        said = request(lambda span: app["work"](3), status=int(rest))
    elif word == "consumer":
        root = _native.Span("poll", 1, None)
        inner = _native.Span("consume", 5, root)
        inner.set_status(2, "poison")
        inner.end()
        root.end()
        said = {"trace": format(root.trace_id, "032x")}
    elif word == "batch":
        links = [(int(trace, 16), int(span, 16), None) for trace, span in json.loads(rest)]
        root = _native.Span("consume a batch", 5, None, links=links)
        root.set_status(2, "poison")
        root.end()
        said = {"trace": format(root.trace_id, "032x")}
    elif word == "inner":
        root = _native.Span("serve", 2, None)
        inner = _native.Span("try", 1, root)
        inner.record_exception(ValueError("handled above"))
        inner.set_status(2, "no")
        inner.end()
        root.end()
        said = {"trace": format(root.trace_id, "032x")}
    elif word == "keep":
        kept = _native.Span("slow", 2, None)
        token = _native.attach(kept)
        app["work"](1)
        _native.keep("look at ann@example.org")
        said = {"trace": format(kept.trace_id, "032x")}
    elif word == "open":
        kept = _native.Span("slow", 2, None)
        token = _native.attach(kept)
        app["work"](1)
        said = {"trace": format(kept.trace_id, "032x")}
    elif word == "go-on":
        app["work"](2)
        _native.detach(token)
        kept.end()
        said = {}
    elif word == "go-wrong":
        _native.detach(token)
        kept.set_status(2, "no")
        kept.end()
        said = {}
    elif word == "load":
        for _ in range(int(rest)):
            said = request(lambda span: [app["work"](n) for n in range(20)], name="POST /load")
    elif word == "stuck":
        request(kill)
    elif word == "source":
        give_source()
        said = {}
    elif word == "connect":
        connect()
        said = {}
    elif word == "level":
        assert select.select([line], [], [], 5)[0]
        said = {"levels": [handover.decode(one).level for one in line.recv(4096).splitlines()]}
    elif word == "end":
        _native.close()
        break
    print(json.dumps(said), flush=True)
"""


def wait_for(what, seconds=20.0):
    """What ``what()`` gives once it is true."""
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, f"waited {seconds} s for {what}"
        time.sleep(0.05)
    return found


class Server:
    """``aftertrace serve``; ``start`` again after ``end`` opens the same store at the same addresses."""

    def __init__(self, directory) -> None:
        self.directory = directory
        self.ports = ("0", "0")
        self.start()

    def start(self) -> None:
        api, otlp = self.ports
        words = ["serve", "--json", "--api-port", api, "--otlp-port", otlp, "--store", str(self.directory)]
        self.process = subprocess.Popen(
            [*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        said = json.loads(self.process.stdout.readline())
        self.api, self.otlp = said["api"], said["otlp"]
        self.ports = (self.api.rpartition(":")[2], self.otlp.rpartition(":")[2])
        self.settings = Settings(server=self.api)

    def end(self) -> int:
        self.process.terminate()
        try:
            return self.process.wait(40)
        finally:
            self.process.stdout.close()

    def bundle(self, trace):
        """What the server has of a trace that was kept; None: not yet."""
        try:
            found = client.bundle(trace, settings=self.settings)
        except NotFound:
            return None
        return found if found.keeps else None

    def kept(self, trace, seconds=20.0):
        return wait_for(lambda: self.bundle(trace), seconds)


class Agent:
    """``aftertrace agent`` in a directory of its own."""

    def __init__(self, directory, endpoint, *options: str) -> None:
        self.directory = directory
        self.socket = directory / "run" / "agent.sock"
        self.spool = directory / "spool"
        self._errors = directory / "agent.err"
        words = ["--json", "--socket", str(self.socket), "--spool", str(self.spool), "--endpoint", endpoint, *options]
        with self._errors.open("a") as errors:
            self.process = subprocess.Popen(
                [*COMMAND, "agent", *words], stdout=subprocess.PIPE, stderr=errors, text=True
            )
        self.said = json.loads(self.process.stdout.readline())

    def errors(self) -> str:
        return self._errors.read_text()

    def status(self):
        done = subprocess.run(
            [*COMMAND, "status", "--json", "--socket", str(self.socket)],
            capture_output=True,
            check=False,
            text=True,
            timeout=30,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def end(self, number=signal.SIGTERM) -> int:
        self.process.send_signal(number)
        try:
            return self.process.wait(20)
        finally:
            self.process.stdout.close()


class Child:
    """A recorded process."""

    def __init__(self, directory, sock, service="pay", source="source") -> None:
        app = directory / "app" / "app.py"
        if not app.exists():
            app.parent.mkdir()
            app.write_text(APP)
        argv = [sys.executable, "-P", "-c", CHILD, str(sock), str(app), service, source]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.app = app
        self.said = self._answer()

    def _answer(self):
        line = self.process.stdout.readline()
        assert line, "the child ended"
        return json.loads(line)

    def tell(self, order: str):
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        return self._answer() if order != "end" else self.process.wait(20)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(20)

    def close(self) -> None:
        self.process.kill()
        self.process.wait(20)
        self.process.stdin.close()
        self.process.stdout.close()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]
