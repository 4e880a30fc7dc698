"""One scenario, from an empty stage to its figures."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.keeping.edges import AGENT_HANG_S, HANG, WORKER, Edge, planned
from benchmarks.keeping.hosts import Hosts
from benchmarks.keeping.scenarios import WARM_S, Scenario, Step
from benchmarks.keeping.stage import Stage, cpu_seconds, start_load
from benchmarks.keeping.verify import Delays, Verdict, fetch, judge

_LOOK_S = 1.0  # between two looks at the agents
_SETTLE_S = 120.0  # for all to be sent and stored
_ASKED_PER_S = 0.33  # edge cases whose delay is measured
_TAIL_S = 8.0  # before the end: no more edge cases

type Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """``rate``: requests/s where the load is not closed; ``edges``: edge cases/s; ``stretch``: of all times."""

    rate: float = 20.0
    edges: float = 4.0
    clients: int = 12
    stretch: float = 1.0
    level: str = "auto"
    seed: int = 1


@dataclass(slots=True)
class Result:
    """``latency``: of healthy requests, before, during and after the fault: count, failed, p50 and p99 in ms, per s."""

    scenario: str
    says: str
    skipped: str = ""
    verdicts: list[Verdict] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)  # s, to all parts
    first: list[float] = field(default_factory=list)  # s, to the first
    never: int = 0  # asked for, and not whole while it was asked
    latency: dict[str, dict[str, float]] = field(default_factory=dict)
    recorded_bytes: int = 0
    packed_bytes: int = 0  # the same, compressed
    shipped_bytes: int = 0
    agents: dict[str, dict[str, float]] = field(default_factory=dict)
    storm: tuple[int, int] = (0, 0)  # sent, failed
    notes: list[str] = field(default_factory=list)


def run(scenario: Scenario, hosts: Hosts, directory: Path, wanted: Wanted, say: Say) -> Result:
    result = Result(scenario.name, scenario.says)
    stage = Stage(hosts, directory, recorded=scenario.recorded, level=wanted.level)
    with stage:
        say("starting")
        if why_not := stage.open(scenario.prepare):
            result.skipped = why_not
            return result
        _play(scenario, stage, wanted, result, say)
    return result


def _play(scenario: Scenario, stage: Stage, wanted: Wanted, result: Result, say: Say) -> None:
    seconds = scenario.seconds * wanted.stretch
    edges = list(
        planned(WARM_S * wanted.stretch, seconds - _TAIL_S * wanted.stretch, wanted.edges * scenario.edges, wanted.seed)
    )
    load = start_load(_plan(scenario, stage, wanted, edges, seconds), stage.directory / "logs" / "load.log")
    assert load.stdout is not None
    began = json.loads(load.stdout.readline())["began"]
    delays = Delays(stage.settings)
    step = max(1, round(wanted.edges * scenario.edges / _ASKED_PER_S))
    if scenario.recorded:
        delays.start((began + edge.at, edge) for edge in edges[::step])
    try:
        steps = deque((began + step.at * wanted.stretch, step) for step in scenario.steps)
        _act(stage, steps, began + seconds, say)
        told = json.loads(load.stdout.readline())
        load.wait(30)
    finally:
        load.kill()
        load.wait()
    _latencies(result, told["answers"], [one * wanted.stretch for one in scenario.fault], seconds)
    result.storm = tuple(told["storm"])
    if not scenario.recorded:
        return
    say("waiting until all is sent")
    if not stage.quiet(_SETTLE_S):
        result.notes.append(f"agents still had something to send after {_SETTLE_S:.0f} s")
    _verify(stage, edges, result, say)
    result.never = len(delays.close())
    answered = {trace: began + at + took for trace, at, took, _ in told["edges"]}
    for edge in edges[::step]:
        if (trigger := _triggered(stage, edge, answered)) and edge.trace in delays.readable:
            result.delays.append(max(delays.readable[edge.trace] - trigger, 0.0))
            result.first.append(max(delays.listed[edge.trace] - trigger, 0.0))
    _account(stage, result)
    _edge_answers(told["edges"], edges, result)


def _plan(scenario: Scenario, stage: Stage, wanted: Wanted, edges: list[Edge], seconds: float) -> dict[str, Any]:
    storm = None
    if scenario.storm:
        begin, end = (one * wanted.stretch for one in scenario.fault)
        where = {"host": stage.address("stock"), "port": stage.ports["stock"]}
        storm = {**where, "rate": scenario.storm, "begin": begin, "end": end}
    return {
        "host": stage.address("gateway"),
        "port": stage.ports["gateway"],
        "rate": 0 if scenario.closed else wanted.rate,
        "connections": wanted.clients,
        "seconds": seconds,
        "seed": wanted.seed,
        "edges": [(edge.at, edge.path, edge.trace) for edge in edges],
        "storm": storm,
    }


def _act(stage: Stage, steps: deque[tuple[float, Step]], end: float, say: Say) -> None:
    """What is done while the load runs, until ``end``; ``steps`` with their moments (monotonic, s)."""
    looked = 0.0
    while (now := time.monotonic()) < end:
        while steps and steps[0][0] <= now:
            _, step = steps.popleft()
            say(step.says)
            step.act(stage)
        stage.supervise()
        if now - looked >= _LOOK_S:
            looked = now
            stage.look()
            say(f"{end - now:.0f} s to go")
        time.sleep(0.1)


def _verify(stage: Stage, edges: list[Edge], result: Result, say: Say) -> None:
    """Those that are not complete are asked for once more: the last may have come meanwhile."""
    open_edges = edges
    found: dict[str, Verdict] = {}
    for _ in range(3):
        for number, edge in enumerate(open_edges):
            if number % 20 == 0:
                say(f"looking at edge case {number} of {len(open_edges)}")
            seen = stage.witness.traces.get(edge.trace)
            found[edge.trace] = judge(edge, seen, fetch(edge.trace, stage.settings))
        open_edges = [edge for edge in open_edges if not found[edge.trace].complete]
        if not open_edges:
            break
        time.sleep(2.0)
    result.verdicts = [found[edge.trace] for edge in edges]


def _triggered(stage: Stage, edge: Edge, answered: Mapping[str, float]) -> float:
    """The moment (monotonic, s) from which on its keeping is counted; 0.0: it is not known. When what failed was
    answered; the last record of what failed behind an answer; when an open request begins to hang."""
    seen = stage.witness.traces.get(edge.trace)
    if seen is None:
        return 0.0
    if edge.kind == HANG:
        return seen.first + AGENT_HANG_S
    return seen.last if edge.kind == WORKER else answered.get(edge.trace, seen.last)


def _latencies(result: Result, answers: list[list[float]], fault: list[float], seconds: float) -> None:
    begin, end = fault if fault[1] else (seconds, seconds)
    windows = {"before": (WARM_S / 2, begin), "during": (begin, end), "after": (end, seconds)}
    for name, (first, last) in windows.items():
        inside = [(took, status) for at, took, status in answers if first <= at < last]
        well = sorted(took for took, status in inside if status == 200)
        if inside and last - first >= 1:
            result.latency[name] = {
                "requests": len(inside),
                "failed": len(inside) - len(well),
                "per_s": round(len(inside) / (last - first), 1),
                "p50_ms": round(statistics.median(well) * 1e3, 1) if well else 0.0,
                "p99_ms": round(well[min(int(len(well) * 0.99), len(well) - 1)] * 1e3, 1) if well else 0.0,
            }


def _account(stage: Stage, result: Result) -> None:
    stage.look()
    result.recorded_bytes = sum(stage.witness.recorded_bytes().values())
    result.packed_bytes = round(result.recorded_bytes * stage.witness.ratio())
    for name, agent in stage.agents.items():
        counts = agent.counts()
        result.shipped_bytes += counts.get("sent_bytes", 0)
        alive = cpu_seconds(agent.process.pid) if agent.process is not None else 0.0
        memory = agent.last["memory"]
        result.agents[name] = {
            **{key: counts.get(key, 0) for key in ("kept", "marked", "turned_away", "dropped", "rejected", "spooled")},
            "lost_bytes": sum(one["lost_bytes"] for one in agent.last["processes"]),
            "horizon_s": agent.horizon,
            "memory_bytes": memory["bytes"],
            "horizon_full_s": round(memory["limit"] / max(memory["bytes"], 1) * memory["horizon_s"]),
            "cpu_s": round(agent.cpu_s + alive, 2),
            "deaths": agent.deaths,
        }


def _edge_answers(told: list[list[Any]], edges: list[Edge], result: Result) -> None:
    by_trace = {edge.trace: edge.kind for edge in edges}
    found = Counter((by_trace[trace], status) for trace, _, _, status in told)
    result.notes.append("answers: " + ", ".join(f"{kind} {status}: {n}" for (kind, status), n in sorted(found.items())))


def progress(name: str, *, quiet: bool) -> Say:
    """On one line of stderr."""

    def say(words: str) -> None:
        if not quiet:
            print(f"\r\033[K{name}: {words}", end="", file=sys.stderr, flush=True)

    return say
