"""Vouchers, in percent."""

import logging

log = logging.getLogger(__name__)
VALID = {"HELLO": 10}


def percent(code: str) -> int:
    try:
        return VALID[code]
    except KeyError:
        if code:
            log.error("voucher %s is not valid (any more)", code)
        return 0
