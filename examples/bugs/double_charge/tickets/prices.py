"""What seats cost."""

import logging

log = logging.getLogger(__name__)
VOUCHERS = {"SPRING": 200, "STUDENT": 500}


def total(row: int, seats: int, voucher: str) -> int:
    seat = 4500 if row <= 5 else 3200 if row <= 12 else 1900
    try:
        less = VOUCHERS[voucher]
    except KeyError:
        if voucher:
            log.error("no voucher %s, or not any more", voucher)
        less = 0
    return (seat - less) * seats
