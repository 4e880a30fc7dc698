"""The agent between real recorded processes and a real server."""

import json
import os
import random
import signal
import socket
import stat
import subprocess
import time

import pytest
from agent_parts import APP, COMMAND, Agent, Child, wait_for

from aftertrace.model import StatusCode
from aftertrace.reconstruct import build
from aftertrace.reconstruct.execution import StepKind
from aftertrace.wire import handover


def line_of(text: str) -> int:
    return next(number for number, line in enumerate(APP.splitlines(), 1) if text in line)


def written(execution, name):
    """The values that steps gave a name, in order."""
    return [write.value for step in execution.steps for write in step.writes if write.name == name]


def test_an_unhandled_exception_is_kept_with_its_steps_spans_log_and_source(agent, server, child):
    process = child()
    trace = process.tell("fail")["trace"]
    found = server.kept(trace)
    (span,) = found.spans
    assert (span.name, span.status, span.service) == ("POST /pay", StatusCode.ERROR, "pay")
    assert span.resource.attributes["process.pid"] == process.said["pid"]
    assert span.resource.attributes["service.version"] == "7"
    assert 0 < span.end_ns - span.start_ns < 5_000_000_000
    assert [event.name for event in span.events] == ["exception"]
    (keep,) = found.keeps
    assert (keep.trigger, keep.process_uid) == ("unhandled-exception", process.said["uid"])
    assert keep.reason == "ValueError: cannot charge <redacted:email>"
    (log,) = found.logs
    assert (log.body, log.severity, log.span_id) == ("charging <redacted:card> for 3", 17, span.span_id)
    assert list(found.sources.values()) == [APP]
    assert found.problems == []
    execution = build.build(found)
    assert execution.gaps == []
    assert [value.scalar for value in written(execution, "total")] == [16]
    raised = next(step for step in execution.steps if step.kind is StepKind.RAISE)
    assert raised.line == line_of("raise ValueError")
    assert len(execution.sources) == 1


def test_no_secret_leaves_the_host(agent, server, child):
    found = server.kept(child().tell("fail")["trace"])
    everything = repr((found.spans, found.logs, found.keeps)).encode() + b"".join(found.recordings)
    for secret in (b"4111111111111111", b"4111-1111-1111-1111", b"4111 1111 1111 1111", b"ann@example.org"):
        assert secret not in everything
    cards = written(build.build(found), "card")
    assert [card.scalar for card in cards] == ["<redacted:card>"] * len(cards)
    assert cards


def test_what_went_well_is_kept_only_as_a_sibling_of_what_did_not(agent, server, child):
    process = child()
    fine = [process.tell(order)["trace"] for order in ("fine", "status 200", "status 404", "inner")]
    failed = server.kept(process.tell("fail")["trace"])
    siblings = [server.kept(trace) for trace in fine[:3]]
    assert server.bundle(fine[3]) is None  # on another route
    assert [[(keep.role, keep.route, keep.weight) for keep in one.keeps] for one in siblings] == [
        [("sibling", "POST /pay", 1.0)]
    ] * 3
    (keep,) = failed.keeps
    assert (keep.role, keep.route, keep.title) == ("failure", "POST /pay", "ValueError at app.py:6 priced")
    assert agent.status()["counts"]["kept"] == 4


def test_a_request_that_stays_open_is_kept_while_it_is(tmp_path, server, monkeypatch):
    """Its open span is told, and told again when it has ended."""
    monkeypatch.setenv("AFTERTRACE_HANG_S", "0.5")
    agent = Agent(tmp_path, server.otlp)
    process = Child(tmp_path, agent.socket)
    try:
        trace = process.tell("open")["trace"]
        hanging = server.kept(trace)
        assert [keep.trigger for keep in hanging.keeps] == ["in-flight"]
        assert [(span.name, span.end_ns) for span in hanging.spans] == [("slow", 0)]
        process.tell("go-on")
        ended = wait_for(lambda: [span for span in server.bundle(trace).spans if span.end_ns])
        assert [span.name for span in ended] == ["slow"]
    finally:
        process.close()
        assert agent.end() == 0, agent.errors()


@pytest.mark.parametrize(
    ("order", "trigger", "reason"),
    [
        ("status 503", "server-error", "HTTP 503 on POST /pay"),
        ("consumer", "error-status", "poison"),
        ("keep", "keep", "look at <redacted:email>"),
    ],
)
def test_other_triggers(agent, server, child, order, trigger, reason):
    found = server.kept(child().tell(order)["trace"])
    assert [(keep.trigger, keep.reason) for keep in found.keeps] == [(trigger, reason)]


def test_sigkill_in_the_middle_of_a_request_keeps_its_last_steps(agent, server, child):
    process = child()
    process.tell("fine")
    told = process.tell("stuck")
    time.sleep(0.3)  # it has said so on the line before the one where it sleeps
    process.kill()
    found = server.kept(told["trace"])
    (span,) = found.spans
    assert (span.span_id, span.end_ns, span.status) == (told["span"], 0, StatusCode.ERROR)
    assert "died" in span.status_message
    assert [keep.trigger for keep in found.keeps] == ["process-death"]
    execution = build.build(found)
    assert [value.scalar for value in written(execution, "before")] == ["last words"]
    assert max(step.line for step in execution.steps) == line_of("time.sleep(60)")
    assert agent.status()["processes"] == []


def test_an_end_in_order_is_no_death(agent, server, child):
    process = child()
    process.tell("fine")
    assert process.tell("end") == 0
    wait_for(lambda: not agent.status()["processes"])
    assert agent.status()["counts"]["kept"] == 0


def test_every_process_of_a_kept_trace_ships_its_part(agent, server, child):
    one, other = child("front"), child("back")
    first = one.tell("fine")
    parent = json.dumps([int(first["trace"], 16), int(first["span"], 16), 1, ""])
    assert other.tell(f"fail {parent}")["trace"] == first["trace"]
    found = server.kept(first["trace"])
    assert {span.service for span in found.spans} == {"front", "back"}
    assert [keep.service for keep in found.keeps] == ["back"]
    execution = build.build(found)
    assert {process.uid for process in execution.processes} == {one.said["uid"], other.said["uid"]}
    assert [value.scalar for value in written(execution, "done")] == [6]


def test_what_comes_later_for_a_kept_trace_is_shipped_too(agent, server, child):
    process = child()
    trace = process.tell("keep")["trace"]
    before = server.kept(trace)
    assert before.spans == []  # not ended yet
    assert [value.scalar for value in written(build.build(before), "done")] == [2]
    process.tell("go-on")
    found = wait_for(lambda: (later := server.bundle(trace)).spans and later)
    assert [span.name for span in found.spans] == ["slow"]
    assert len(found.keeps) == 1
    wait_for(lambda: [v.scalar for v in written(build.build(server.bundle(trace)), "done")] == [2, 4])


def test_a_source_that_comes_late_is_added(agent, server, child):
    process = child("pay", "no-source")
    trace = process.tell("fail")["trace"]
    assert server.kept(trace).sources == {}
    process.tell("source")
    found = wait_for(lambda: (later := server.bundle(trace)).sources and later)
    assert len(build.build(found).sources) == 1


def test_an_agent_that_was_restarted_takes_the_rings_again_and_doubles_nothing(agent, server, child, tmp_path):
    process = child()
    trace = process.tell("fail")["trace"]
    before = build.build(server.kept(trace))
    assert agent.end(signal.SIGKILL) == -signal.SIGKILL
    agent.__init__(tmp_path, server.otlp)
    process.tell("connect")
    wait_for(lambda: agent.status()["counts"]["requests"] >= 2)
    found = server.bundle(trace)
    after = build.build(found)
    assert [step.address for step in after.steps] == [step.address for step in before.steps]
    assert len(found.keeps) == len(found.spans) == len(found.logs) == 1
    again = process.tell("fail")["trace"]
    assert len(server.kept(again).spans) == 1


def test_a_process_that_connects_again_goes_on(agent, server, child):
    process = child()
    process.tell("fine")
    process.tell("connect")
    (state,) = agent.status()["processes"]
    assert (state["connected"], state["pid"]) == (True, process.said["pid"])
    assert len(server.kept(process.tell("fail")["trace"]).spans) == 1


# -- the server is away


def test_what_is_kept_while_the_server_is_down_arrives_later(tmp_path, server, child, agent):
    process = child()
    assert server.end() == 0
    traces = [process.tell("fail")["trace"] for _ in range(3)]
    spooled = wait_for(lambda: (spool := agent.status()["spool"])["files"] >= 3 and spool)
    assert spooled["bytes"] > 0
    assert stat.S_IMODE(agent.spool.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in agent.spool.iterdir()} == {0o600}
    assert agent.end() == 0  # and what is in the spool outlives the agent
    agent.__init__(tmp_path, server.otlp)
    server.start()
    for trace in traces:
        assert build.build(server.kept(trace, 40)).steps
    wait_for(lambda: agent.status()["spool"]["files"] == 0)
    assert list(agent.spool.iterdir()) == []


def test_sigterm_sends_what_is_pending(agent, server, child):
    trace = child().tell("fail")["trace"]
    assert agent.end() == 0
    assert server.kept(trace, 5).spans
    agent.__init__(agent.directory, server.otlp)


def test_a_server_that_hangs_holds_nothing_up(tmp_path, agent, child):
    assert agent.end() == 0
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        agent.__init__(tmp_path, f"http://127.0.0.1:{deaf.getsockname()[1]}")
        process = child()
        process.tell("fail")
        wait_for(lambda: agent.status()["spool"]["waiting"])
        process.tell("load 200")
        wait_for(lambda: agent.status()["memory"]["traces"] == 201)
        assert agent.end() == 0
    assert list(agent.spool.iterdir())
    agent.__init__(tmp_path, "http://127.0.0.1:1")


def test_a_spool_that_cannot_be_written_is_told_once_and_memory_is_used(tmp_path, server, child, agent):
    agent.spool.write_text("no directory")
    process = child()
    assert server.end() == 0
    traces = [process.tell("fail")["trace"] for _ in range(3)]
    wait_for(lambda: agent.status()["spool"]["waiting"] >= 3)
    server.start()
    for trace in traces:
        server.kept(trace, 40)
    assert agent.errors().count("cannot write to the spool") == 1


# -- hostile peers


def test_garbage_closes_its_own_connection_only(agent, server, child):
    process = child()
    for garbage in (
        b"\x00\xff\n",
        b"{}\n",
        b'{"type":"ring"}\n',
        b"[" * 100_000 + b"\n",
        b'{"type":"ok","agent":""}\n',
    ):
        with handover.connect(agent.socket, 5) as line:
            line.sendall(garbage)
            assert line.recv(100) == b""
    with handover.connect(agent.socket, 5) as line:
        line.sendall(handover.encode(handover.SourceFile("x.py", b"pass")))
        assert line.recv(100) == b""
    assert agent.status()["counts"]["refused"] == 6
    assert server.kept(process.tell("fail")["trace"]).spans


@pytest.mark.parametrize("content", [b"", b"ATRING01" + bytes(8000), os.urandom(1 << 16)])
def test_what_is_no_ring_is_refused(agent, content):
    descriptor = os.memfd_create("none")
    os.write(descriptor, content)
    with handover.connect(agent.socket, 5) as line:
        handover.send(line, handover.Ring("ab" * 16, os.getpid(), "x", "lines"), descriptor)
        answer = handover.decode(line.recv(4096))
        assert isinstance(answer, handover.Refused)
        assert line.recv(100) == b""
    os.close(descriptor)


def test_corrupt_rings_do_no_harm(agent, server, child):
    """Copies of a ring that was written by the real recorder, with bytes changed at random."""
    process = child("good")
    process.tell("load 30")
    process.tell("fail")
    with open(f"/proc/{process.said['pid']}/fd/{ring_descriptor(process.said['pid'])}", "rb") as file:
        ring = file.read()
    chance, lines = random.Random(2), []
    for number in range(12):
        copy = bytearray(ring)
        copy[32:48] = bytes([number + 1]) * 16
        used = len(ring) if number % 2 else 1 << 17
        for _ in range(400):
            copy[chance.randrange(64, used)] = chance.randrange(256)
        descriptor = os.memfd_create("corrupt")
        os.write(descriptor, copy)
        lines.append(handover.connect(agent.socket, 5))
        handover.send(lines[-1], handover.Ring(f"{number + 1:02x}" * 16, os.getpid(), "bad", "lines"), descriptor)
        assert isinstance(handover.decode(lines[-1].recv(4096)), handover.Ok | handover.Refused)
        os.close(descriptor)
    for line in lines:
        line.close()
    assert server.kept(process.tell("fail")["trace"]).spans
    assert "Traceback" not in agent.errors()
    assert "could not be packed" not in agent.errors()


def ring_descriptor(pid: int) -> int:
    for name in os.listdir(f"/proc/{pid}/fd"):
        if "memfd:" in os.readlink(f"/proc/{pid}/fd/{name}"):
            return int(name)
    raise AssertionError("no memfd")


# -- commands


def test_a_level_reaches_the_processes_of_a_service(agent, server, child):
    one, other = child("front"), child("back")
    with handover.connect(agent.socket, 5) as line:
        handover.send(line, handover.SetLevel("spans", "back"))
        assert json.loads(line.recv(100)) == {"told": 1}
        handover.send(line, handover.SetLevel("calls"))
        assert json.loads(line.recv(100)) == {"told": 2}
    assert one.tell("level") == {"levels": ["calls"]}
    assert other.tell("level") == {"levels": ["spans", "calls"]}


def test_status_names_the_processes(agent, server, child):
    process = child("front")
    process.tell("load 5")
    wait_for(lambda: agent.status()["processes"][0]["read_bytes"])
    status = agent.status()
    (state,) = status["processes"]
    assert (state["service"], state["pid"], state["level"]) == ("front", process.said["pid"], "lines")
    assert status["memory"]["traces"] == 5
    shown = subprocess.run(
        [*COMMAND, "status", "--socket", str(agent.socket)], capture_output=True, check=False, text=True
    )
    assert shown.returncode == 0
    assert "front" in shown.stdout
    assert str(process.said["pid"]) in shown.stdout


def test_status_without_an_agent_says_so(tmp_path):
    words = ["status", "--socket", str(tmp_path / "none.sock")]
    done = subprocess.run([*COMMAND, *words], capture_output=True, check=False, text=True)
    assert (done.returncode, done.stdout) == (5, "")
    assert "no-agent" in done.stderr


def test_a_second_agent_is_refused_and_the_first_goes_on(agent):
    words = ["agent", "--socket", str(agent.socket)]
    done = subprocess.run([*COMMAND, *words], capture_output=True, check=False, text=True, timeout=30)
    assert done.returncode == 5
    assert "agent-runs" in done.stderr
    assert agent.status()["pid"] == agent.said["pid"]


def test_a_stale_socket_is_replaced_and_nothing_is_left_behind(tmp_path, server):
    first = Agent(tmp_path, server.otlp)
    assert stat.S_IMODE(first.socket.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(first.socket.stat().st_mode) == 0o600
    first.end(signal.SIGKILL)
    assert first.socket.exists()
    second = Agent(tmp_path, server.otlp)
    assert second.status()["pid"] == second.said["pid"]
    assert second.end(signal.SIGINT) == 0
    assert not second.socket.exists()


@pytest.mark.parametrize(
    ("option", "value"), [("--endpoint", "nowhere"), ("--memory", "lots"), ("--socket", "/x" * 80)]
)
def test_bad_options_are_told(option, value):
    done = subprocess.run([*COMMAND, "agent", option, value], capture_output=True, check=False, text=True, timeout=30)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")
