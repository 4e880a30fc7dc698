"""Outbox and shipper against a real HTTP server whose answers a test chooses."""

import os
import stat
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from agent_parts import Agent, Child, free_port, wait_for

from aftertrace.agent import outbox as outboxes
from aftertrace.agent.outbox import Outbox, Request
from aftertrace.agent.ship import Shipper, endpoint
from aftertrace.agent.tell import Counts, Teller
from aftertrace.errors import UsageError


class Peer:
    """Answers with ``answers`` in turn, then 200; keeps what it got."""

    def __init__(self, port=0, answers=()):
        self.answers, self.got, self.connections = list(answers), [], 0
        self.hangs_up = False  # without saying so
        peer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self):
                peer.connections += 1
                super().setup()

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                peer.got.append((time.monotonic(), self.path, body, dict(self.headers)))
                status, headers, answer = peer.answers.pop(0) if peer.answers else (200, {}, b"")
                self.send_response(status)
                for name, value in {"Content-Length": str(len(answer)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)
                self.close_connection = peer.hangs_up

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def bodies(self):
        return [body for _, _, body, _ in self.got]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class Sender:
    def __init__(self, directory, port, limit=1 << 20, token=""):
        self.counts, self.teller = Counts(), Teller()
        self.outbox = Outbox(directory / "spool", limit, self.counts, self.teller)
        self.shipper = Shipper(endpoint(f"http://127.0.0.1:{port}/in"), token, self.outbox, self.counts, self.teller)
        self.shipper.start()

    def put(self, body, path="/v1/logs", encoding=""):
        self.outbox.put(Request(path, body, encoding))


@pytest.fixture
def ends():
    things = []
    yield things.append
    for thing in reversed(things):
        thing()


def start(ends, tmp_path, answers=(), **options):
    peer = Peer(answers=answers)
    ends(peer.close)
    sender = Sender(tmp_path, peer.port, **options)
    ends(lambda: sender.shipper.stop(1.0))
    return peer, sender


def test_requests_go_in_order_over_one_connection(ends, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    peer, sender = start(ends, tmp_path, token="secret")
    sender.put(b"zipped", "/v1/traces", "gzip")
    for n in range(20):
        sender.put(b"%d" % n)
    wait_for(lambda: len(peer.got) == 21)
    assert peer.bodies() == [b"zipped", *(b"%d" % n for n in range(20))]
    assert peer.connections == 1
    _, path, _, headers = peer.got[0]
    assert path == "/in/v1/traces"
    assert headers["Authorization"] == "Bearer secret"
    assert (headers["Content-Encoding"], headers["Content-Type"]) == ("gzip", "application/x-protobuf")
    assert "Content-Encoding" not in peer.got[1][3]
    wait_for(sender.outbox.empty)
    assert sender.counts.requests == 21
    assert not (tmp_path / "spool").exists()


def test_retry_after_is_waited_for(ends, tmp_path):
    peer, sender = start(ends, tmp_path, answers=[(429, {"Retry-After": "1"}, b"")])
    sender.put(b"one")
    wait_for(lambda: len(peer.got) == 2)
    assert peer.got[1][0] - peer.got[0][0] >= 0.95
    assert peer.bodies() == [b"one", b"one"]
    wait_for(sender.outbox.empty)
    assert sender.counts.spooled == 1
    assert os.listdir(tmp_path / "spool") == []


def test_errors_of_the_server_are_tried_again(ends, tmp_path):
    peer, sender = start(ends, tmp_path, answers=[(500, {}, b""), (503, {}, b""), (408, {}, b"")])
    sender.put(b"one")
    wait_for(lambda: len(peer.got) == 4)
    wait_for(sender.outbox.empty)
    assert sender.counts.dropped == 0


def test_what_the_server_refuses_is_dropped_counted_and_told_once(ends, tmp_path, caplog):
    peer, sender = start(ends, tmp_path, answers=[(400, {}, b"no"), (400, {}, b"no")])
    for body in (b"bad", b"bad too", b"good"):
        sender.put(body)
    wait_for(lambda: len(peer.got) == 3)
    wait_for(sender.outbox.empty)
    assert (sender.counts.dropped, sender.counts.requests) == (2, 1)
    assert caplog.text.count("refuses what is sent (400)") == 1


def test_items_that_were_not_taken_are_counted_and_told(ends, tmp_path, caplog):
    _, sender = start(ends, tmp_path, answers=[(200, {}, b"\x0a\x08\x08\x02\x12\x04none")])
    sender.put(b"one")
    wait_for(lambda: sender.counts.rejected == 2)
    assert "did not take 2 of what was sent: none" in caplog.text


def test_a_kept_connection_that_the_server_closed_is_made_anew(ends, tmp_path):
    peer, sender = start(ends, tmp_path)
    peer.hangs_up = True
    for n, body in enumerate((b"one", b"two", b"three"), 1):
        sender.put(body)
        wait_for(lambda n=n: len(peer.got) == n)
    assert (peer.connections, sender.counts.spooled) == (3, 0)


def test_the_spool_is_private_bounded_and_drained_oldest_first(ends, tmp_path, caplog):
    port = free_port()
    sender = Sender(tmp_path, port, limit=5000)
    ends(lambda: sender.shipper.stop(1.0))
    bodies = [bytes([n]) * 1000 for n in range(10)]
    for body in bodies:
        sender.put(body)
    spool = tmp_path / "spool"
    wait_for(lambda: sender.counts.dropped == 5)
    assert [file.read_bytes() for file in sorted(spool.iterdir())] == bodies[5:]
    assert stat.S_IMODE(spool.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in spool.iterdir()} == {0o600}
    assert caplog.text.count("is away") == caplog.text.count("the oldest") == 1
    peer = Peer(port)
    ends(peer.close)
    wait_for(lambda: peer.bodies() == bodies[5:])
    wait_for(sender.outbox.empty)
    assert list(spool.iterdir()) == []
    assert "the server is back" in caplog.text


def test_an_agent_sends_what_the_one_before_it_left(ends, tmp_path):
    first = Sender(tmp_path, free_port())
    first.put(b"left", "/v1/traces", "gzip")
    wait_for(lambda: first.counts.spooled == 1)
    first.shipper.stop(0.1)
    (tmp_path / "spool" / "readme").write_text("not ours")
    (tmp_path / "spool" / "0-x.logs.part").write_text("half written")
    peer, sender = start(ends, tmp_path)
    wait_for(lambda: peer.bodies() == [b"left"])
    assert peer.got[0][1] == "/in/v1/traces"
    wait_for(sender.outbox.empty)
    assert sorted(os.listdir(tmp_path / "spool")) == ["0-x.logs.part", "readme"]


def test_without_a_disk_memory_holds_the_newest(ends, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(outboxes, "MEMORY", 5000)
    (tmp_path / "spool").write_text("no directory")
    port = free_port()
    sender = Sender(tmp_path, port)
    ends(lambda: sender.shipper.stop(1.0))
    bodies = [bytes([n]) * 1000 for n in range(10)]
    for body in bodies:
        sender.put(body)
    wait_for(lambda: sender.counts.dropped == 5)
    assert caplog.text.count("cannot write to the spool") == 1
    peer = Peer(port)
    ends(peer.close)
    wait_for(lambda: peer.bodies() == bodies[5:])


def test_stopping_sends_what_waits(tmp_path):
    peer = Peer()
    sender = Sender(tmp_path, peer.port)
    for n in range(50):
        sender.put(b"%d" % n)
    sender.shipper.stop(5.0)
    peer.close()
    assert len(peer.got) == 50
    assert not (tmp_path / "spool").exists()


@pytest.mark.parametrize("url", ["", "nowhere", "ftp://x", "http://", "http://a:b", "http://a:99999", "http://[::1"])
def test_an_endpoint_must_be_an_address(url):
    with pytest.raises(UsageError):
        endpoint(url)


def test_endpoints():
    assert endpoint("https://x.example/base/") == endpoint("https://x.example:443/base")
    assert endpoint("http://[::1]:4318").host == "::1"


def test_while_the_server_is_away_what_is_kept_is_spooled_together(tmp_path):
    """Many small requests would keep a server that is back busy for long."""
    agent = Agent(tmp_path, f"http://127.0.0.1:{free_port()}")
    child = Child(tmp_path, agent.socket)
    try:
        child.tell("fail")
        wait_for(lambda: agent.status()["spool"]["files"] >= 2)
        began = agent.status()
        for _ in range(12):
            child.tell("fail")
            time.sleep(0.6)
        wait_for(lambda: agent.status()["counts"]["recordings"] >= 13)
        ended = agent.status()
        windows = (ended["uptime_s"] - began["uptime_s"]) / 5 + 2
        assert ended["spool"]["files"] + ended["spool"]["waiting"] <= began["spool"]["files"] + 2 * windows
    finally:
        child.close()
        agent.end()
