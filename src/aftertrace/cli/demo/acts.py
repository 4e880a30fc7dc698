"""The faults that the demo makes happen, asks about, and checks against their ground truth."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aftertrace.cli.demo.processes import DemoFailed, Process, Shop
from aftertrace.cli.demo.stage import Row, Stage
from aftertrace.cli.demo.variants import Truth

FAULTS = (1, 2, 3, 4, 5, 6)
KILLS = 6
CUSTOMERS = 14  # from ten requests on a route is known well enough that some of it are unusual


@dataclass(frozen=True, slots=True)
class Happened:
    """A fault that customers met: what they saw, and where in its service's log that begins and ends."""

    truth: Truth
    report: dict[str, Any]
    log: Process
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was kept of a fault, and what ``why`` said."""

    happened: Happened
    row: Row  # of `ls`
    why: dict[str, Any]
    problem: str  # how the answer misses the truth, "" when it names it

    @property
    def truth(self) -> Truth:
        return self.happened.truth

    @property
    def abstains(self) -> bool:
        """It gives no cause, or is not sure of it."""
        return bool(self.problem) and not _verified(self.why)

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
            "customer_saw": self.happened.report,
            "cause": self.why.get("cause"),
            "problem": self.problem,
        }


def customers(shop: Shop, count: int = CUSTOMERS) -> dict[str, int]:
    """Healthy traffic: statuses of the checkouts."""
    answered: dict[str, int] = shop.traffic("customers", "--count", str(count), "--pause", "0")["checkouts"]
    return answered


def happen(shop: Shop, fault: int) -> Happened:
    """Makes a fault happen. Raises DemoFailed if the customers could not do what they meant to."""
    truth = shop.variant.truths[fault]
    log = shop.of_service(truth.raised_in or truth.service)
    begin = len(log.log_text())
    if fault != KILLS:
        report = shop.traffic("fault", str(fault))
        return Happened(truth, report, log, begin, len(log.log_text()))
    report = shop.kill_in_request()
    end = len(log.log_text())
    shop.restart("back")
    return Happened(truth, report, log, begin, end)


def ask(stage: Stage, shop: Shop, happened: Happened, row: Row) -> Outcome:
    """What ``why`` says; a wrong answer is in ``problem``."""
    why = stage.answer("why", row["trace_id"])
    return Outcome(happened, row, why, miss(why, happened.truth, shop.variant.root))


def miss(why: dict[str, Any], truth: Truth, root: Path) -> str:
    """How an answer of ``why`` misses the ground truth, in a sentence; "" when service, line and value are verified."""
    cause = why.get("cause") or {}
    found = (cause.get("service"), cause.get("path"), cause.get("line"))
    wanted = (truth.service, str(root / truth.path), truth.line)
    if found != wanted:
        return f"the cause is {truth.service} {truth.path}:{truth.line}, `why` says {_place(cause)}"
    if not _verified(why):
        return f"`why` is not sure of {truth.service} {truth.path}:{truth.line}: {cause['status']}"
    if truth.name and not _names_value(why, truth):
        return f"`why` does not say that {truth.name} was {json.dumps(truth.value)}"
    return ""


def _verified(why: dict[str, Any]) -> bool:
    return (why.get("cause") or {}).get("status") == "verified"


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
