"""Keeping by order: rules, what agents remember now, one remembered request; and why one was not kept."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from aftertrace.errors import BadRecording, NotFound, UnsupportedMedia, UsageError
from aftertrace.receive import body
from aftertrace.receive.fleet import Fleet
from aftertrace.reconstruct.text import duration
from aftertrace.store.fleet import KeepRule
from aftertrace.store.store import Store
from aftertrace.wire import rules

_LIMIT = 1 << 16  # bytes of an order
_ASK_S = 2.0
_LONGEST_S = 30 * 86400.0
_DIGITS = set("0123456789abcdef")
_SHORTEST = 8  # digits of an id that agents are asked for


class Keeping:
    """For the event loop's thread, which the fleet is of; the store is asked in others."""

    def __init__(self, store: Store, fleet: Fleet) -> None:
        self._store = store
        self._fleet = fleet

    async def load(self) -> None:
        """The rules that hold go to the agents, each with its time."""
        held = await run_in_threadpool(self._store.rules)
        now = time.time_ns()
        self._fleet.asking.set_rules([(one.id, one.expression, (one.until_ns - now) / 1e9) for one in held])

    # -- rules

    async def rules(self) -> dict[str, Any]:
        held = await run_in_threadpool(self._store.rules)
        return {"rules": [_told(one) for one in held], "agents": self._fleet.agents()}

    async def remove(self, number: str) -> dict[str, Any]:
        """Raises NotFound."""
        held = [one for one in await run_in_threadpool(self._store.rules) if one.id == number]
        if not held:
            raise NotFound("no-such-rule", f"There is no rule {number[:40]!r}.", "aftertrace keep --list shows them.")
        await run_in_threadpool(self._store.put_rule, KeepRule(number, held[0].expression, held[0].made_ns, 0))
        await self.load()
        return {"removed": _told(held[0])}

    async def order(self, request: Request) -> dict[str, Any]:
        """POST {"expression", "for_s": 0 for none, "live": bool}: a rule, a search of what is remembered, or both."""
        said = await _order(request)
        rule = rules.parse(_text(said, "expression"))
        seconds, live = said.get("for_s", 0), said.get("live") is True
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= _LONGEST_S:
            raise UsageError("bad-duration", "A rule holds for at most 30 days.", "For example: --for 1h")
        found: dict[str, Any] = {"expression": rule.expression, "rule": None, "search": None}
        if seconds:
            found["rule"] = _told(await self._add(rule.expression, float(seconds)))
        if live:
            found["search"] = self._fleet.asking.begin("live", expression=rule.expression).progress()
        return {**found, "agents": self._fleet.agents()}

    async def _add(self, expression: str, seconds: float) -> KeepRule:
        held = await run_in_threadpool(self._store.rules)
        if len(held) >= rules.MOST:
            raise UsageError("too-many-rules", f"{rules.MOST} rules hold already.", "aftertrace keep --remove ID")
        now = time.time_ns()
        rule = KeepRule(secrets.token_hex(4), expression, now, now + int(seconds * 1e9))
        await run_in_threadpool(self._store.put_rule, rule)
        await self.load()
        return rule

    def search(self, number: str) -> dict[str, Any]:
        """How far a search is. Raises NotFound."""
        found = self._fleet.asking.find(number)
        if found is None or found.kind != "live":
            raise NotFound("no-such-search", f"There is no search {number[:40]!r}.", "They are kept for two minutes.")
        return found.progress()

    # -- one request

    async def keep(self, request: Request) -> dict[str, Any]:
        """POST {"trace", "reason"}: a remembered request is kept. Raises NotFound, UsageError."""
        said = await _order(request)
        digits = _text(said, "trace").strip().lower()
        if not _SHORTEST <= len(digits) <= 32 or not set(digits) <= _DIGITS:
            raise UsageError("bad-id", f"{digits[:80]!r} is no trace id.", "Give 8 to 32 of its hex digits.")
        known = await self._ask("keep", digits, reason=_text(said, "reason"))
        if not known or known[0]["state"] not in {"kept", "kept-now"}:
            raise _absent(digits, known, len(self._fleet.agents()))
        return {"trace_id": known[0]["trace"], "state": known[0]["state"], "services": known[0]["services"]}

    async def why_not(self, reference: str) -> NotFound | None:
        """Why a request that the server does not have was not kept; None: it is no id that agents could know."""
        digits = reference.strip().lower()
        if not _SHORTEST <= len(digits) <= 32 or not set(digits) <= _DIGITS or not self._fleet.agents():
            return None
        known = await self._ask("trace", digits)
        return _absent(digits, known, len(self._fleet.agents()))

    async def _ask(self, kind: str, digits: str, **more: str) -> list[dict[str, Any]]:
        """What agents know of the traces that the digits fit: one for each trace, the most telling first."""
        asked = await self._fleet.asking.ask(kind, _ASK_S, trace=digits, **more)
        by_trace: dict[str, dict[str, Any]] = {}
        for reply in asked.replies.values():
            told = reply.get("traces")
            for one in told if isinstance(told, list) else []:
                if isinstance(one, dict) and isinstance(one.get("trace"), str) and one.get("state") in _ORDER:
                    _merge(by_trace, {**one, "horizon_s": reply.get("horizon_s", 0)})
        found = sorted(by_trace.values(), key=lambda one: _ORDER.index(one["state"]))
        silent = len(asked.to) - len(asked.replies)
        return [{**one, "silent": silent} for one in found]


_ORDER = ["kept-now", "kept", "not-kept", "overwritten"]


def _merge(by_trace: dict[str, dict[str, Any]], one: dict[str, Any]) -> None:
    """Several agents may know parts of it: the earliest span tells, services add up."""
    known = by_trace.setdefault(one["trace"], one)
    if known is one:
        return
    services = sorted({*map(str, known.get("services", ())), *map(str, one.get("services", ()))})
    first = min((known, one), key=lambda each: (each["state"] == "overwritten", each.get("start_ns", 1 << 62)))
    state = min(known["state"], one["state"], key=_ORDER.index)
    by_trace[one["trace"]] = {**first, "services": services, "state": state}


def _absent(digits: str, known: list[dict[str, Any]], agents: int) -> NotFound:
    count = f"{agents} agent{'' if agents == 1 else 's'}"
    if not known:
        said = f"No trace is known by {digits!r}: not kept, and none of {count} remembers it."
        return NotFound("no-such-trace", said, "It is too long ago, its id is another, or its service is not recorded.")
    one = known[0]
    services = ", ".join(map(str, one["services"])) or "a service"
    if one["state"] == "overwritten":
        said = f"Trace {one['trace']} was not kept, and {services} has overwritten it since"
        horizon = one.get("horizon_s", 0)
        return NotFound("not-kept-overwritten", f"{said}: memory reaches back {horizon:.0f} s.", _rule_for(one))
    if one["state"] != "not-kept":
        return NotFound("not-there-yet", f"Trace {one['trace']} is kept and on its way.", "Ask again in some seconds.")
    lasted = duration(int(one.get("duration_ns", 0)))
    status = f" {one['http_status']}" if one.get("http_status") else ""
    under_way = "is under way" if one.get("open") else f"took {lasted}"
    said = f"{one.get('name') or 'A request'}{status} in {services} {under_way}; it was not kept: no trigger matched."
    return NotFound("not-kept", said, f"Keep it now: aftertrace keep {one['trace'][:16]}\n      {_rule_for(one)}")


def _rule_for(one: dict[str, Any]) -> str:
    route, method = str(one.get("route") or ""), str(one.get("method") or "")
    text = f"{method} {route}".strip() if route else str(one.get("name") or "")
    if not text:
        return "Keep the next: aftertrace keep 'EXPR' --for 1h"
    limit = int(one.get("duration_ns", 0)) // 1_000_000
    slower = f" duration>={limit}ms" if limit >= 1 else ""
    return f"Keep the next: aftertrace keep 'route={rules.quoted(text)}{slower}' --for 1h"


def _told(rule: KeepRule) -> dict[str, Any]:
    left = max((rule.until_ns - time.time_ns()) / 1e9, 0.0)
    return {"id": rule.id, "expression": rule.expression, "made_ns": rule.made_ns, "left_s": round(left, 1)}


async def _order(request: Request) -> dict[str, Any]:
    """A JSON object. The content type is asked for: no web page may send it to a server that is not its own."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedMedia("bad-content-type", "An order is JSON.", "Send Content-Type: application/json.")
    try:
        said = json.loads(await body.read(request.stream(), _LIMIT))
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise BadRecording("bad-order", "An order is a JSON object.", "See docs/fleet.md.")
    return said


def _text(said: dict[str, Any], name: str) -> str:
    value = said.get(name, "")
    if not isinstance(value, str):
        raise UsageError("bad-order", f"{name} is no text.", "See docs/fleet.md.")
    return value
