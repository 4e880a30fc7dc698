"""Bare against recorded, test by test, and against the differences that are known."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transparency.packages import Package
from transparency.suite import Run

KNOWN = Path(__file__).absolute().with_name("known.toml")
ABSENT = "not run"


@dataclass(frozen=True, slots=True)
class Difference:
    """One test whose outcome is another under the recorder; ``reason``: why that is so and stays so."""

    package: str
    test: str
    bare: str
    recorded: str
    reason: str = ""

    def same(self, other: Difference) -> bool:
        return (self.package, self.test, self.bare, self.recorded) == (
            other.package,
            other.test,
            other.bare,
            other.recorded,
        )


@dataclass(slots=True)
class Verdict:
    """``unsteady``: tests that two bare runs disagree about, with both outcomes; they are not compared. ``problems``
    are reasons why the runs prove nothing."""

    package: Package
    bare: Run
    recorded: Run
    unsteady: dict[str, tuple[str, str]] = field(default_factory=dict)
    unexpected: list[Difference] = field(default_factory=list)
    expected: list[Difference] = field(default_factory=list)
    vanished: list[Difference] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not (self.unexpected or self.vanished or self.problems)


def known() -> list[Difference]:
    """Those of known.toml."""
    entries: list[dict[str, Any]] = tomllib.loads(KNOWN.read_text()).get("difference", [])
    return [Difference(**entry) for entry in entries]


def judge(package: Package, first: Run, recorded: Run, second: Run, differences: list[Difference]) -> Verdict:
    """``first`` and ``second`` are the bare runs before and after the recorded one."""
    verdict = Verdict(package, second, recorded, problems=_problems(package, second, recorded))
    tests = list(dict.fromkeys([*second.outcomes, *first.outcomes, *recorded.outcomes]))
    expected = [difference for difference in differences if difference.package == package.name]
    for test in tests:
        one, two = first.outcomes.get(test, ABSENT), second.outcomes.get(test, ABSENT)
        if one != two:
            verdict.unsteady[test] = (one, two)
            continue
        found = Difference(package.name, test, two, recorded.outcomes.get(test, ABSENT))
        if found.recorded != found.bare:
            match = next((entry for entry in expected if entry.same(found)), None)
            (verdict.expected if match else verdict.unexpected).append(match or found)
    verdict.vanished = [
        entry for entry in expected if entry not in verdict.expected and entry.test not in verdict.unsteady
    ]
    return verdict


def _problems(package: Package, bare: Run, recorded: Run) -> list[str]:
    found = []
    if bare.passed < package.passes:
        found.append(f"only {bare.passed} tests pass bare, {package.passes} or more should: is the environment broken?")
    status = recorded.recorder
    if not status.get("recording"):
        found.append("the recorder was not on at the end of the tests")
    elif status["tool_id"] < 0 or status["level"] not in {"lines", 2}:
        found.append(f"not recorded at lines: level {status['level']}, tool id {status['tool_id']}")
    if recorded.not_user:
        found.append(f"not recorded as user code: {', '.join(recorded.not_user[:3])}")
    return found
