"""The faults that the demo makes happen, asks about, and checks against their ground truth."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aftertrace.cli.demo.processes import DemoFailed, Shop
from aftertrace.cli.demo.stage import Row, Stage
from aftertrace.cli.demo.variants import Truth

CUSTOMERS = 14


@dataclass(frozen=True, slots=True)
class Outcome:
    """A fault that happened: what was kept of it, and what ``why`` said."""

    truth: Truth
    report: dict[str, Any]  # what the customer saw
    row: Row  # of `ls`
    why: dict[str, Any]
    problem: str  # how the answer misses the truth, "" when it names it

    @property
    def trace_id(self) -> str:
        return str(self.row["trace_id"])

    @property
    def short(self) -> str:
        """As much of the id as a person would type."""
        return self.trace_id[:8]

    def to_json(self) -> dict[str, Any]:
        return {
            "fault": self.truth.fault,
            "truth": self.truth.to_json(),
            "trace_id": self.trace_id,
            "customer_saw": self.report,
            "cause": self.why.get("cause"),
            "problem": self.problem,
        }


def customers(shop: Shop, count: int = CUSTOMERS) -> dict[str, int]:
    """Healthy traffic: statuses of the checkouts."""
    answered: dict[str, int] = shop.traffic("customers", "--count", str(count), "--pause", "0")["checkouts"]
    return answered


def play(stage: Stage, shop: Shop, fault: int) -> Outcome:
    """Makes a fault happen and asks why. Raises DemoFailed if it was not kept; a wrong answer is in ``problem``."""
    truth = shop.variant.truths[fault]
    known = {row["trace_id"] for row in stage.kept()}
    happen: Callable[[], dict[str, Any]] = (
        shop.kill_in_request if fault == 6 else lambda: shop.traffic("fault", str(fault))
    )
    report = happen()
    row = stage.wait_kept(known, truth)
    why = stage.answer("why", row["trace_id"])
    return Outcome(truth, report, row, why, miss(why, truth, shop.variant.root))


def miss(why: dict[str, Any], truth: Truth, root: Path) -> str:
    """How an answer of ``why`` misses the ground truth, in a sentence; "" when it names service, line and value."""
    cause = why.get("cause") or {}
    found = (cause.get("service"), cause.get("path"), cause.get("line"))
    wanted = (truth.service, str(root / truth.path), truth.line)
    if found != wanted:
        return f"the cause is {truth.service} {truth.path}:{truth.line}, `why` says {_place(cause)}"
    if truth.name and not _names_value(why, truth):
        return f"`why` does not say that {truth.name} was {json.dumps(truth.value)}"
    return ""


def _place(cause: dict[str, Any]) -> str:
    return f"{cause['service']} {cause['path']}:{cause['line']}" if cause.get("path") else "that it does not know"


def _names_value(why: dict[str, Any], truth: Truth) -> bool:
    """Whether the cause shows the wrong value under its name."""
    shown = [why["cause"], *why["cause"].get("values", ())]
    return any(one.get("name") == truth.name and _scalar(one.get("value")) == truth.value for one in shown)


def _scalar(value: Any) -> Any:
    """The plain value in what the JSON of a recorded value says."""
    while isinstance(value, dict):
        if "value" not in value:
            return value.get("scalar")
        value = value["value"]
    return value


def check(outcomes: list[Outcome]) -> None:
    """Raises DemoFailed unless every answer named its ground truth."""
    missed = [f"fault {one.truth.fault}: {one.problem}" for one in outcomes if one.problem]
    if missed:
        raise DemoFailed(
            "demo-wrong-cause", "; ".join(missed) + ".", "The demo's directory has all logs and the store."
        )
