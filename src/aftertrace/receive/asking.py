"""What the server asks the agents, and the rules that it gives them."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

_MOST_QUESTIONS = 256
_OPEN_S = 120.0  # a question is kept for so long


@dataclass(slots=True)
class Inquiry:
    """One question; ``replies`` by agent, the newest of each."""

    id: str
    kind: str
    details: Mapping[str, Any]
    to: frozenset[str]  # agents that were there
    made: float
    replies: dict[str, dict[str, Any]] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def answered(self) -> bool:
        return all(self.replies.get(agent, {}).get("done", False) for agent in self.to)

    def progress(self) -> dict[str, Any]:
        """How far it is, for whoever waits."""
        return {
            "id": self.id,
            "agents": len(self.to),
            "answered": sum(bool(self.replies.get(agent, {}).get("done")) for agent in self.to),
            "done": self.answered(),
            "replies": list(self.replies.values()),
        }


class Asking:
    """``wake`` lets held calls go; ``alive`` names the agents that are there."""

    def __init__(self, wake: Callable[[], None], alive: Callable[[], list[str]]) -> None:
        self._wake, self._alive = wake, alive
        self._questions: dict[str, Inquiry] = {}
        self._rules: tuple[Mapping[str, Any], ...] = ()
        self._until: dict[str, float] = {}  # of each rule, monotonic
        self.rules_version = ""

    def begin(self, kind: str, **details: Any) -> Inquiry:
        """Every agent that is there is asked."""
        now = time.monotonic()
        for old in [one for one in self._questions.values() if now - one.made > _OPEN_S]:
            del self._questions[old.id]
        while len(self._questions) >= _MOST_QUESTIONS:
            del self._questions[next(iter(self._questions))]
        asked = Inquiry(secrets.token_hex(8), kind, details, frozenset(self._alive()), now)
        self._questions[asked.id] = asked
        self._wake()
        return asked

    async def ask(self, kind: str, within_s: float, **details: Any) -> Inquiry:
        """Done when all have answered, or the time is over."""
        asked = self.begin(kind, **details)
        until = asked.made + within_s
        while not asked.answered() and (left := until - time.monotonic()) > 0:
            asked.changed.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(asked.changed.wait(), left)
        return asked

    def find(self, number: str) -> Inquiry | None:
        return self._questions.get(number)

    def reply(self, agent: str, host: str, said: Mapping[str, Any]) -> None:
        asked = self._questions.get(str(said.get("id")))
        if asked is not None and agent in asked.to:
            asked.replies[agent] = {**said, "agent": agent, "host": host}
            asked.changed.set()

    def for_agent(self, agent: str, given: set[str]) -> list[dict[str, Any]]:
        """What an agent was not asked yet; it counts as asked from now on. One that came later is not asked."""
        given &= self._questions.keys()
        fresh = [one for one in self._questions.values() if agent in one.to and one.id not in given]
        given |= {one.id for one in fresh}
        return [{**one.details, "id": one.id, "kind": one.kind} for one in fresh]

    # -- rules

    def set_rules(self, rules: list[tuple[str, str, float]]) -> None:
        """(id, expression, seconds left) of each that holds."""
        now = time.monotonic()
        self._until = {number: now + left for number, _, left in rules}
        self._rules = tuple({"id": number, "expression": expression} for number, expression, _ in rules)
        self.rules_version = secrets.token_hex(4)
        self._wake()

    def rules(self) -> tuple[Mapping[str, Any], ...]:
        """As agents are given them: with the seconds that each has left."""
        now = time.monotonic()
        left = ({**rule, "left_s": round(self._until[rule["id"]] - now, 3)} for rule in self._rules)
        return tuple(rule for rule in left if rule["left_s"] > 0)
