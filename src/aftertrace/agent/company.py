"""What this agent and the others have to do with each other: marks to and fro, what was had of a kept trace, rules,
and what is asked of what it remembers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from queue import SimpleQueue
from typing import Any

from aftertrace.agent import redact
from aftertrace.agent.fleet import Fleet
from aftertrace.agent.live import Search
from aftertrace.agent.parked import Entry
from aftertrace.agent.part import Part as JobPart
from aftertrace.agent.process import Process
from aftertrace.agent.spans import Spans
from aftertrace.agent.tails import Tails
from aftertrace.agent.walk import ticks_of
from aftertrace.agent.watch import KEEP, Trigger
from aftertrace.errors import UsageError
from aftertrace.model import Span, SpanKind
from aftertrace.wire import rules
from aftertrace.wire.fleet import MOST_SERVICES, Mark, Part
from aftertrace.wire.recording import Clocks

UPSTREAM = "upstream"
_MOST_SEARCHES = 2
_MOST_FOUND = 4  # traces that a prefix may fit
_MOST_LINKS = 64  # of one part
_DIGITS = set("0123456789abcdef")


class Company:
    """For the agent's loop, between its parts and the threads that speak with the server."""

    def __init__(self, fleet: Fleet, tails: Tails) -> None:
        self._fleet = fleet
        self._tails = tails
        self._hits: SimpleQueue[tuple[Process, Trigger]] = SimpleQueue()  # of other threads
        self._searches: list[Search] = []

    def hear(self) -> None:
        """What came from the server."""
        for answer in self._fleet.heard():
            for mark in answer.marks:
                self._mark(mark)
            if answer.rules is not None:
                self._tails.rules.set(answer.rules)
            for asked in answer.asked:
                self._answer(asked)
        self.tell()

    def _mark(self, mark: Mark) -> None:
        self._tails.keeper.mark(bytes.fromhex(mark.trace), mark.trigger)

    def took_part(self, part: JobPart) -> None:
        """A kept part of a request that failed: what it was made of is kept too. For the thread that packs."""
        for span in part.spans:
            if span.kind is SpanKind.CONSUMER:
                for link in span.links[:_MOST_LINKS]:
                    if link.trace_id != span.trace_id:
                        reason = f"linked from {span.trace_id}"
                        self._hits.put((part.process, Trigger(bytes.fromhex(link.trace_id), UPSTREAM, reason=reason)))

    def tell(self) -> None:
        """What happened here since the last time, and what is recorded now."""
        self._fleet.recorded({one.ring.service for one in self._tails.alive.values()})
        keeper = self._tails.keeper
        while not self._hits.empty():
            process, trigger = self._hits.get()
            if trigger.name != UPSTREAM or trigger.trace not in keeper:
                keeper.trigger(process, trigger)
        while keeper.fresh:
            trigger = keeper.fresh.popleft()
            self._fleet.mark(trigger.trace, trigger.name, redact.text(trigger.reason))
        if not keeper.reports:
            return
        horizon = round(self._tails.memory.horizon_s(), 1)
        while keeper.reports:
            report = keeper.reports.popleft()
            shipped, overwritten = (tuple(sorted(one))[:MOST_SERVICES] for one in (report.shipped, report.overwritten))
            self._fleet.part(Part(report.trace.hex(), shipped, overwritten, horizon))

    def close(self) -> None:
        for search in self._searches:
            search.stop()
        self.tell()

    # -- what is asked

    def _answer(self, asked: Mapping[str, Any]) -> None:
        number, kind = str(asked.get("id", "")), asked.get("kind")
        if kind == "live":
            self._live(number, str(asked.get("expression", "")))
        elif kind in {"trace", "keep"}:
            prefix = str(asked.get("trace", ""))
            known = self._known(prefix) if 8 <= len(prefix) <= 32 and set(prefix) <= _DIGITS else []
            if kind == "keep":
                self._keep(known, str(asked.get("reason", "")))
            self._fleet.reply({"id": number, "done": True, **self._horizon(), "traces": known})
        else:
            self._fleet.reply({"id": number, "done": True, "problem": "an older agent does not know what is asked"})

    def _horizon(self) -> dict[str, Any]:
        return {"horizon_s": round(self._tails.memory.horizon_s(), 1)}

    def _known(self, prefix: str) -> list[dict[str, Any]]:
        """What is known of the traces that a prefix fits."""
        found = [self._remembered(trace) for trace in self._tails.memory.find(prefix)[:_MOST_FOUND]]
        if not found and len(prefix) == 32:
            services = self._tails.memory.departed.services(bytes.fromhex(prefix))
            if services:
                found.append({"trace": prefix, "state": "overwritten", "services": sorted(services)[:MOST_SERVICES]})
        return found

    def _remembered(self, trace: bytes) -> dict[str, Any]:
        entries = self._tails.memory.collect({trace: 0})[trace]
        by_process: dict[int, list[Entry]] = {}
        for entry in entries:
            by_process.setdefault(entry.process, []).append(entry)
        services, spans = set[str](), list[Span]()
        for number, held in by_process.items():
            process = self._tails.processes.get(number)
            if process is not None:
                services.add(process.ring.service)
                told = Spans(trace.hex())
                clocks = Clocks(process.samples_for([ticks_of(entry.records) for entry in held]))
                told.take([entry.records for entry in held], clocks)
                spans += told.ready(whole=True)[0]
        requests = [one for one in spans if not one.parent_id or one.kind in {SpanKind.SERVER, SpanKind.CONSUMER}]
        first = min(requests or spans, key=lambda one: one.start_ns, default=None)
        state = self._tails.keeper.state(trace)
        found = {"trace": trace.hex(), "state": state, "services": sorted(services)[:MOST_SERVICES]}
        return {**found, **_facts(first)} if first is not None else found

    def _keep(self, known: list[dict[str, Any]], reason: str) -> None:
        """Somebody wants to have it, a healthy sibling too; of several that fit, none is meant."""
        trace = bytes.fromhex(known[0]["trace"]) if len(known) == 1 else b""
        if not trace or known[0]["state"] not in {"kept", "not-kept"} or self._tails.keeper.has_failed(trace):
            return
        for entry in self._tails.memory.collect({trace: 0})[trace]:
            process = self._tails.processes.get(entry.process)
            if process is not None:
                said = redact.text(reason) or "somebody asked for it"
                self._tails.keeper.trigger(process, Trigger(trace, KEEP, ticks=ticks_of(entry.records), reason=said))
                known[0]["state"] = "kept-now"
                return

    def _live(self, number: str, expression: str) -> None:
        self._searches = [one for one in self._searches if one.alive()]
        try:
            rule = rules.parse(expression)
        except UsageError as error:
            self._fleet.reply({"id": number, "done": True, "kept": 0, "problem": error.message})
            return
        if len(self._searches) >= _MOST_SEARCHES:
            self._fleet.reply({"id": number, "done": True, "kept": 0, "problem": "two searches are under way already"})
            return
        tails = self._tails
        search = Search(number, rule, (tails.memory, tails.processes), self._hits.put, self._fleet.reply)
        self._searches.append(search)
        search.start()


def _facts(span: Span) -> dict[str, Any]:
    """Of the request's first span."""
    told = span.attributes
    lasted = (span.end_ns or time.time_ns()) - span.start_ns
    return {
        "name": redact.text(span.name)[:200],
        "route": str(told.get("http.route", ""))[:200],
        "method": str(told.get("http.request.method", ""))[:20],
        "http_status": told.get("http.response.status_code", 0),
        "start_ns": span.start_ns,
        "duration_ns": max(lasted, 0),
        "open": not span.end_ns,
    }
