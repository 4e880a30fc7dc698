"""Accounts and what is on them; the last to look, so it only has to be sure."""

import logging

log = logging.getLogger(__name__)
START_CENTS = 5_000_000
LOW_CENTS = 4_900_000
MOST = {"A-07": 8000}  # cents in one entry, where the customer wanted it so
_left: dict[str, int] = {}


class LimitBrokenError(Exception):
    """An entry that nobody may have allowed."""


def enter(account: str, text: str, cents: int) -> int:
    most = MOST.get(account)
    if most is not None and -cents > most:
        raise LimitBrokenError(f"{-cents} from {account}, at most {most}")
    left = _left.get(account, START_CENTS) + cents
    if left < LOW_CENTS:
        log.warning("%s is low after %s", account, text)
    _left[account] = left
    return left
