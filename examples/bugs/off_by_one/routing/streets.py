"""Names of streets as the map spells them."""

import logging

log = logging.getLogger(__name__)
SPELLING = {"Hafenstr.": "Hafenstraße", "Bahnhofstr.": "Bahnhofstraße"}


def tidy(label: str) -> str:
    street, _, number = label.rpartition(" ")
    try:
        return f"{SPELLING[street]} {number}"
    except KeyError:  # most need no other spelling
        if int(number) > 88:
            log.error("%s ends at 88, asked for %s", street, number)
        return label
