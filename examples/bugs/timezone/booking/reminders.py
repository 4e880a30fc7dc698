"""When to remind somebody."""

import logging
from datetime import date, timedelta

log = logging.getLogger(__name__)
HOLIDAYS = {date(2026, 3, 8): "women's day"}


def day_before(day: str) -> str:
    wanted = date.fromisoformat(day) - timedelta(days=1)
    try:
        name = HOLIDAYS[wanted]
    except KeyError:
        return wanted.isoformat()
    log.error("no reminders are sent on %s, moved", name)
    return (wanted - timedelta(days=1)).isoformat()
