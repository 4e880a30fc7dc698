"""Which services of a request answered with what they had recorded, and why others did not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aftertrace.model import SpanKind
from aftertrace.reconstruct.execution import Execution

RECORDED, PARTLY, OVERWRITTEN, SILENT, NO_AGENT = "recorded", "partly", "overwritten", "silent", "no-agent"


@dataclass(frozen=True, slots=True)
class Presence:
    """A service that the request reached, as far as is known; ``host``: of the agent that says so."""

    service: str
    state: str
    host: str = ""


def services(execution: Execution) -> list[Presence]:
    """In the order in which the request reached them; those that are known by their agents alone are last."""
    recorded = {process.service for process in execution.processes}
    lost, silent = _lost(execution), _silent(execution)
    names = dict.fromkeys([*(span.service for span in execution.spans.values()), *recorded, *lost])
    found = [_presence(name, recorded, lost, silent) for name in names]
    if not lost and not silent:  # else it may be one of those
        found += [Presence(peer, NO_AGENT) for peer in _peers(execution)]
    return found


def told(execution: Execution) -> dict[str, Any]:
    """As plain data: ``says`` is one sentence, ``missing`` what did not answer; ``agents`` None: none was asked."""
    found = services(execution)
    missing = [one for one in found if one.state != RECORDED]
    answered = sum(one.state in {RECORDED, PARTLY} for one in found)
    asked = execution.coverage
    return {
        "answered": answered,
        "of": len(found),
        "missing": [{"service": one.service, "state": one.state, "host": one.host} for one in missing],
        "agents": {"asked": asked.asked, "nothing": asked.nothing, "silent": asked.silent} if asked else None,
        "says": "; ".join([f"{answered} of {len(found)} services answered", *map(_sentence, missing)]),
    }


def _presence(name: str, recorded: set[str], lost: dict[str, str], silent: dict[str, str]) -> Presence:
    if name in recorded:
        return Presence(name, PARTLY, lost[name]) if name in lost else Presence(name, RECORDED)
    if name in lost:
        return Presence(name, OVERWRITTEN, lost[name])
    return Presence(name, SILENT, silent[name]) if name in silent else Presence(name, NO_AGENT)


def _sentence(one: Presence) -> str:
    return {
        PARTLY: f"part of `{one.service}` had already been overwritten",
        OVERWRITTEN: f"`{one.service}` had already overwritten it",
        SILENT: f"the agent of `{one.service}` did not answer",
        NO_AGENT: f"`{one.service}` has no agent",
    }[one.state]


def _lost(execution: Execution) -> dict[str, str]:
    """Services whose part had left an agent's memory, and that agent's host. What another agent had shipped counts: two
    processes of a service may be on two hosts."""
    agents = execution.coverage.agents if execution.coverage else []
    return {service: one.host for one in agents for service in one.overwritten}


def _silent(execution: Execution) -> dict[str, str]:
    """Services that may have had a part, whose agent did not answer."""
    agents = execution.coverage.agents if execution.coverage else []
    return {service: one.host for one in agents if one.answered_s < 0 for service in one.services}


def _peers(execution: Execution) -> Iterator[str]:
    """Servers that answered a call and of which there is no span."""
    parents = {span.parent_id for span in execution.spans.values()}
    seen: set[str] = set()
    for span in execution.spans.values():
        told = span.attributes
        address, port = told.get("server.address"), told.get("server.port")
        answered = "http.response.status_code" in told or "rpc.grpc.status_code" in told
        if span.kind is SpanKind.CLIENT and answered and isinstance(address, str) and span.span_id not in parents:
            name = f"{address}:{port}" if isinstance(port, int) else address
            if name not in seen:
                seen.add(name)
                yield name
