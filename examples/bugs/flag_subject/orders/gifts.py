"""Cards that go with gifts."""

import logging

log = logging.getLogger(__name__)
CARDS = {"birthday": "Happy birthday!", "thanks": "Thank you!"}


def card(gift: str) -> str:
    try:
        return CARDS[gift]
    except KeyError:
        if gift:
            log.error("no card says %s", gift)
        return ""
