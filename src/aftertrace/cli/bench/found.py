"""What was measured of one program, as it came: filled while it is measured, so an interrupt leaves what is done."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from aftertrace.cli.bench.catalog import CONTROL, Program
from aftertrace.cli.bench.records import Left
from aftertrace.cli.bench.slices import Pair


@dataclass(slots=True)
class Latencies:
    """us of each answer at a steady rate, by round; those that were offered and not answered in time are missing."""

    offered: int = 0
    rounds: list[list[int]] = field(default_factory=list)

    @property
    def answered(self) -> int:
        return sum(map(len, self.rounds))


@dataclass(frozen=True, slots=True)
class Steady:
    """One level under steady load: ns of CPU per request that the agent used, requests per second, and what a request
    left in the ring."""

    agent: float
    rate: float
    left: Left


@dataclass(slots=True)
class Found:
    """Lists of lists are by generation of processes. ``between``: by tool, paired with the bare program; ``within``: by
    tool and level, paired with the tool's base level in the same process; ``levels``: by tool and level."""

    program: Program
    between: dict[str, list[list[Pair]]] = field(default_factory=dict)
    within: dict[str, dict[str, list[list[Pair]]]] = field(default_factory=dict)
    deferred: dict[str, list[float]] = field(default_factory=dict)  # ns per request, used outside the slices
    sent: dict[str, list[float]] = field(default_factory=dict)  # bytes per request that went to the sink
    levels: dict[str, list[Steady]] = field(default_factory=dict)
    latencies: dict[str, Latencies] = field(default_factory=dict)  # by tool, and level of ours
    paced_rate: float = math.nan  # requests per second
    failed: dict[str, str] = field(default_factory=dict)  # tool -> why there is nothing of it

    def bare_cpu(self) -> float:
        """ns per request; NaN before anything was measured."""
        return self._bare(lambda pair: pair.reference.cpu)

    def bare_rate(self) -> float:
        """Requests per second; NaN before anything was measured."""
        return self._bare(lambda pair: pair.reference.rate)

    def _bare(self, value: Callable[[Pair], float]) -> float:
        values = [value(pair) for group in self.between.get(CONTROL, []) for pair in group]
        return statistics.median(values) if values else math.nan
