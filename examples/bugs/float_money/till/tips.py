"""Tips, as the waiters type them."""

import logging
from decimal import Decimal, InvalidOperation

log = logging.getLogger(__name__)


def cents(typed: str) -> int:
    try:
        return int(Decimal(typed or "0") * 100)
    except InvalidOperation:
        log.error("a tip that is no number: %r", typed)
        return 0
