"""Names of files."""

import logging

log = logging.getLogger(__name__)
MOST = 24


def file_name(title: str) -> str:
    plain = title.lower().replace(" ", "-")
    try:
        plain.encode("ascii")
    except UnicodeEncodeError:
        plain = plain.encode("ascii", "ignore").decode()
    if len(plain) > MOST:
        log.error("%r is too long for the press's display", title)
    return plain[:MOST]
