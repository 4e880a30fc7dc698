"""`aftertrace keep`: rules, what agents remember now, one request; why one was not kept. All parts are real."""

import json
import os
import signal
import subprocess
import time
import urllib.request

import pytest
from agent_parts import COMMAND, Agent, Child, wait_for

from aftertrace.model import Resource, Span, SpanKind
from aftertrace.wire.otlp import encode_traces


@pytest.fixture
def cli(server):
    def run(*words, code=0):
        env = {**os.environ, "AFTERTRACE_SERVER": server.api, "COLUMNS": "200"}
        done = subprocess.run([*COMMAND, *words], capture_output=True, check=False, text=True, timeout=120, env=env)
        assert done.returncode == code, done.stderr
        return done

    yield run
    for one in json.loads(run("keep", "--list", "--json").stdout)["rules"]:
        run("keep", "--remove", one["id"])


def by_rule(server, trace):
    """Kept by a rule: as a healthy sibling of one that was, any may be."""
    found = server.bundle(trace)
    return found is not None and any(keep.trigger == "rule" for keep in found.keeps)


def not_kept(ready, server, process):
    """A request that no trigger kept: on a busy machine some are slow for their route."""
    count = iter(range(1, 100))

    def one():
        trace = process.tell("status 404")["trace"]
        wait_for(lambda: ready.status()["memory"]["traces"] >= next(count))
        time.sleep(3)  # as long as a mark may take
        return trace if server.bundle(trace) is None else None

    return wait_for(one)


def kept_by_rule(server, process):
    """A request that is kept once the rule has reached the agent."""
    told = []

    def one():
        told.append(process.tell("fine")["trace"])
        return next((trace for trace in told if by_rule(server, trace)), None)

    return wait_for(one)


@pytest.fixture
def ready(agent):
    wait_for(lambda: agent.status()["fleet"]["state"] == "on")
    return agent


def test_a_rule_keeps_what_fits_from_now_on(ready, server, child, cli):
    process = child()
    before = process.tell("fine")["trace"]
    answer = json.loads(cli("keep", "service=pay", "http.request.method=POST", "--for", "10m", "--json").stdout)
    assert answer["rule"]["expression"] == "service=pay http.request.method=POST"
    keeps = server.kept(kept_by_rule(server, process)).keeps
    assert ("rule", "service=pay http.request.method=POST") in [(keep.trigger, keep.reason) for keep in keeps]
    assert not by_rule(server, before)
    (listed,) = json.loads(cli("keep", "--list", "--json").stdout)["rules"]
    assert listed["id"] == answer["rule"]["id"]
    assert 500 < listed["left_s"] <= 600
    server.end()  # rules outlive the server
    server.start()
    assert listed["id"] in cli("keep", "--list").stdout
    kept_by_rule(server, process)
    cli("keep", "--remove", listed["id"])
    assert json.loads(cli("keep", "--list", "--json").stdout)["rules"] == []
    cli("keep", "--remove", listed["id"], code=3)
    time.sleep(1)
    after = process.tell("fine")["trace"]
    server.kept(process.tell("fail")["trace"])
    assert not by_rule(server, after)


def test_a_rule_that_does_not_fit_keeps_nothing(ready, server, child, cli):
    process = child()
    rule = json.loads(cli("keep", "duration>1h", "--json").stdout)["rule"]
    time.sleep(1)
    trace = process.tell("fine")["trace"]
    server.kept(process.tell("fail")["trace"])
    assert not by_rule(server, trace)
    cli("keep", "--remove", rule["id"])


def test_live_keeps_what_is_remembered_now(ready, server, child, cli):
    process, other = child("pay"), child("mail")
    traces = [process.tell("fine")["trace"] for _ in range(14)]
    not_meant = other.tell("fine")["trace"]
    wait_for(lambda: ready.status()["memory"]["traces"] >= 15)
    done = cli("keep", "service=pay status=unset", "--live")
    assert "1 of 1 agent answered: 14 requests kept" in done.stdout
    for trace in traces:
        wait_for(lambda trace=trace: by_rule(server, trace))
    assert not by_rule(server, not_meant)
    assert json.loads(cli("keep", "--list", "--json").stdout)["rules"] == []


def test_why_says_why_not_and_keep_keeps_it(ready, server, child, cli):
    process = child()
    trace = not_kept(ready, server, process)
    for question in ("why", "show"):
        said = cli(question, trace, code=3).stderr
        assert "error: not-kept: POST /pay 404 in pay took" in said
        assert "no trigger matched" in said
        assert f"aftertrace keep {trace[:16]}" in said
        assert 'aftertrace keep \'route="POST /pay"' in said
    answer = json.loads(cli("keep", trace[:16], "--json").stdout)
    assert answer["state"] == "kept-now", (answer, server.kept(trace).keeps)
    (keep,) = server.kept(trace).keeps
    assert keep.trigger == "keep"
    assert "was kept already" in cli("keep", trace).stdout
    assert "POST /pay" in cli("show", trace).stdout


def test_what_only_others_sent_spans_of(ready, server, child, cli):
    """Spans of another service came, nothing of ours was kept: the answers of what is there say so."""
    process = child()
    trace = not_kept(ready, server, process)
    now = time.time_ns()
    resource = Resource({"service.name": "edge"})
    span = Span(trace, "0123456789abcdef", "", "GET /", SpanKind.SERVER, now - 5_000_000, now, resource)
    headers = {"Content-Type": "application/x-protobuf"}
    request = urllib.request.Request(f"{server.otlp}/v1/traces", encode_traces([span]), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200
    for question in ("why", "show"):
        said = cli(question, trace).stdout
        assert "edge" in said
        assert "not kept: POST /pay 404 in pay took" in said
        assert f"aftertrace keep {trace[:16]}" in said
    assert json.loads(cli("why", trace, "--json").stdout)["not_kept"]["slug"] == "not-kept"


def test_what_nobody_remembers_is_told(ready, cli):
    said = cli("why", "ab" * 16, code=3).stderr
    assert "none of 1 agent remembers it" in said
    cli("keep", "ab" * 16, code=3)


def test_what_was_overwritten_is_told(tmp_path, server, cli):
    agent = Agent(tmp_path, server.otlp, "--memory", "1MiB")
    process = Child(tmp_path, agent.socket)
    try:
        wait_for(lambda: agent.status()["fleet"]["state"] == "on")
        traces = [process.tell("fine")["trace"] for _ in range(8)]
        while agent.status()["processes"][0]["read_bytes"] < 3 << 20:
            process.tell("load 200")
        time.sleep(3)
        trace = next(trace for trace in traces if server.bundle(trace) is None)  # one may have been slow
        said = cli("why", trace, code=3).stderr
        assert "error: not-kept-overwritten" in said
        assert "pay has overwritten it since: memory reaches back" in said
    finally:
        process.close()
        agent.end()


@pytest.mark.parametrize(
    ("words", "says"),
    [((), "Give a rule"), (("cart",), "is not FIELD=VALUE"), (("a=b", "--for", "soon"), "no span of time")],
)
def test_bad_orders_are_told(server, cli, words, says):
    done = cli("keep", *words, code=2)
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_is_clean(ready, server, child):
    process = child()
    for _ in range(10):
        process.tell("load 200")
    env = {**os.environ, "AFTERTRACE_SERVER": server.api}
    ready.process.send_signal(signal.SIGSTOP)  # an agent that does not answer
    try:
        asking = subprocess.Popen([*COMMAND, "keep", "a=b", "--live"], env=env, stderr=subprocess.PIPE, text=True)
        assert "0 of 1 agent answered" in asking.stderr.readline()
        asking.send_signal(signal.SIGINT)
        said = asking.stderr.read()
        assert asking.wait(20) == 130
        asking.stderr.close()
    finally:
        ready.process.send_signal(signal.SIGCONT)
    assert "Traceback" not in said
    assert "The agents go on" in said
