"""Names of shops as people know them."""

import logging

log = logging.getLogger(__name__)
KNOWN = {"RWE MKT 0017": "Rewe", "SHELL 4410": "Shell"}


def tidy(name: str) -> str:
    try:
        return KNOWN[name]
    except KeyError:
        if not name.isascii():
            log.error("the terminal of %r sends another alphabet", name)
        return name.title()
