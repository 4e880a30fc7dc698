"""Quantities as people read them."""

import logging

log = logging.getLogger(__name__)
DOZENS = {"box": 12, "tray": 30}


def shown(pieces: int, unit: str) -> str:
    try:
        whole, rest = divmod(pieces, DOZENS[unit])
    except KeyError:
        return f"{pieces} {unit}"
    if rest:
        log.error("%d pieces are no whole number of %s", pieces, unit)
    return f"{whole} {unit}"
