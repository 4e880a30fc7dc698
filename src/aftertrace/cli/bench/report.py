"""The measured as an answer: rows of ratios with their intervals and verdicts, and the page of approaches."""

from __future__ import annotations

import math
import os
import platform
import statistics
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from aftertrace import __version__
from aftertrace.cli.bench.catalog import AUTO, BARE, BASE_LEVEL, CONTROL, KERNEL, OURS, Tool
from aftertrace.cli.bench.estimates import Added, Estimate, added, chance_of, estimate, percentile, rounded, verdict
from aftertrace.cli.bench.found import Found, Latencies
from aftertrace.cli.bench.records import Left
from aftertrace.cli.bench.slices import Pair
from aftertrace.settings import Settings

OVERLOADED = 0.97  # of what is offered; who answers less cannot take that rate

NOT_MEASURED = Added()

type Groups = Sequence[Sequence[Pair]]


@dataclass(frozen=True, slots=True)
class Fidelity:
    """Of what levels calls and lines record of a request, the shares that another level does: 0 to 1."""

    calls: float
    lines: float
    source: float  # lines of source, however often they ran


@dataclass(frozen=True, slots=True)
class Row:
    """One tool, or one level of ours, on one program. ``cpu`` and ``rate`` are ratios to the bare program, ``within``
    the ratio to our base level in the same process; times in us, bytes and agent per request; None: not measured."""

    name: str
    cpu: Estimate
    rate: Estimate
    verdict: str
    within: Estimate | None = None
    within_verdict: str = ""
    p50: Added = NOT_MEASURED
    p99: Added = NOT_MEASURED
    overloaded: bool = False
    bytes: float | None = None
    agent: float | None = None
    records: Mapping[str, float] = field(default_factory=dict)  # by kind
    functions: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # records, bytes
    fidelity: Fidelity | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "cpu_per_request": self.cpu.to_json(),
            "throughput": self.rate.to_json(),
            "verdict": self.verdict,
            "within_process": {**self.within.to_json(), "verdict": self.within_verdict} if self.within else None,
            "added_p50_us": _added_json(self.p50),
            "added_p99_us": _added_json(self.p99),
            "overloaded": self.overloaded,
            "bytes_per_request": rounded(self.bytes, 0),
            "agent_us_per_request": rounded(self.agent, 2),
            "records_per_request": dict(self.records),
            "records_by_function": dict(self.functions),
            "share_recorded": asdict(self.fidelity) if self.fidelity else None,
        }


def _added_json(one: Added) -> dict[str, Any]:
    return {"value": rounded(one.value, 1), "noise": rounded(one.noise, 1), "told": one.told}


@dataclass(frozen=True, slots=True)
class Table:
    """All rows of one program; the first is the control. ``noise``: what two equal processes, and the same level twice
    in one process, differ by."""

    program: str
    about: str
    bare_us: float
    bare_rate: float
    bare_p50: float
    bare_p99: float
    paced_rate: float
    noise: float
    noise_within: float | None
    rows: tuple[Row, ...]
    failed: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        return {
            "program": self.program,
            "about": self.about,
            "bare": {
                "cpu_us_per_request": rounded(self.bare_us, 1),
                "requests_per_s": rounded(self.bare_rate, 0),
                "paced_at_per_s": rounded(self.paced_rate, 0),
                "p50_us": rounded(self.bare_p50, 0),
                "p99_us": rounded(self.bare_p99, 0),
            },
            "noise": rounded(self.noise, 4),
            "noise_within_process": rounded(self.noise_within, 4),
            "rows": [row.to_json() for row in self.rows],
            "failed": dict(self.failed),
        }


def table(found: Found) -> Table | None:
    """None before the control was measured."""
    if CONTROL not in found.between:
        return None
    noise = _cpu(found, CONTROL).noise()
    rows = [row for name in found.between for row in _rows(found, name, noise)]
    controls = [_step(levels[CONTROL]).noise() for levels in found.within.values()]
    bare = [us for one in found.latencies.get(BARE, Latencies()).rounds for us in one]
    return Table(
        found.program.name,
        found.program.about,
        found.bare_cpu() / 1000,
        found.bare_rate(),
        percentile(bare, 0.5),
        percentile(bare, 0.99),
        found.paced_rate,
        noise,
        max(controls) if controls else None,
        tuple(rows),
        found.failed,
    )


def _ratios(groups: Groups) -> list[list[float]]:
    return [[pair.cpu_ratio for pair in group] for group in groups]


def _rates(groups: Groups) -> list[list[float]]:
    return [[pair.rate_ratio for pair in group] for group in groups]


def _cpu(found: Found, tool: str) -> Estimate:
    """With what the tool does between the slices, less what the control does there."""
    put_off = statistics.fmean(found.deferred[tool]) - statistics.fmean(found.deferred[CONTROL])
    return estimate(_ratios(found.between[tool])).plus(max(put_off, 0.0) / found.bare_cpu())


def _step(groups: Groups) -> Estimate:
    return estimate(_ratios(groups))


def _rows(found: Found, tool: str, noise: float) -> list[Row]:
    cpu, rate = _cpu(found, tool), estimate(_rates(found.between[tool]))
    size = _bytes(found.between[tool]) + statistics.fmean(found.sent[tool])
    levels = found.within.get(tool, {})
    if tool != OURS:
        step = _step(levels[AUTO]) if levels else None
        said = verdict(step, _step(levels[CONTROL]).noise()) if step else ""
        return [Row(tool, cpu, rate, verdict(cpu, noise), step, said, **_measured(found, tool), bytes=size or None)]
    name = f"{tool} {BASE_LEVEL}"
    base = Row(name, cpu, rate, verdict(cpu, noise), **_measured(found, name), bytes=size)
    return [base, *(_level(found, base, level, noise) for level in levels if level != CONTROL)]


def _level(found: Found, base: Row, level: str, noise: float) -> Row:
    """What its events cost in the process, on top of what the base level costs against the bare program."""
    groups, name = found.within[OURS][level], f"{OURS} {level}"
    step = _step(groups)
    cpu = base.cpu.times(step)
    return Row(
        name,
        cpu,
        base.rate.times(estimate(_rates(groups))),
        verdict(cpu, noise),
        step,
        verdict(step, _step(found.within[OURS][CONTROL]).noise()),
        **_measured(found, name),
        bytes=_bytes(groups),
    )


def _bytes(groups: Groups) -> float:
    return statistics.median(pair.mine.bytes for group in groups for pair in group)


def _measured(found: Found, name: str) -> dict[str, Any]:
    """What does not come from slices."""
    steady = found.levels.get(name)
    if not steady:
        return _added(found, name)
    left = steady[-1].left
    fidelity = _fidelity(found, left)
    agent = statistics.fmean(one.agent for one in steady) / 1000
    return {
        **_added(found, name),
        "agent": agent,
        "records": left.kinds,
        "functions": left.functions,
        "fidelity": fidelity,
    }


def _fidelity(found: Found, left: Left) -> Fidelity | None:
    """None when those levels were not measured."""
    calls, lines = (found.levels.get(f"{OURS} {level}") for level in ("calls", "lines"))
    if not calls or not lines:
        return None
    whole = lines[-1].left
    started, ran = calls[-1].left.kinds.get("Start", 0), whole.kinds.get("Line", 0)
    if not started or not ran:
        return None
    shares = left.kinds.get("Start", 0) / started, left.kinds.get("Line", 0) / ran, left.source / whole.source
    return Fidelity(*(round(min(share, 1.0), 3) for share in shares))


def _added(found: Found, name: str) -> dict[str, Any]:
    bare, mine = found.latencies.get(BARE), found.latencies.get(name)
    control = found.latencies.get(CONTROL)
    if bare is None or mine is None or control is None:
        return {}
    late = mine.answered < OVERLOADED * mine.offered
    return {
        "p50": _percentile(bare, mine, control, 0.5),
        "p99": _percentile(bare, mine, control, 0.99),
        "overloaded": late,
    }


def _percentile(bare: Latencies, mine: Latencies, control: Latencies, share: float) -> Added:
    differences, noise = added(mine.rounds, bare.rounds, share), added(control.rounds, bare.rounds, share)
    if not differences or not noise:
        return NOT_MEASURED
    return Added(statistics.median(differences), chance_of(noise))


# -- the page of approaches -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Approach:
    """One of the ways to see what a request did: added latency as shares of the bare program's over all programs
    (lowest, median, highest), NaN when nothing of it was measured; ``told``: the share of them where it was told from
    noise."""

    name: str
    by: str
    low: float
    middle: float
    high: float
    told: float
    fidelity: str
    safe: str

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), **{name: rounded(getattr(self, name), 4) for name in ("low", "middle", "high")}}


_PAGE = (
    ("breakpoints", "complete, and everybody waits at a hit", "no"),
    ("logging", "what somebody thought of", "no: I/O in the request"),
    ("tracing", "graph of requests", "yes"),
    (KERNEL, "kernel only", "yes"),
)


def approaches(tables: Sequence[Table], tools: Sequence[Tool]) -> list[Approach]:
    """Latency here is that of a request that does not wait for others: its CPU time, which is also what the rest of
    the machine loses; at a rate, waiting comes on top (the table's p50 and p99). Ours is the level that one gets
    without asking for another."""
    made = []
    for name, fidelity, safe in _PAGE:
        members = {tool.name for tool in tools if tool.approach == name}
        made.append(_approach(name, members, tables, fidelity, safe))
    name = f"{OURS} {Settings().level}"
    return [*made, _approach(OURS, {name}, tables, _seen(name, tables), "yes")]


def _seen(name: str, tables: Sequence[Table]) -> str:
    """What our level recorded while that was its cost."""
    shares = [row.fidelity for one in tables for row in one.rows if row.name == name and row.fidelity]
    if not shares:
        return "graph, calls, lines and values as the budget allows"
    calls, source = (statistics.median(getattr(one, kind) for one in shares) for kind in ("calls", "source"))
    return f"graph, {calls:.0%} of calls with values, {source:.0%} of a request's lines"


def _approach(name: str, members: Container[str], tables: Sequence[Table], fidelity: str, safe: str) -> Approach:
    rows = [(row, one.noise) for one in tables for row in one.rows if row.name in members]
    shares = [_share(row, noise) for row, noise in rows]
    by = ", ".join(dict.fromkeys(row.name for row, _ in rows))
    low, middle, high = (min(shares), statistics.median(shares), max(shares)) if shares else [math.nan] * 3
    told = statistics.fmean(not row.verdict.startswith("cannot") for row, _ in rows) if rows else 0.0
    return Approach(name, by, low, middle, high, told, fidelity, safe)


def _share(row: Row, noise: float) -> float:
    """An effect that is not told from noise is as large as the noise, at most."""
    return max(row.cpu.value - 1, 0.0) if not row.verdict.startswith("cannot") else noise


def machine() -> dict[str, Any]:
    """Where it was measured."""
    return {
        "aftertrace": __version__,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 2),
    }


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
