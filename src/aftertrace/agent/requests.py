"""Requests as one process knows them: spans that are at work for somebody, and what their records said of them."""

from __future__ import annotations

from dataclasses import dataclass, field

_ORDINARY = {"StopIteration", "StopAsyncIteration", "GeneratorExit", "asyncio.exceptions.CancelledError"}
_MOST_FACTS = 32  # of each kind, of one request


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an exception was raised: the activation of the frame, and its instruction."""

    type: str
    activation: int
    lasti: int

    @property
    def fingerprint(self) -> str:
        """The same for each time that it happens; code is not known here, an instruction's number tells enough."""
        return f"{self.type}@{self.lasti}"


@dataclass(slots=True)
class Request:
    """A SERVER or CONSUMER span, or one that has no parent in its process."""

    trace: bytes
    span: str  # hex
    name: str  # what it was called last: with its route, when it has ended
    started: int  # ticks
    read_at: float  # when its start was read, monotonic, s
    ended: int = 0  # ticks
    failed: bool = False  # its end was a trigger
    status: int = 0  # of HTTP
    raised: Origin | None = None  # the last exception that was not handled
    handled: dict[str, Origin] = field(default_factory=dict)  # by fingerprint
    logged: dict[str, int] = field(default_factory=dict)  # places of ERROR records: ticks of the first
    hung: bool = False  # told already that it stays open

    def handle(self, origin: Origin) -> None:
        if self.raised is origin:
            self.raised = None
        if origin.type not in _ORDINARY and len(self.handled) < _MOST_FACTS:
            self.handled.setdefault(origin.fingerprint, origin)

    def raise_further(self, origin: Origin) -> None:
        """It was not handled after all."""
        if self.handled.get(origin.fingerprint) is origin:
            del self.handled[origin.fingerprint]
        self.raised = origin

    def log(self, place: str, ticks: int) -> None:
        if len(self.logged) < _MOST_FACTS:
            self.logged.setdefault(place, ticks)
