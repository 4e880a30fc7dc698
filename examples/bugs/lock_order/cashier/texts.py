"""What a transfer is for."""

import logging

log = logging.getLogger(__name__)
SHORT = {"trip": "class trip", "fair": "summer fair"}


def tidy(text: str) -> str:
    try:
        return SHORT[text]
    except KeyError:
        if text.isdigit():
            log.error("%s is a number, not a purpose", text)
        return text[:35]
