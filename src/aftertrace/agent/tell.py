"""What the agent says and counts. A trouble is told once, until it is over."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass

LOG = logging.getLogger("aftertrace.agent")


@dataclass(slots=True)
class Counts:
    """Since the agent started. ``sent_bytes``: bodies as they went over the wire."""

    rings: int = 0
    refused: int = 0  # connections that gave garbage, or a ring that is none
    kept: int = 0  # traces
    turned_away: int = 0  # triggers of storms: others of their group stand for them
    left_out: int = 0  # siblings, neighbours and more of storms, for want of room: AFTERTRACE_KEEP_BYTES_S
    marked: int = 0  # traces that other agents kept
    recordings: int = 0
    spans: int = 0
    sources: int = 0
    requests: int = 0
    sent_bytes: int = 0
    spooled: int = 0  # requests that went through the spool
    dropped: int = 0  # requests given up: refused by the server, or no room was left for them
    rejected: int = 0  # items that the server did not take from requests that it took

    def to_json(self) -> dict[str, int]:
        return asdict(self)


class Teller:
    """Troubles by a key of ours."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def once(self, key: str, sentence: str) -> None:
        if key not in self._told:
            self._told.add(key)
            LOG.warning(sentence)

    def over(self, key: str, sentence: str = "") -> None:
        """It may be told again; the sentence is said if it had been."""
        if key in self._told:
            self._told.discard(key)
            if sentence:
                LOG.warning(sentence)
