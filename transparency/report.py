"""Verdicts as a table, and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from transparency.compare import Difference, Verdict

_COUNTERS = ("codes_armed", "activations", "records", "lost", "doubts", "refused")
_HEAD = ("package", "tests", "passed", "differ", "known", "unsteady", "CPU", "s recorded", *_COUNTERS)


def to_json(verdict: Verdict) -> dict[str, Any]:
    """One package. ``cpu_ratio``: recorded against the second bare run, all processes, starts included."""
    return {
        "package": verdict.package.name,
        "version": verdict.package.version,
        "ok": verdict.ok,
        "tests": verdict.bare.tests,
        "passed": verdict.bare.passed,
        "left_out": verdict.package.left_out,
        "unexpected": [asdict(one) | {"text": verdict.recorded.texts.get(one.test, "")} for one in verdict.unexpected],
        "expected": [asdict(one) for one in verdict.expected],
        "vanished": [asdict(one) for one in verdict.vanished],
        "unsteady": verdict.unsteady,
        "problems": verdict.problems,
        "cpu_s": {"bare": round(verdict.bare.cpu, 2), "recorded": round(verdict.recorded.cpu, 2)},
        "cpu_ratio": round(_ratio(verdict), 3),
        "wall_s": {"bare": round(verdict.bare.wall, 2), "recorded": round(verdict.recorded.wall, 2)},
        "recorder": verdict.recorded.recorder,
    }


def text(verdicts: list[Verdict], failed: dict[str, str]) -> str:
    """A table, and below it whatever is to be told about each package."""
    rows = [_HEAD, *(_row(verdict) for verdict in verdicts)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
    lines = [
        "  ".join(_cell(word, width, i) for i, (word, width) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]
    for verdict in verdicts:
        lines += _told(verdict)
    lines += [f"{name}: not run: {why}" for name, why in failed.items()]
    good = not failed and all(verdict.ok for verdict in verdicts)
    lines += ["", "The same tests pass and fail." if good else "NOT the same: see above."]
    return "\n".join(lines)


def _cell(word: str, width: int, column: int) -> str:
    return word.rjust(width) if column else word.ljust(width)


def _row(verdict: Verdict) -> tuple[str, ...]:
    counts = (
        verdict.bare.tests,
        verdict.bare.passed,
        len(verdict.unexpected) + len(verdict.vanished),
        len(verdict.expected),
        len(verdict.unsteady),
    )
    counters = verdict.recorded.recorder
    return (
        f"{verdict.package.name} {verdict.package.version}",
        *(str(count) for count in counts),
        f"{_ratio(verdict):.2f}",
        f"{verdict.recorded.wall:.1f}",
        *(str(counters.get(name, "-")) for name in _COUNTERS),
    )


def _ratio(verdict: Verdict) -> float:
    return verdict.recorded.cpu / verdict.bare.cpu if verdict.bare.cpu else 0.0


def _told(verdict: Verdict) -> list[str]:
    name = verdict.package.name
    found = [f"{name}: {problem}" for problem in verdict.problems]
    for difference in verdict.unexpected:
        found.append(f"{name}: DIFFERS {_arrow(difference)}")
        found += [f"    {line}" for line in verdict.recorded.texts.get(difference.test, "").splitlines()[-12:]]
    found += [f"{name}: KNOWN, BUT GONE {_arrow(difference)}" for difference in verdict.vanished]
    found += [f"{name}: known {_arrow(difference)}: {difference.reason}" for difference in verdict.expected]
    found += [f"{name}: unsteady, not compared: {test}: {one} / {two}" for test, (one, two) in verdict.unsteady.items()]
    found += [f"{name}: left out: {verdict.package.left_out}"] if verdict.package.left_out else []
    return ["", *found] if found else []


def _arrow(difference: Difference) -> str:
    return f"{difference.test}: {difference.bare} -> {difference.recorded}"
