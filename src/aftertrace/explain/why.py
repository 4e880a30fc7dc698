"""``why``: the cause of a failure, as a short chain that follows from what was recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aftertrace.explain.cause.failure import Failures
from aftertrace.explain.cause.hops import Border
from aftertrace.explain.cause.inquiry import inquire
from aftertrace.explain.cause.telling import Telling
from aftertrace.explain.compared import commonality, evidence
from aftertrace.explain.compared.impact import told
from aftertrace.explain.question import Parameter, Question, Sources
from aftertrace.explain.scene.company import Company
from aftertrace.explain.scene.scene import Scene
from aftertrace.reconstruct.build import build
from aftertrace.reconstruct.execution import Execution


@dataclass(frozen=True, slots=True)
class Why:
    """The answer, as plain data (docs: WHY)."""

    data: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return self.data


def ask(sources: Sources, *, reference: str) -> Why:
    """Why the request behind an id failed."""
    trace_id = sources.resolve(reference)
    return why(build(sources.trace(trace_id)), Company(sources, trace_id))


def why(execution: Execution, company: Company | None = None) -> Why:
    """The answer for one execution; without ``company`` it is compared with nothing."""
    scene = Scene(execution)
    failures = Failures(scene)
    company = company or Company(None, execution.trace_id)
    found = inquire(scene, failures, company)
    proofs = evidence.gather(scene, found, company)
    evidence.weigh(found, proofs)
    group, impact = told(execution, company)
    compared = {
        "evidence": [one.to_json() for one in proofs],
        "group": group,
        "impact": impact,
        "commonality": [one.to_json() for one in commonality.shared(scene, found, company)],
    }
    return Why({**Telling(scene, failures, found).data(), **compared})


QUESTION = Question(
    name="why",
    help="The cause of a failed request, as a short verified chain.",
    parameters=(
        Parameter(
            "reference",
            "A trace id or a prefix of one, a span id, a link or log line with one, a request's id, or last.",
            default="last",
        ),
    ),
    ask=ask,
)

__all__ = ["QUESTION", "Border", "Why", "ask", "why"]
