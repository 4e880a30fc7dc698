"""The limit of bytes a second: who is left out first, what waits, and that all of it is told."""

import pytest
from agent_parts import Agent, Child, wait_for

from aftertrace.agent.ration import HELD_S, Ration
from aftertrace.agent.storms import FULL, Storms
from aftertrace.errors import UsageError
from aftertrace.settings import from_environment


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_company_goes_first_then_storms_then_all_waits():
    clock = Clock()
    ration = Ration(1000, clock)
    seen = []
    for _ in range(5):
        seen.append((ration.allows_company(), ration.squeeze(), ration.wait_s()))
        ration.spend(3000)
    assert seen == [(True, 0, 0.0), (True, 0, 0.0), (False, 0, 0.0), (False, 2, 0.0), (False, 2, 2.0)]
    assert ration.wait_s() == 5.0
    clock.now += 5.0
    assert ration.wait_s() == 0.0
    clock.now += 1000.0
    assert ration.left() == 1.0  # it holds no more than ten seconds' worth


def test_what_leaves_in_the_long_run_is_no_more_than_the_limit():
    clock = Clock()
    ration, sent = Ration(1000, clock), 0
    for _ in range(10_000):
        clock.now += 0.1
        while ration.wait_s() == 0.0:
            ration.spend(700)
            sent += 700
    assert 1000 * 1000 <= sent <= 1000 * (1000 + HELD_S) + 700


def test_without_a_limit_nothing_is_left_out():
    ration = Ration(0)
    ration.spend(1 << 40)
    assert (ration.allows_company(), ration.squeeze(), ration.wait_s(), ration.left()) == (True, 0, 0.0, 1.0)


def test_a_squeezed_storm_keeps_its_counts():
    """Weights still add up to what was there."""
    clock, ids = Clock(), range(0, 1 << 56, (1 << 56) // 20_000)
    storms, kept, weights = Storms(clock), 0, 0.0
    for number, low in enumerate((one * 7919) % (1 << 56) for one in ids):
        clock.now += 0.001
        weight = storms.admit(("a",), low.to_bytes(16), 2)
        kept += weight > 0
        weights += weight
        assert weight in {0.0, 1.0} if number < FULL else weight in {0.0} or weight >= 4.0
    assert 0.4 < weights / 20_000 < 1.6
    assert storms.squeezed > 0
    assert kept < FULL + 40


def test_the_setting():
    assert from_environment({}).keep_bytes_s == 8 << 20
    assert from_environment({"AFTERTRACE_KEEP_BYTES_S": "512KiB"}).keep_bytes_s == 512 << 10
    assert from_environment({"AFTERTRACE_KEEP_BYTES_S": "0"}).keep_bytes_s == 0
    with pytest.raises(UsageError):
        from_environment({"AFTERTRACE_KEEP_BYTES_S": "much"})


def test_an_agent_over_its_limit_leaves_company_out_and_sends_failures(tmp_path, server, monkeypatch):
    """The limit is a hundredth of what is kept: all failures arrive, slowly; who was beside them does not."""
    monkeypatch.setenv("AFTERTRACE_KEEP_BYTES_S", "1KiB")
    agent = Agent(tmp_path, server.otlp)
    child = Child(tmp_path, agent.socket, "limited")
    try:
        child.tell("load 60")
        first = child.tell("fail")["trace"]
        wait_for(lambda: server.bundle(first))
        wait_for(lambda: agent.status()["ration"]["left"] < 0.5)
        child.tell("load 60")
        opened = child.tell("open")["trace"]  # what fails now overlaps it
        second = child.tell("fail")["trace"]
        child.tell("go-on")
        found = wait_for(lambda: server.bundle(second), 90)
        (keep,) = [keep for keep in found.keeps if keep.trigger == "unhandled-exception"]
        assert keep.attributes["aftertrace.keep.left_out"] >= 1
        assert found.recordings
        status = agent.status()
        assert status["counts"]["left_out"] >= 1
        assert status["ration"]["bytes_s"] == 1024
        assert server.bundle(opened) is None
    finally:
        child.close()
        assert agent.end() == 0, agent.errors()
    assert "AFTERTRACE_KEEP_BYTES_S" in agent.errors()
