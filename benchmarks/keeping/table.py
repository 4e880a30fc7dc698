"""The results, as text and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.keeping.edges import KINDS
from benchmarks.keeping.measure import Result

_HEAD = (
    "scenario",
    "edge cases kept",
    "of these complete",
    "delay p50 / p99 / max, s",
    "shipped of recorded (of that compressed)",
    "p99 before / during / after, ms",
    "requests/s",
    "failed",
)


def quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


def summary(result: Result) -> dict[str, Any]:
    """What the table shows, and more; seconds, bytes, shares."""
    if result.skipped:
        return {"scenario": result.scenario, "says": result.says, "skipped": result.skipped}
    verdicts = result.verdicts
    kept = [one for one in verdicts if one.kept]
    complete = sum(one.complete for one in kept)
    recorded, stored = sum(one.recorded for one in kept), sum(one.stored for one in kept)
    return {
        "scenario": result.scenario,
        "says": result.says,
        "edges": len(verdicts),
        "kept": len(kept),
        "kinds": {kind: _kind(kind, result) for kind in KINDS},
        "complete": complete,
        "complete_share": round(complete / len(kept), 5) if kept else None,
        "edge_bytes": {"recorded": recorded, "stored": stored, "told_lost": sum(one.told for one in kept)},
        "told_lost": sum(bool(one.lost) for one in kept),
        "unrecorded": dict(Counter(name for one in verdicts for name in one.unrecorded)),
        "incomplete": [
            {
                "trace": one.edge.trace,
                "kind": one.edge.kind,
                "at": one.edge.at,
                "services": one.incomplete,
                "missing": one.missing,
            }
            for one in kept
            if not one.complete
        ],
        "not_kept": [
            {"trace": one.edge.trace, "kind": one.edge.kind, "at": one.edge.at} for one in verdicts if not one.kept
        ],
        "delay_s": _spread(result.delays),
        "delay_first_s": _spread(result.first),
        "not_readable_in_time": result.never,
        "latency": result.latency,
        "recorded_bytes": result.recorded_bytes,
        "recorded_packed_bytes": result.packed_bytes,
        "shipped_bytes": result.shipped_bytes,
        "agents": result.agents,
        "storm": {"sent": result.storm[0], "failed": result.storm[1]},
        "notes": result.notes,
    }


def _kind(kind: str, result: Result) -> dict[str, int]:
    own = [one for one in result.verdicts if one.edge.kind == kind]
    return {"edges": len(own), "kept": sum(one.kept for one in own), "complete": sum(one.complete for one in own)}


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {
        "count": len(values),
        "p50": round(quantile(values, 0.5), 2),
        "p99": round(quantile(values, 0.99), 2),
        "max": round(max(values, default=0.0), 2),
    }


def lines(results: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The table, then what is not as it should be."""
    yield f"| {' | '.join(_HEAD)} |"
    yield "|---" * len(_HEAD) + "|"
    for one in results:
        yield f"| {one['scenario']} | not tested: {one['skipped']} |" if "skipped" in one else _row(one)
    for one in results:
        yield from _remarks(one)


def _row(one: dict[str, Any]) -> str:
    delay, latency = one["delay_s"], one["latency"]
    share = "" if one["complete_share"] is None else f"{one['complete']} of {one['kept']} ({one['complete_share']:.2%})"
    recorded, packed, shipped = one["recorded_bytes"], one["recorded_packed_bytes"], one["shipped_bytes"]
    sent = f"{shipped / recorded:.1%} ({shipped / packed:.0%})" if recorded else ""
    cells = [
        one["scenario"],
        f"{one['kept']} of {one['edges']}" if one["edges"] else "",
        share,
        f"{delay['p50']:.1f} / {delay['p99']:.1f} / {delay['max']:.1f}" if delay["count"] else "",
        sent,
        " / ".join(f"{window['p99_ms']:.0f}" for window in latency.values()),
        " / ".join(f"{window['per_s']:.0f}" for window in latency.values()),
        " / ".join(f"{window['failed']:.0f}" for window in latency.values()),
    ]
    return f"| {' | '.join(cells)} |"


def _remarks(one: dict[str, Any]) -> Iterator[str]:
    if "skipped" in one:
        return
    yield f"\n{one['scenario']}: {one['says']} ({one['hosts']}; {one['cores']} cores, load {one['load_average']})"
    if one["edges"]:
        yield "  kept: " + ", ".join(f"{kind} {n['kept']}/{n['edges']}" for kind, n in one["kinds"].items())
        kinds = Counter(name for found in one["incomplete"] for name in found["services"])
        told = one["edge_bytes"]
        missing = told["recorded"] - told["stored"] - told["told_lost"]
        yield f"  their bytes: {told['stored']:,} of {told['recorded']:,} stored, {told['told_lost']:,} told lost"
        yield f"  missing: {missing:,} bytes, services {dict(kinds)}; took no part: {one['unrecorded']}"
    for name, agent in one["agents"].items():
        yield (
            f"  {name}: horizon {agent['horizon_s']:.0f} s in {agent['memory_bytes'] / 2**20:.1f} MiB"
            f" ({agent['horizon_full_s']} s when full), kept {agent['kept']}, marked {agent['marked']},"
            f" turned away {agent['turned_away']}, dropped {agent['dropped']}, rejected {agent['rejected']},"
            f" spooled {agent['spooled']}, ring lost {agent['lost_bytes']} B, CPU {agent['cpu_s']} s"
        )
    if one["storm"]["sent"]:
        yield f"  storm: {one['storm']['sent']} requests, {one['storm']['failed']} failed"
    for note in one["notes"]:
        yield f"  {note}"
