"""Keeping across agents: real agents with sockets of their own, a real server, recorded processes."""

import json
import signal
import time

import pytest
from agent_parts import Agent, Child, Server, free_port, wait_for


@pytest.fixture
def pair(tmp_path, server):
    """Two agents, as on two hosts, and a way to start processes under either."""
    places = [tmp_path / name for name in ("one", "two")]
    for place in places:
        place.mkdir()
    agents = [Agent(place, server.otlp) for place in places]
    children = []

    def child(which, *options):
        children.append(Child(places[which], agents[which].socket, *options))
        return children[-1]

    wait_for(lambda: all(one.status()["fleet"]["state"] == "on" for one in agents))
    yield agents, child
    for one in children:
        one.close()
    for one in agents:
        assert one.end() == 0, one.errors()


def through(first, second, order="fail"):
    """A request that goes through both processes, and fails in the second."""
    told = first.tell("fine")
    parent = json.dumps([int(told["trace"], 16), int(told["span"], 16), 1, ""])
    assert second.tell(f"{order} {parent}")["trace"] == told["trace"]
    return told["trace"]


def whole(server, trace, services, seconds=20.0):
    """The bundle once spans and recordings of these services are there."""

    def there():
        found = server.bundle(trace)
        return found if found and {span.service for span in found.spans} >= services else None

    return wait_for(there, seconds)


def covered(server, trace, fits, seconds=20.0):
    seen = []

    def there():
        found = server.bundle(trace)
        seen[:] = [found.coverage if found else "not kept"]
        return found.coverage if found and found.coverage and fits(found.coverage) else None

    try:
        return wait_for(there, seconds)
    except AssertionError:
        raise AssertionError(f"coverage at last: {seen}") from None


def test_what_one_agent_keeps_the_other_ships_too(pair, server):
    agents, child = pair
    trace = through(child(0, "front"), child(1, "back"))
    found = whole(server, trace, {"front", "back"})
    assert [keep.service for keep in found.keeps] == ["back"]
    assert len(found.recordings) == 2
    coverage = covered(server, trace, lambda one: one.silent == 0)
    assert (coverage.asked, coverage.nothing) == (2, 0)
    assert sorted((one.services, one.shipped, one.overwritten) for one in coverage.agents) == [
        (["back"], ["back"], []),
        (["front"], ["front"], []),
    ]
    assert [one.status()["counts"]["kept"] for one in agents] == [0, 1]


def test_a_neighbour_that_fails_later_is_kept_everywhere(pair, server):
    """Its first part was shipped, and told of, as a neighbour's: that is no mark yet."""
    _, child = pair
    first, second = child(0, "front"), child(1, "back")
    trace = first.tell("open")["trace"]
    second.tell("fine " + json.dumps([int(trace, 16), 5, 1, ""]))
    first.tell("fail")
    covered(server, trace, lambda one: [agent.shipped for agent in one.agents] == [["front"]])
    assert {keep.role for keep in server.bundle(trace).keeps} == {"neighbour"}
    first.tell("go-wrong")
    found = whole(server, trace, {"front", "back"})
    assert {"neighbour", "failure"} == {keep.role for keep in found.keeps}


def test_an_agent_that_has_nothing_says_so(pair, server):
    _, child = pair
    child(0, "front")
    trace = child(1, "back").tell("fail")["trace"]
    coverage = covered(server, trace, lambda one: one.silent == 0)
    assert (coverage.asked, coverage.nothing) == (2, 1)
    assert [one.shipped for one in coverage.agents] == [["back"]]


def test_a_mark_may_come_before_the_trace(pair, server):
    """The failing part is told of first; the other agent sees its own part later."""
    _, child = pair
    first, second = child(0, "front"), child(1, "back")
    told = second.tell("fail")
    covered(server, told["trace"], lambda one: one.nothing == 1)
    parent = json.dumps([int(told["trace"], 16), int(told["span"], 16), 1, ""])
    first.tell(f"fine {parent}")
    whole(server, told["trace"], {"front", "back"})
    covered(server, told["trace"], lambda one: one.nothing == 0)


def test_later_pieces_go_too(pair, server):
    _, child = pair
    first, second = child(0, "front"), child(1, "back")
    trace = through(first, second)
    before = len(whole(server, trace, {"front", "back"}).spans)
    first.tell("fine " + json.dumps([int(trace, 16), 5, 1, ""]))
    wait_for(lambda: len(server.bundle(trace).spans) == before + 1)


def test_marks_made_while_the_server_is_down_arrive(tmp_path):
    alone = Server(tmp_path / "store")
    agents, children = [], []
    try:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            agents.append(Agent(tmp_path / name, alone.otlp))
            children.append(Child(tmp_path / name, agents[-1].socket, name))
        wait_for(lambda: all(one.status()["fleet"]["state"] == "on" for one in agents))
        before = through(*children)
        whole(alone, before, {"one", "two"})
        began = time.monotonic()
        assert alone.end() == 0
        assert time.monotonic() - began < 10  # nobody who is held is waited for
        trace = through(*children)
        time.sleep(3)
        alone.start()
        whole(alone, trace, {"one", "two"}, 40)
        coverage = covered(alone, trace, lambda one: one.silent == 0 and len(one.agents) == 2)
        assert sorted(one.shipped for one in coverage.agents) == [["one"], ["two"]]
        assert covered(alone, before, lambda one: one.silent == 0).asked == 2
        assert len(alone.bundle(before).spans) == 2  # told again, shipped once
    finally:
        for child in children:
            child.close()
        for agent in agents:
            agent.end()
        alone.end()


def test_an_agent_that_was_restarted_hears_of_what_was_kept_meanwhile(pair, server, tmp_path):
    agents, child = pair
    first, second = child(0, "front"), child(1, "back")
    told = first.tell("fine")
    assert agents[0].end(signal.SIGKILL) == -signal.SIGKILL
    second.tell("fail " + json.dumps([int(told["trace"], 16), int(told["span"], 16), 1, ""]))
    server.kept(told["trace"])
    agents[0].__init__(tmp_path / "one", server.otlp)
    first.tell("connect")
    whole(server, told["trace"], {"front", "back"})


def test_what_has_left_memory_is_said_to_be_overwritten(tmp_path, server):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    small = Agent(tmp_path / "one", server.otlp, "--memory", "1MiB")
    other = Agent(tmp_path / "two", server.otlp)
    first, second = Child(tmp_path / "one", small.socket, "front"), Child(tmp_path / "two", other.socket, "back")
    try:
        wait_for(lambda: all(one.status()["fleet"]["state"] == "on" for one in (small, other)))
        fine = [first.tell("fine") for _ in range(8)]
        while small.status()["processes"][0]["read_bytes"] < 3 << 20:
            first.tell("load 200")
        time.sleep(3)
        told = next(one for one in fine if server.bundle(one["trace"]) is None)  # one may have been slow
        second.tell("fail " + json.dumps([int(told["trace"], 16), int(told["span"], 16), 1, ""]))
        answered = lambda one: sum(agent.answered_s >= 0 for agent in one.agents) == 2  # noqa: E731  # a killed one is silent
        coverage = covered(server, told["trace"], answered)
        (lost,) = [one for one in coverage.agents if one.overwritten]
        assert (lost.overwritten, lost.shipped, lost.services) == (["front"], [], ["front"])
        assert lost.horizon_s > 0
    finally:
        first.close()
        second.close()
        assert (small.end(), other.end()) == (0, 0)


def test_a_server_that_is_away_from_the_start_is_found_later(tmp_path):
    port = free_port()
    agent = Agent(tmp_path, f"http://127.0.0.1:{port}")
    try:
        assert agent.status()["fleet"]["state"] == "away"
        late = Server.__new__(Server)
        late.directory, late.ports = tmp_path / "store", ("0", str(port))
        late.start()
        wait_for(lambda: agent.status()["fleet"]["state"] == "on")
        assert late.end() == 0
    finally:
        assert agent.end() == 0
