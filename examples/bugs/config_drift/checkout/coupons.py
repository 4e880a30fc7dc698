"""Coupons take something off."""

import logging

log = logging.getLogger(__name__)
PERCENT = {"TEN": 10}


def reduced(cents: int, code: str) -> int:
    if not code:
        return cents
    try:
        return cents * (100 - PERCENT[code]) // 100
    except KeyError:
        log.error("coupon %r: sold out or never there", code)
        return cents
