"""The report as a terminal shows it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from aftertrace.cli.bench.catalog import CONTROL
from aftertrace.cli.bench.estimates import Added, Estimate
from aftertrace.cli.bench.report import Approach, Row, Table
from aftertrace.show.console import Console

_HEAD = ("", "CPU/request", "throughput", "in process", "p50", "p99", "bytes", "recorded", "agent", "verdict")


def render(tables: Sequence[Table], page: Sequence[Approach], machine: dict[str, Any], console: Console) -> str:
    parts = [line for one in tables for line in (*_program(one, console), "")]
    parts += [*_page(page, console), "", *_legend(machine, console)]
    return "\n".join(parts)


def _program(one: Table, console: Console) -> Iterator[str]:
    bare = f"bare {one.bare_us:.0f} us of CPU, {one.bare_rate:.0f} requests/s"
    if not math.isnan(one.bare_p50):
        bare += f"; at {one.paced_rate:.0f}/s p50 {_ms(one.bare_p50)}, p99 {_ms(one.bare_p99)} ms"
    noise = f"noise {one.noise:.1%}" + (f", {one.noise_within:.1%} in process" if one.noise_within is not None else "")
    yield f"{console.bold(one.program)}  {one.about}"
    yield console.dim(f"{bare}; {noise}")
    rows = [_HEAD, *(_cells(row) for row in one.rows)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(_HEAD))]
    for number, row in enumerate(rows):
        cells = [
            cell.ljust(width) if at in {0, len(_HEAD) - 1} else cell.rjust(width)
            for at, (cell, width) in _zip(row, widths)
        ]
        line = "  ".join(cells).rstrip()
        doubtful = number and one.rows[number - 1].verdict.startswith("cannot")
        yield console.dim(line) if number == 0 or doubtful else line
    for name, why in one.failed.items():
        yield console.doubt(f"{name}: not measured: {why}")


def _zip(row: Sequence[str], widths: Sequence[int]) -> Iterator[tuple[int, tuple[str, int]]]:
    return enumerate(zip(row, widths, strict=True))


def _cells(row: Row) -> tuple[str, ...]:
    late = "overload" if row.overloaded else ""
    return (
        "bare, again" if row.name == CONTROL else row.name,
        _ratio(row.cpu),
        f"{row.rate.value:.2f}",
        _ratio(row.within) if row.within else "",
        late or _added(row.p50),
        late or _added(row.p99),
        _size(row.bytes),
        f"{row.fidelity.calls:.0%}/{row.fidelity.lines:.0%}/{row.fidelity.source:.0%}" if row.fidelity else "",
        f"{row.agent:.0f} us" if row.agent is not None else "",
        row.verdict if row.name != CONTROL else "control",
    )


def _ratio(one: Estimate) -> str:
    digits = 3 if one.value < 2 else 2
    return f"{one.value:.{digits}f} ±{(one.high - one.low) / 2:.{digits}f}"


def _added(one: Added) -> str:
    if one.value is None:
        return ""
    return f"{one.value / 1000:+.2f} ms" if one.told else f"< {one.noise / 1000:.2f} ms"


def _ms(us: float) -> str:
    return f"{us / 1000:.2f}"


def _size(size: float | None) -> str:
    if not size:
        return ""
    return f"{size / 1000:.1f} KB" if size >= 1000 else f"{size:.0f} B"


def _page(page: Sequence[Approach], console: Console) -> Iterator[str]:
    yield console.bold("Four approaches, and ours, on this machine")
    rows = [("approach", "latency added", "fidelity", "leave it on?", "measured with")]
    rows += [(one.name, latency(one), one.fidelity, one.safe, one.by) for one in page]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    for number, row in enumerate(rows):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        yield console.dim(line) if number == 0 else line


def latency(one: Approach) -> str:
    if math.isnan(one.low):
        return "not measured"
    if not one.told:
        return f"< {_percent(one.high)}"
    if one.low == one.high:
        return _percent(one.high)
    low = _percent(one.low) if one.told == 1 else "?"
    return f"{_percent(one.middle)} ({low} to {_percent(one.high)})"


def _percent(share: float) -> str:
    return f"{share:.1%}" if share < 0.1 else f"{share:.0%}"


def _legend(machine: dict[str, Any], console: Console) -> Iterator[str]:
    where = f"{machine['cpu']}, {machine['cores']} cores, load {machine['load']}, CPython {machine['python']}"
    yield console.dim(f"{where}.")
    yield console.dim(
        "CPU/request, throughput: ratios to the bare program, medians of neighbouring slices, with half of a 95 %"
    )
    yield console.dim(
        "interval. In process: what events add, switched within one process. p50, p99: added at half of the bare"
    )
    yield console.dim(
        "program's throughput; overload: it cannot serve that. Bytes: ring, log, or sent. Recorded: of calls, of the"
    )
    yield console.dim(
        "times that lines ran, of a request's lines of source. <: not told from noise. An approach's latency: its CPU,"
    )
    yield console.dim("median of the programs.")
